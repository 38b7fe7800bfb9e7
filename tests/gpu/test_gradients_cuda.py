"""That the way back through a graph stays on the GPU, and says what the CPU says.

Skipped where onnxruntime finds no GPU. Shapes, axes and indices are whole numbers that the runtime
itself keeps on the CPU; nothing that computes with real numbers may be there.
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from tests.models.nets import attention, cnn, embedded
from tests.unit.test_light_models import LIGHT, NARROWER, narrow

from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import TABLES, composite
from whybox_server.serving.onnx.session import CPU, Execution, Provider, open_session, providers

pytestmark = pytest.mark.skipif(
    providers(Provider.CUDA)[0][0] == CPU, reason=providers(Provider.CUDA)[1] or "no GPU"
)

# Operators on whole numbers: what the runtime computes shapes and places with.
ARITHMETIC_OF_SHAPES = frozenset(
    """Shape Size Gather Concat Slice Squeeze Unsqueeze Cast Range ConstantOfShape Equal Where Add Sub Mul Div
    Reshape Expand NonZero ReduceProd Identity And Not""".split()
)
HEAVY = frozenset(
    """Conv FusedConv ConvTranspose MatMul FusedMatMul Gemm Softmax LayerNormalization ScatterElements ScatterND
    MaxPool AveragePool GlobalAveragePool BatchNormalization Relu Erf Gelu Tanh Sigmoid Resize Einsum ReduceMean
    ReduceSum Transpose Pad Exp Pow Sqrt""".split()
)
NETS = {
    "cnn": lambda: cnn(np.float32),
    "attention": lambda: attention(np.float32),
    "transformer over token ids": lambda: embedded(np.float32),
}
LIGHT_NAMES = ("resnet50", "densenet121", "squeezenet", "vgg19")


def light(name: str) -> ModelProto:
    import onnx  # noqa: PLC0415 - its test data is meant

    return narrow(onnx.load(LIGHT / f"light_{name}.onnx"), NARROWER, np.random.default_rng(0))


def where(model: ModelProto) -> dict[str, set[str]]:
    """Kinds of operators by provider."""
    opened = open_session(model.SerializeToString(), Execution(Provider.CUDA))
    found: dict[str, set[str]] = {}
    for part in opened.session.get_provider_graph_assignment_info():
        found.setdefault(part.ep_name, set()).update(node.op_type for node in part.get_nodes())
    return found


def on_both(model: ModelProto, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The result on the GPU and on the CPU, for the same numbers."""
    said = []
    feeds: dict[str, np.ndarray] = {}
    for provider in (Provider.CUDA, Provider.CPU):
        session = open_session(model.SerializeToString(), Execution(provider)).session
        for entry in session.get_inputs():
            shape = [length if isinstance(length, int) else 2 for length in entry.shape]
            whole = entry.type == "tensor(int64)"
            drawn = rng.integers(0, 5, shape) if whole else rng.normal(size=shape).astype(np.float32)
            feeds.setdefault(entry.name, drawn)
        said.append(np.asarray(session.run([RESULT], feeds)[0]))
    return said[0], said[1]


@pytest.mark.parametrize("name", [*NETS, *LIGHT_NAMES])
def test_no_node_of_the_way_back_falls_to_the_cpu(name: str) -> None:
    """Neither a convolution nor any other work with real numbers."""
    model = NETS[name]() if name in NETS else light(name)
    at = "x" if name == "transformer over token ids" else None
    fallen = where(differentiate(model, at)).get(CPU, set())
    assert not fallen & HEAVY
    assert fallen <= ARITHMETIC_OF_SHAPES


@pytest.mark.parametrize("name", NETS)
def test_a_gradient_is_the_same_on_both(name: str) -> None:
    """To 1e-3 of the largest: TF32 and another order of sums."""
    at = "x" if name == "transformer over token ids" else None
    gpu, cpu = on_both(differentiate(NETS[name](), at), np.random.default_rng(1))
    assert np.abs(gpu - cpu).max() <= 1e-3 * np.abs(cpu).max()


@pytest.mark.parametrize("table", sorted(TABLES))
def test_every_table_runs_on_a_gpu(table: str) -> None:
    """The same as on the CPU; DeepLIFT with a reference of its own."""
    model = differentiate(cnn(np.float32), rules=composite(table))
    assert SEED in [entry.name for entry in model.graph.input]
    gpu, cpu = on_both(model, np.random.default_rng(2))
    assert np.abs(gpu - cpu).max() <= 1e-2 * np.abs(cpu).max()
