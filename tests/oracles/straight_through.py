"""Straight-through gradients of a quantised graph, by differences.

Every QuantizeLinear is run once and its rounding x / s -> round(x / s) remembered as a shift; from then on
it adds the same shift instead of rounding, and stays where it was clipped. The slope of that graph is what
Bengio, Leonard and Courville (2013) call straight through, with no slope where a number saturates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from tests.oracles.reference import OURS

Arrays = Mapping[str, np.ndarray]


def in_double(model: ModelProto) -> ModelProto:
    """The same graph with real weights, inputs and outputs in float64."""
    double = ModelProto()
    double.CopyFrom(model)
    for tensor in double.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
            )
    for entry in (*double.graph.input, *double.graph.output):
        if entry.type.tensor_type.elem_type == TensorProto.FLOAT:
            entry.type.tensor_type.elem_type = TensorProto.DOUBLE
    del double.graph.value_info[:]
    return double


def frozen(model: ModelProto, feeds: Arrays) -> Callable[[Arrays], list[np.ndarray]]:
    """The graph with its roundings held as they are at these inputs."""
    held: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    class QuantizeLinear(OpRun):
        op_domain = ""

        def _run(self, x, scale, zero=None, axis=None, **_given):
            shape = [-1, *[1] * (x.ndim - 1 - (1 if axis is None else axis))] if scale.size > 1 else ()
            steps, lowest = (
                x / scale.reshape(shape),
                0.0 if zero is None else zero.reshape(shape).astype(float),
            )
            bounds = np.iinfo(np.uint8 if zero is None else zero.dtype)
            name, whole = self.onnx_node.output[0], np.rint(steps) + lowest
            shift, within = held.setdefault(
                name, (whole - steps, (bounds.min <= whole) & (whole <= bounds.max))
            )
            return (np.where(within, steps + shift, np.clip(whole, bounds.min, bounds.max)),)

    class DequantizeLinear(OpRun):
        op_domain = ""

        def _run(self, q, scale, zero=None, axis=None, **_given):
            shape = [-1, *[1] * (q.ndim - 1 - (1 if axis is None else axis))] if scale.size > 1 else ()
            lowest = 0.0 if zero is None else zero.reshape(shape).astype(float)
            return ((q.astype(float) - lowest) * scale.reshape(shape),)

    others = [op for op in OURS if op.__name__ != "DequantizeLinear"]
    reference = ReferenceEvaluator(in_double(model), new_ops=[*others, QuantizeLinear, DequantizeLinear])
    reference.run(None, dict(feeds))
    return lambda changed: reference.run(None, dict(changed))


def slope(model: ModelProto, x: np.ndarray, v: np.ndarray, u: np.ndarray, step: float = 1e-6) -> float:
    """<v, J u> of a graph from `x` to its first output."""
    ask = frozen(model, {"x": x})
    up, down = (ask({"x": x + sign * step * u})[0] for sign in (1, -1))
    return float(np.vdot(v, up - down) / (2 * step))
