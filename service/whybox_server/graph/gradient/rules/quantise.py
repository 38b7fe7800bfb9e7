"""Quantised numbers, straight through: steps are ignored, saturation is not.

The gradient of a whole number q is that of the real number which it stands for at scale 1. Scales and
zero points are held fixed. (Bengio, Leonard and Courville 2013, section 4; the mask is that of Jacob et
al. 2018, section 3.1.)
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import TensorProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp

RANGES: Mapping[int, tuple[float, float]] = {
    TensorProto.UINT4: (0.0, 15.0),
    TensorProto.INT4: (-8.0, 7.0),
    TensorProto.UINT8: (0.0, 255.0),
    TensorProto.INT8: (-128.0, 127.0),
    TensorProto.UINT16: (0.0, 65535.0),
    TensorProto.INT16: (-32768.0, 32767.0),
}


def _takes(facts: Facts, node: Node) -> str:
    if node.attr("block_size", 0):
        return "scales in blocks have no gradient rule"
    whole = node.input if node.proto.op_type == "DequantizeLinear" else node.output
    return (
        "" if facts.kinds[whole] in RANGES else "only whole numbers of 4, 8 or 16 bits have a gradient rule"
    )


@vjp("DequantizeLinear", 13, 19, 21, refuses=_takes)
def dequantize(e: Emit, node: Node, dy: Value) -> Gradients:
    """Of y = (q - zero) scale."""
    return [e.Mul(dy, _along_axis(e, node, node.inputs[1]))]


@vjp("QuantizeLinear", 13, 19, 21, refuses=_takes)
def quantize(e: Emit, node: Node, dy: Value) -> Gradients:
    """For q = clip(round(x / scale) + zero): 1 / scale where nothing is clipped, else 0."""
    scale = _along_axis(e, node, node.inputs[1])
    steps = e.Round(e.Div(node.input, scale))
    if node.optional(2):
        steps = e.Add(steps, _along_axis(e, node, e.Cast(node.inputs[2], to=e.kind)))
    low, high = RANGES[e.facts.kinds[node.output]]
    inside = e.Equal(steps, e.Clip(steps, low, high))
    return [e.Where(inside, e.Div(dy, scale), 0.0)]


@vjp("DynamicQuantizeLinear", 11)
def quantize_to_fit(e: Emit, node: Node, dy: Value) -> Gradients:
    """With a scale at which nothing is clipped."""
    return [e.Div(dy, node.outputs[1])]


def _along_axis(e: Emit, node: Node, parameter: Value) -> Value:
    """One number, or one per slice of an axis, ready to be broadcast."""
    if e.facts.lengths(node.inputs[1]) in ((), (1,)):
        return parameter
    rank = e.rank(node.input)
    after = rank - 1 - node.attr("axis", 1) % rank
    return e.Reshape(parameter, [-1, *[1] * after]) if after else parameter
