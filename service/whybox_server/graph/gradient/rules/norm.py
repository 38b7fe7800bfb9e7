"""Normalisations and softmax."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


@vjp("Softmax", 13)
def softmax(e: Emit, node: Node, dy: Value) -> Gradients:
    y = node.output
    weighted = e.Mul(dy, y)
    inner = e.ReduceSum(weighted, [node.attr("axis", -1)], keepdims=1)  # sum_j dy_j y_j
    return [e.Sub(weighted, e.Mul(y, inner))]


@vjp("LogSoftmax", 13)
def log_softmax(e: Emit, node: Node, dy: Value) -> Gradients:
    total = e.ReduceSum(dy, [node.attr("axis", -1)], keepdims=1)
    return [e.Sub(dy, e.Mul(e.Exp(node.output), total))]


def _training(facts: Facts, node: Node) -> str:
    return "it is in training mode; export the model for inference" if node.attr("training_mode", 0) else ""


@vjp("BatchNormalization", 15, refuses=_training)
def batch_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    """For y = scale (x - mean) / sqrt(var + epsilon) + bias, mean and var being given."""
    x, scale, _, mean, var = node.inputs
    spatial = [*range(1, e.rank(x) - 1)]  # makes (c,) a (c, 1, 1)
    inverse = e.Reciprocal(e.Sqrt(e.Add(var, node.attr("epsilon", 1e-5))))  # (c,)
    slope = e.Mul(scale, inverse)
    dx = e.Mul(dy, e.Unsqueeze(slope, spatial))
    if not any(node.wants(place) for place in range(1, 5)):
        return [dx]
    channels = [0, *range(2, e.rank(x))]
    centred = e.Sub(x, e.Unsqueeze(mean, spatial))
    d_bias = e.ReduceSum(dy, channels, keepdims=0)
    d_scale = e.Mul(e.ReduceSum(e.Mul(dy, centred), channels, keepdims=0), inverse)
    d_var = e.Mul(e.Mul(d_scale, e.Mul(slope, inverse)), -0.5)
    return [dx, d_scale, d_bias, e.Neg(e.Mul(d_bias, slope)), d_var]


@vjp("LayerNormalization", 17)
def layer_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    x, scale, rank = node.input, node.inputs[1], e.rank(node.input)
    axes = [*range(node.attr("axis", -1) % rank, rank)]
    unit, inverse = _standardised(e, x, axes, node.attr("epsilon", 1e-5))
    dx = _unstandardised(e, e.Mul(dy, scale), unit, inverse, axes)
    d_scale = e.sum_to(e.Mul(dy, unit), e.shape(x), scale) if node.wants(1) else None
    d_bias = e.sum_to(dy, e.shape(x), node.inputs[2]) if node.wants(2) else None
    return [dx, d_scale, d_bias][: len(node.inputs)]


@vjp("InstanceNormalization", 6)
def instance_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    x, scale, rank = node.input, node.inputs[1], e.rank(node.input)
    axes = [*range(2, rank)]
    unit, inverse = _standardised(e, x, axes, node.attr("epsilon", 1e-5))
    wide = e.Unsqueeze(scale, [*range(1, rank - 1)])  # (c, 1, 1)
    dx = _unstandardised(e, e.Mul(dy, wide), unit, inverse, axes)
    channels = [0, *axes]
    d_scale = e.ReduceSum(e.Mul(dy, unit), channels, keepdims=0)
    return [dx, d_scale, e.ReduceSum(dy, channels, keepdims=0)]


def _standardised(e: Emit, x: Value, axes: list[int], epsilon: float) -> tuple[Value, Value]:
    """(x - mean) / sigma and 1 / sigma, over these axes."""
    centred = e.Sub(x, e.ReduceMean(x, axes, keepdims=1))
    variance = e.ReduceMean(e.Mul(centred, centred), axes, keepdims=1)
    inverse = e.Reciprocal(e.Sqrt(e.Add(variance, epsilon)))
    return e.Mul(centred, inverse), inverse


def _unstandardised(e: Emit, du: Value, unit: Value, inverse: Value, axes: list[int]) -> Value:
    """(du - mean(du) - u mean(du u)) / sigma: neither a shift nor a scale of x changes u."""
    shift = e.ReduceMean(du, axes, keepdims=1)
    scale = e.ReduceMean(e.Mul(du, unit), axes, keepdims=1)
    return e.Mul(inverse, e.Sub(e.Sub(du, shift), e.Mul(unit, scale)))


def _channels(facts: Facts, node: Node) -> str:
    known = isinstance(facts.shapes[node.input][1], int)
    return "" if known else "its number of channels is not known"


@vjp("LRN", 13, refuses=_channels)
def local_response_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    """For y = x b^-beta with b = bias + alpha mean(x^2) over `size` neighbouring channels.

    dx = dy b^-beta - 2 alpha beta x mean'(dy y / b), mean' reading the mirrored neighbours.
    """
    x, y, size = node.input, node.output, node.attr("size", 1)
    alpha, beta, bias = node.attr("alpha", 1e-4), node.attr("beta", 0.75), node.attr("bias", 1.0)
    less, more = (size - 1) // 2, size // 2

    def neighbours(values: Value, before: int, after: int) -> Value:
        planes = e.Reshape(values, [0, 1, int(e.shape(x)[1] or 0), -1])
        pads = [before, 0, after, 0]
        means = e.AveragePool(planes, kernel_shape=[size, 1], pads=pads, count_include_pad=1)
        return e.Reshape(means, e.dims(x))

    b = e.Add(e.Mul(neighbours(e.Mul(x, x), less, more), alpha), bias)
    pulled = neighbours(e.Div(e.Mul(dy, y), b), more, less)
    return [e.Sub(e.Mul(dy, e.Pow(b, -beta)), e.Mul(e.Mul(x, pulled), 2 * alpha * beta))]
