"""Normalisations and softmax."""

from __future__ import annotations

from collections.abc import Iterator

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


@vjp("LayerNormalization", 17, outputs=None)
def layer_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    """The forward node is asked for mean and 1 / sigma, which it has computed anyway."""
    x, scale, rank = node.input, node.inputs[1], e.rank(node.input)
    axes = [*range(node.attr("axis", -1) % rank, rank)]
    mean, inverse = (e.Cast(e.builder.extra_output(node.proto, place), to=e.kind) for place in (1, 2))
    centred = e.Sub(x, mean)
    dx = _unstandardised(e, e.Mul(dy, scale), centred, inverse, axes)
    for d_moment in _moments(e, node, centred, inverse):
        dx = e.Add(dx, e.Div(d_moment, e.Cast(e.Div(e.Size(x), e.Size(mean)), to=e.kind)))
    d_scale = e.sum_to(e.Mul(dy, e.Mul(centred, inverse)), e.shape(x), scale) if node.wants(1) else None
    d_bias = e.sum_to(dy, e.shape(x), node.inputs[2]) if node.wants(2) else None
    return [dx, d_scale, d_bias][: len(node.inputs)]


def _moments(e: Emit, node: Node, centred: Value, inverse: Value) -> Iterator[Value]:
    """What the gradients of mean and 1 / sigma are for x, times its length: d sigma^-1 = -sigma^-3 (x - mean)."""
    _, mean, sigma = node.outputs
    if mean in node.gradients:
        yield e.Cast(node.gradients[mean], to=e.kind)
    if sigma in node.gradients:
        cube = e.Mul(inverse, e.Mul(inverse, inverse))
        yield e.Neg(e.Mul(centred, e.Mul(cube, e.Cast(node.gradients[sigma], to=e.kind))))


@vjp("InstanceNormalization", 6)
def instance_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    x, scale, rank = node.input, node.inputs[1], e.rank(node.input)
    axes = [*range(2, rank)]
    centred, inverse = _centred(e, x, axes, node.attr("epsilon", 1e-5))
    wide = e.Unsqueeze(scale, [*range(1, rank - 1)])  # (c, 1, 1)
    dx = _unstandardised(e, e.Mul(dy, wide), centred, inverse, axes)
    channels = [0, *axes]
    d_scale = e.ReduceSum(e.Mul(dy, e.Mul(centred, inverse)), channels, keepdims=0)
    return [dx, d_scale, e.ReduceSum(dy, channels, keepdims=0)]


def _centred(e: Emit, x: Value, axes: list[int], epsilon: float) -> tuple[Value, Value]:
    """The differences x - mean, and 1 / sigma, over these axes."""
    centred = e.Sub(x, e.ReduceMean(x, axes, keepdims=1))
    variance = e.ReduceMean(e.Mul(centred, centred), axes, keepdims=1)
    return centred, e.Reciprocal(e.Sqrt(e.Add(variance, epsilon)))


def _unstandardised(e: Emit, du: Value, centred: Value, inverse: Value, axes: list[int]) -> Value:
    """(du - mean(du) - u mean(du u)) / sigma for u = (x - mean) / sigma: neither a shift nor a scale of x
    changes u. Everything but three products and two differences has one number per row.
    """
    shift = e.ReduceMean(du, axes, keepdims=1)
    along = e.ReduceMean(e.Mul(du, centred), axes, keepdims=1)
    scale = e.Mul(along, e.Mul(inverse, inverse))
    return e.Mul(inverse, e.Sub(e.Sub(du, shift), e.Mul(centred, scale)))


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


@vjp("LpNormalization", 1)
def lp_norm(e: Emit, node: Node, dy: Value) -> Gradients:
    """For y = x / |x|_p: (dy - d|x|_p sum(dy y)) / |x|_p, and 0 where x is 0."""
    x, y, axis, p = node.input, node.output, node.attr("axis", -1), node.attr("p", 2)
    norm = (e.ReduceL1 if p == 1 else e.ReduceL2)(x, [axis], keepdims=1)
    empty = e.Equal(norm, 0.0)
    length = e.Where(empty, 1.0, norm)
    along = e.Sign(x) if p == 1 else y
    pulled = e.Mul(along, e.ReduceSum(e.Mul(dy, y), [axis], keepdims=1))
    return [e.Where(empty, 0.0, e.Div(e.Sub(dy, pulled), length))]
