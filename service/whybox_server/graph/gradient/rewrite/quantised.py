"""Arithmetic on quantised numbers, said in real ones: dequantise, compute, quantise.

What comes out differs from the integer kernels by at most the rounding of float32 before the last step.
How a gradient passes the steps is the business of `rules/quantise.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from whybox_server.graph.gradient.emit import Emit, Operand
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites

MICROSOFT = "com.microsoft"
BYTES = frozenset({TensorProto.INT8, TensorProto.UINT8})
ALIKE = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearSigmoid": "Sigmoid",
    "QLinearSoftmax": "Softmax",
}
OWN_ATTRIBUTES = frozenset({"channels_last", "opset"})  # those that the real operators lack
FLAT_SOFTMAX = 13  # before this opset a Softmax takes all axes from `axis` on as one


def real(e: Emit, q: Value, scale: Operand, zero: Value, axis: int = 1) -> Value:
    """What q stands for. scale, zero: one number, or one per slice of the axis."""
    lengths = e.facts.lengths(zero) or ()
    if isinstance(scale, float) and lengths not in ((), (1,)):
        scale = np.full(lengths, scale)
    if isinstance(scale, str) and e.facts.lengths(scale) == (1,):
        scale = e.Reshape(scale, [])
    return e.DequantizeLinear(q, scale, _scalar(e, zero) if lengths == (1,) else zero or None, axis=axis)


def _scalar(e: Emit, x: Value) -> Value:
    return e.Reshape(x, []) if e.facts.lengths(x) == (1,) else x


def _stored(e: Emit, y: Value, scale: Value, zero: Value) -> list[Value]:
    return [e.QuantizeLinear(y, _scalar(e, scale), _scalar(e, zero))]


def _attributes(node: Node) -> dict[str, Any]:
    return {key: value for key, value in node.attributes.items() if key not in OWN_ATTRIBUTES}


@rewrites("", "QLinearConv")
def conv(e: Emit, node: Node) -> list[Value]:
    x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = node.inputs[:8]
    bias = _bias(e, node.optional(8), x_scale, w_scale)
    y = e.Conv(real(e, x, x_scale, x_zero), real(e, w, w_scale, w_zero, 0), bias, **node.attributes)
    return _stored(e, y, y_scale, y_zero)


def _bias(e: Emit, bias: Value, *scales: Value) -> Value | None:
    """Whole numbers in units of the product of the scales."""
    return e.Mul(e.Cast(bias, to=e.kind), e.Mul(*scales)) if bias else None


@rewrites("", "QLinearMatMul")
def matmul(e: Emit, node: Node) -> list[Value] | None:
    a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero = node.inputs
    if max(e.rank(a_scale), e.rank(b_scale)) > 1:
        return None
    y = e.MatMul(real(e, a, a_scale, a_zero, e.rank(a) - 2), real(e, b, b_scale, b_zero, e.rank(b) - 1))
    return _stored(e, y, y_scale, y_zero)


@rewrites("", "ConvInteger")
def conv_of_integers(e: Emit, node: Node) -> list[Value]:
    """Real numbers that are whole: a Cast to real ones follows, and has nothing left to do."""
    x, w = node.inputs[:2]
    whole = real(e, x, 1.0, node.optional(2)), real(e, w, 1.0, node.optional(3), 0)
    return [e.Conv(*whole, **node.attributes)]


@rewrites("", "MatMulInteger")
def matmul_of_integers(e: Emit, node: Node) -> list[Value] | None:
    a, b = node.inputs[:2]
    zeros = node.optional(2), node.optional(3)
    if any(zero and e.rank(zero) > 1 for zero in zeros):
        return None
    return [e.MatMul(real(e, a, 1.0, zeros[0], e.rank(a) - 2), real(e, b, 1.0, zeros[1], e.rank(b) - 1))]


@rewrites(MICROSOFT, "MatMulIntegerToFloat")
def matmul_to_float(e: Emit, node: Node) -> list[Value]:
    a, b, a_scale, b_scale = node.inputs[:4]
    y = e.MatMul(
        real(e, a, a_scale, node.optional(4), e.rank(a) - 2),
        real(e, b, b_scale, node.optional(5), e.rank(b) - 1),
    )
    return [e.Add(y, node.optional(6)) if node.optional(6) else y]


@rewrites(MICROSOFT, "DynamicQuantizeMatMul")
def dynamic_matmul(e: Emit, node: Node) -> list[Value]:
    a, b, b_scale = node.inputs[:3]
    q, scale, zero = e.several("DynamicQuantizeLinear", 3, a)
    rows = e.DequantizeLinear(q, scale, zero)
    y = e.MatMul(rows, real(e, b, b_scale, node.optional(3), e.rank(b) - 1))
    return [e.Add(y, node.optional(4)) if node.optional(4) else y]


@rewrites(MICROSOFT, "QGemm")
def gemm(e: Emit, node: Node) -> list[Value]:
    """The bias is in units of alpha times both scales, so that all is multiplied by alpha at once."""
    a, a_scale, a_zero, b, b_scale, b_zero = node.inputs[:6]
    flip_a, flip_b, alpha = node.attr("transA", 0), node.attr("transB", 0), node.attr("alpha", 1.0)
    bias = _bias(e, node.optional(6), a_scale, b_scale)
    columns = 0 if flip_b else 1
    y = e.Gemm(
        real(e, a, a_scale, a_zero),
        real(e, b, b_scale, b_zero, columns),
        bias,
        alpha=alpha,
        beta=alpha,
        transA=flip_a,
        transB=flip_b,
    )
    return _stored(e, y, node.inputs[7], node.optional(8)) if node.optional(7) else [y]


@rewrites(MICROSOFT, "QLinearAdd", "QLinearMul")
def pair(e: Emit, node: Node) -> list[Value]:
    emit = getattr(e, node.proto.op_type.removeprefix("QLinear"))
    a, a_scale, a_zero, b, b_scale, b_zero = node.inputs[:6]
    return _stored(e, emit(real(e, a, a_scale, a_zero), real(e, b, b_scale, b_zero)), *_result(node, 6))


@rewrites(MICROSOFT, *ALIKE)
def alike(e: Emit, node: Node) -> list[Value] | None:
    """One operand."""
    x, scale, zero = node.inputs[:3]
    axis = node.attr("axis", -1) % max(e.rank(x), 1)
    flat = node.proto.op_type == "QLinearSoftmax" and node.attr("opset", FLAT_SOFTMAX) < FLAT_SOFTMAX
    if node.attr("channels_last", 0) or (flat and axis != e.rank(x) - 1):
        return None
    y = getattr(e, ALIKE[node.proto.op_type])(real(e, x, scale, zero), **_attributes(node))
    return _stored(e, y, *_result(node, 3))


def _result(node: Node, place: int) -> tuple[Value, Value]:
    """Scale and zero point of the output."""
    return node.inputs[place], node.optional(place + 1)


@rewrites(MICROSOFT, "QLinearConcat")
def concat(e: Emit, node: Node) -> list[Value]:
    y_scale, y_zero, *parts = node.inputs
    triples = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    joined = e.Concat(*(real(e, *part) for part in triples), axis=node.attr("axis", 0))
    return _stored(e, joined, y_scale, y_zero)


@rewrites(MICROSOFT, "QuantizeLinear", "DequantizeLinear")
def linear(e: Emit, node: Node) -> list[Value] | None:
    """The same operators by another name, for more types."""
    whole = node.input if node.proto.op_type == "DequantizeLinear" else node.optional(2)
    if whole and e.facts.kinds[whole] not in BYTES:
        return None
    return [getattr(e, node.proto.op_type)(*node.inputs, **node.attributes)]
