"""The nine image nets inside the onnx package, of opset 9, with random weights and an eighth of the channels.

They hold what later exporters no longer write: LRN, Dropout, Sum, BatchNormalization before Mul and Add.
Their own weights are one constant each, so that nothing about a gradient can be told by them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, numpy_helper

from whybox_server.graph.gradient import RESULT, SEED, differentiate

LIGHT = Path(onnx.__file__).parent / "backend" / "test" / "data" / "light"
NARROWER = 8
DEEP = {"densenet121", "inception_v2"}
WHOLE = {"shufflenet"}  # its groups are not multiples of 8
NAMES = sorted(path.stem.removeprefix("light_") for path in LIGHT.glob("*.onnx"))
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3
OPTIONS.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC


def narrow(model: ModelProto, times: int, rng: np.random.Generator) -> ModelProto:
    """Every number of channels divided by this; weights drawn so that they keep the size of what they meet."""
    graph = model.graph
    factors = {node.input[1] for node in graph.node if node.op_type in ("BatchNormalization", "Mul")}
    factors |= {node.input[0] for node in graph.node if node.output[0] in factors}  # behind an Unsqueeze
    factors |= {node.input[4] for node in graph.node if node.op_type == "BatchNormalization"}

    def drawn(name: str, shape: np.ndarray) -> TensorProto:
        matrix = len(shape) > 1 and shape[1:].prod() > 1
        numbers = rng.normal(size=shape) * (np.sqrt(2 / shape[1:].prod()) if matrix else 0.1)
        weight = 1 + np.abs(numbers) if name in factors else numbers
        return numpy_helper.from_array(weight.astype(np.float32), name)

    def divided(lengths: np.ndarray) -> np.ndarray:
        return np.where((lengths % times == 0) & (lengths > 0), lengths // times, lengths)

    shapes = {}
    for tensor in graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype.kind == "f":
            tensor.CopyFrom(drawn(tensor.name, divided(np.array(array.shape))))
        else:
            shapes[tensor.name] = divided(array)
            tensor.CopyFrom(numpy_helper.from_array(shapes[tensor.name], tensor.name))
    for node in [node for node in graph.node if node.op_type == "ConstantOfShape"]:
        graph.initializer.append(drawn(node.output[0], shapes[node.input[0]]))
        graph.node.remove(node)
    weights = {tensor.name for tensor in graph.initializer}
    for entry in [entry for entry in graph.input if entry.name in weights]:
        graph.input.remove(entry)
    for output in graph.output:
        output.type.tensor_type.ClearField("shape")
    model.ir_version = 8  # since 4, initializers need not be inputs
    return model


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in DEEP)) for name in NAMES]
)
def test_a_step_along_the_gradient_changes_the_score_by_its_length(name):
    """<grad, u> = |grad| for u = grad / |grad|, by a difference; float32 and kinks cost up to 0.5 %."""
    rng = np.random.default_rng(5)
    model = onnx.load(LIGHT / f"light_{name}.onnx")
    last = model.graph.node[-1]
    logits = last.input[0] if last.op_type == "Softmax" else last.output[0]
    gradient = differentiate(narrow(model, 1 if name in WHOLE else NARROWER, rng), of=logits)
    assert {node.domain for node in gradient.graph.node} <= {"", "ai.onnx"}
    session = ort.InferenceSession(gradient.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    x, seed = (entry.name for entry in session.get_inputs())
    assert seed == SEED
    at, v = (rng.normal(size=entry.shape).astype(np.float32) for entry in session.get_inputs())
    y, dx = session.run([logits, RESULT], {x: at, SEED: v})
    length = np.linalg.norm(dx.astype(float))
    step = 1e-5 * np.linalg.norm(y) * np.linalg.norm(v) / length
    ahead, behind = (
        session.run([logits], {x: at + np.float32(sign * step / length) * dx, SEED: v})[0] for sign in (1, -1)
    )
    change = np.vdot(v.astype(float), ahead.astype(float) - behind) / (2 * step)
    assert change == pytest.approx(length, rel=2e-2)
