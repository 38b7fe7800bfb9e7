"""Operators of onnxruntime's own, which it writes into models that it has optimised and saved.

What each of them computes is said in its schema, docs/ContribOperators.md of onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import pi, sqrt

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites

MICROSOFT = "com.microsoft"
GELU_CUBIC = 0.044715  # Hendrycks and Gimpel 2016, section 2
SKIP_EPSILON, NORM_EPSILON = 1e-12, 1e-5  # defaults of the two families
KEPT = {
    "Conv": ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides"),
    "Gemm": ("alpha", "beta", "transA", "transB"),
}  # attributes that a fused operator shares with the one inside


@rewrites(MICROSOFT, "FusedMatMul", "TransposeMatMul", "FusedMatMulActivation")
def matmul(e: Emit, node: Node) -> list[Value] | None:
    """Both factors may be turned in their batch axes, then in their last two."""
    a, b = (_turned(e, node, place, side) for place, side in enumerate("AB"))
    product = e.MatMul(a, b)
    alpha = node.attr("alpha", 1.0)
    params = [node.attr(f"activation_{name}", None) for name in ("alpha", "beta")]
    return _activated(e, product if alpha == 1 else e.Mul(product, float(alpha)), node, params)


def _turned(e: Emit, node: Node, place: int, side: str) -> Value:
    x = node.inputs[place]
    rank = e.rank(x)
    perm = [*range(rank)]
    if rank > 1 and node.attr(f"transBatch{side}", 0):
        perm = [*range(1, rank - 1), 0, rank - 1]
    if rank > 1 and node.attr(f"trans{side}", 0):
        perm[-2:] = perm[:-3:-1]
    return x if perm == [*range(rank)] else e.Transpose(x, perm=perm)


@rewrites(MICROSOFT, "FusedConv", "FusedGemm")
def fused(e: Emit, node: Node) -> list[Value] | None:
    """Conv may add one more tensor before its activation."""
    op = node.proto.op_type.removeprefix("Fused")
    inside = {name: value for name, value in node.attributes.items() if name in KEPT[op]}
    y = getattr(e, op)(*node.inputs[:3], **inside)
    y = e.Add(y, node.inputs[3]) if node.optional(3) else y
    params = [node.attr(f"activation_{name}", None) for name in ("alpha", "beta")]
    return _activated(e, y, node, node.attr("activation_params", params))


def _activated(e: Emit, x: Value, node: Node, params: Sequence[float | None]) -> list[Value] | None:
    """What comes after; None for an activation that is not known."""
    first, second = (*params, None, None)[:2]
    match node.attr("activation", ""):
        case "":
            return [x]
        case "Relu" | "Sigmoid" | "Tanh" as op:
            return [getattr(e, op)(x)]
        case "LeakyRelu":
            return [e.LeakyRelu(x, alpha=first)]
        case "HardSigmoid":
            return [e.HardSigmoid(x, alpha=first, beta=second)]
        case "Clip":
            return [e.Clip(x, first, second)]
        case "Softmax":
            return [e.Softmax(x, axis=node.attr("activation_axis", -1))]
    return None


@rewrites(MICROSOFT, "Gelu", "BiasGelu")
def gelu(e: Emit, node: Node) -> list[Value]:
    return [_gelu(e, e.Add(*node.inputs) if len(node.inputs) > 1 else node.input)]


@rewrites(MICROSOFT, "BiasSplitGelu")
def split_gelu(e: Emit, node: Node) -> list[Value]:
    """The first half of the channels times what the second makes of it."""
    left, right = e.several("Split", 2, e.Add(*node.inputs), axis=-1, num_outputs=2)
    return [e.Mul(left, _gelu(e, right))]


def _gelu(e: Emit, x: Value) -> Value:
    return e.Mul(x, e.Mul(e.Add(e.Erf(e.Mul(x, sqrt(1 / 2))), 1.0), 0.5))


@rewrites(MICROSOFT, "FastGelu")
def fast_gelu(e: Emit, node: Node) -> list[Value]:
    x = e.Add(*node.inputs) if node.optional(1) else node.input
    inner = e.Mul(e.Mul(x, e.Add(e.Mul(e.Mul(x, x), GELU_CUBIC), 1.0)), sqrt(2 / pi))
    return [e.Mul(x, e.Mul(e.Add(e.Tanh(inner), 1.0), 0.5))]


@rewrites(MICROSOFT, "QuickGelu")
def quick_gelu(e: Emit, node: Node) -> list[Value]:
    """The product x sigmoid(alpha x)."""
    x = node.input
    return [e.Mul(x, e.Sigmoid(e.Mul(x, float(node.attr("alpha", 1.702)))))]


@rewrites(MICROSOFT, "BiasAdd")
def bias_add(e: Emit, node: Node) -> list[Value]:
    x, bias, skip = node.inputs
    return [e.Add(e.Add(x, bias), skip)]


@rewrites(MICROSOFT, "SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
def skip_norm(e: Emit, node: Node) -> list[Value] | None:
    """The fourth output is the sum; mean and deviation are for training."""
    if any(node.outputs[1:3]):
        return None
    simplified = node.proto.op_type == "SkipSimplifiedLayerNormalization"
    bias = node.optional(3 if simplified else 4)
    total = e.Add(node.input, node.inputs[1])
    total = e.Add(total, bias) if bias else total
    scale, epsilon = node.inputs[2], node.attr("epsilon", SKIP_EPSILON)
    if simplified:
        return [root_mean_square(e, total, scale, epsilon), "", "", total]
    return [e.LayerNormalization(total, scale, node.optional(3), axis=-1, epsilon=epsilon), "", "", total]


@rewrites("", "SimplifiedLayerNormalization")
def simplified_norm(e: Emit, node: Node) -> list[Value] | None:
    """Under the standard domain's name, though ONNX has none."""
    last = node.attr("axis", -1) in (-1, e.rank(node.input) - 1)
    if not last or any(node.outputs[1:]):
        return None
    x, scale = node.inputs
    return [root_mean_square(e, x, scale, node.attr("epsilon", NORM_EPSILON))]


def root_mean_square(e: Emit, x: Value, scale: Value, epsilon: float) -> Value:
    """The row x over its root mean square (Zhang and Sennrich 2019, equation 4)."""
    size = e.Sqrt(e.Add(e.ReduceMean(e.Mul(x, x), [-1], keepdims=1), float(epsilon)))
    return e.Mul(e.Div(x, size), scale)
