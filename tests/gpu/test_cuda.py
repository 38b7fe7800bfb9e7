"""What only a GPU can show: that models run on it, with rows built there, and say what the CPU says.

Skipped where onnxruntime finds none.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import TensorProto
from tests.models.graph import f32, model, node

from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Masked, Part, Samples
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.device_rows import open_device_rows
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.session import CUDA, Execution, Provider, open_session, providers

pytestmark = pytest.mark.skipif(
    providers(Provider.CUDA)[0][0] == "CPUExecutionProvider", reason=providers(Provider.CUDA)[1] or "no GPU"
)

SHAPE = (3, 32, 32)
ON_GPU, ON_CPU = Execution(Provider.CUDA), Execution(Provider.CPU)
RNG = np.random.default_rng(0)
INSTANCE = RNG.normal(size=SHAPE).astype(np.float32)


def network() -> bytes:
    """Convolution, ReLU, mean over the picture, four classes."""
    weights = {"k": RNG.normal(size=(8, 3, 3, 3)), "w": RNG.normal(size=(8, 4))}
    return model(
        [
            node("Conv", "x k", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("GlobalAveragePool", "r", "g"),
            node("Flatten", "g", "f"),
            node("MatMul", "f w", "z"),
            node("Softmax", "z", "y"),
        ],
        {"x": (TensorProto.FLOAT, ["n", *SHAPE])},
        {"y": (TensorProto.FLOAT, ["n", 4])},
        {name: f32(array) for name, array in weights.items()},
    )


def masked(rows: int) -> Masked:
    """Rows that hide squares of the picture."""
    segments = (np.arange(32)[:, None] // 8 * 4 + np.arange(32) // 8).astype(np.int32)
    part = Part("x", INSTANCE, np.zeros((1, *SHAPE), np.float32), segments)
    return Masked((part,), RNG.random((rows, 16)) < 0.5)


def ask(data: bytes, execution: Execution, slices: list[Slice], pad_to: int | None = None) -> Array:
    lane = load(data, execution=execution).lane(Want.SCORES, Mode.FAST, {"x": INSTANCE})
    return lane.runner.run(slices, pad_to)[0]


def test_the_provider_is_really_cuda():
    """No silent fall-back, and nothing to note."""
    opened = open_session(network(), ON_GPU)
    assert (opened.provider, opened.note) == (CUDA, "")


def test_one_thread_owns_a_session():
    """A session has one stream; more callers would only queue."""
    assert (
        load(network(), execution=ON_GPU).lane(Want.SCORES, Mode.FAST, {"x": INSTANCE}).runner.replicas == 1
    )


@pytest.mark.parametrize("pad_to", [None, 64])
def test_scores_are_those_of_the_cpu(pad_to):
    """Masked rows, built on the device, and samples, built on the host; TF32 has ten bits."""
    rows = masked(50)
    samples = Samples({"x": RNG.normal(size=(5, *SHAPE)).astype(np.float32)})
    data = network()
    for slices in ([Slice(rows, np.arange(50))], [Slice(samples, np.arange(5))]):
        np.testing.assert_allclose(
            ask(data, ON_GPU, slices, pad_to), ask(data, ON_CPU, slices, pad_to), rtol=1e-2, atol=1e-2
        )


def test_rows_built_on_the_device_are_those_of_the_host():
    """Bit for bit: they are copied, not computed."""
    device = open_device_rows({"x": 3}, {"x": np.dtype(np.float32)}, ON_GPU)
    assert device is not None
    assert device.device == "cuda"
    rows = masked(9)
    out = {"x": np.empty((9, *SHAPE), np.float32)}
    rows.write(np.arange(9), out)
    built = device.build([Slice(rows, np.arange(9))], 9)
    assert built is not None
    assert built["x"].device_name() == "cuda"
    assert built["x"].numpy().tobytes() == out["x"].tobytes()


def test_the_same_batch_shape_gives_the_same_bits():
    """What REPRODUCIBLE relies on: a row's answer does not depend on its neighbours or its place."""
    rows = masked(16)
    data = network()
    alone = ask(data, ON_GPU, [Slice(rows, np.array([7]))], 16)
    among = ask(data, ON_GPU, [Slice(rows, np.arange(16))], 16)
    assert alone[0].tobytes() == among[7].tobytes()
    host = ask(data, replace(ON_GPU, device_rows=False), [Slice(rows, np.array([7]))], 16)
    assert alone.tobytes() == host.tobytes()
