"""Pools."""

from __future__ import annotations

from math import prod

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules.moves import put_back
from whybox_server.graph.gradient.rules.reduce import steep
from whybox_server.graph.gradient.rules.windows import Windows, spread, windows_of
from whybox_server.graph.gradient.table import Gradients, vjp


@vjp("MaxPool", 12)
def max_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """To the first largest element of each window. The forward node is asked for its indices, which
    count through the whole tensor, rows of the batch included.
    """
    x, places = node.input, e.builder.extra_output(node.proto, 1)
    if not node.attr("storage_order", 0):
        return [put_back(e, places, dy, x)]
    mirror = [0, 1, *range(e.rank(x) - 1, 1, -1)]  # indices count columns first
    return [e.Transpose(put_back(e, places, dy, x, e.Gather(e.dims(x), mirror)), perm=mirror)]


def _stretched(facts: Facts, node: Node) -> str:
    return "output_shape is set, so that its indices count through another shape" if node.optional(2) else ""


@vjp("MaxUnpool", 11, refuses=_stretched)
def max_unpool(e: Emit, node: Node, dy: Value) -> Gradients:
    """Each number was put at its place; what the others got belongs to zeros."""
    flat = e.Reshape(dy, [-1])
    return [e.Reshape(e.GatherElements(flat, e.Reshape(node.inputs[1], [-1])), e.dims(node.input))]


@vjp("AveragePool", 11, 19)
def average_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """Each window's share goes to all of its elements."""
    return [_to_windows(e, node, _share(e, node, dy))]


@vjp("LpPool", 18)
def lp_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """For y = (sum |x|^p)^(1/p): dx = dy y^(1 - p) |x|^(p - 1) sign(x), and 0 where all are 0."""
    share = _of_power(e, node, dy)
    return [e.Mul(_to_windows(e, node, share), steep(e, node.input, node.attr("p", 2)))]


def _of_power(e: Emit, node: Node, dy: Value) -> Value:
    """From the gradient of a p-norm y to that of y^p, over p."""
    y, p = node.output, node.attr("p", 2)
    return e.Mul(dy, e.Pow(e.Where(e.Equal(y, 0.0), 1.0, y), float(1 - p)))


def _to_windows(e: Emit, node: Node, share: Value) -> Value:
    """Share to every element of its window: a ConvTranspose with ones, channel by channel."""
    x, windows = node.input, _windows(e.facts, node)
    planes = e.Reshape(share, e.Concat([-1, 1], e.length(node.output, 2), axis=0))
    ones = e.constant(np.ones((1, 1, *windows.kernel)))
    return e.Reshape(spread(e, planes, ones, windows, 1, e.length(x, 2)), e.dims(x))


def _windows(facts: Facts, node: Node) -> Windows:
    windows = windows_of(facts, node)
    assert windows is not None, "a pool names its kernel"
    return windows


def _share(e: Emit, node: Node, dy: Value) -> Value:
    """Over the number of elements of the window, which is found out if lengths are not known."""
    windows = _windows(e.facts, node)
    counts = _counts(e.facts, node, windows)
    return e.Div(dy, _counted(e, node, windows)) if counts is None else e.Mul(dy, 1 / counts)


def _padded(node: Node, windows: Windows) -> bool:
    """True if pads count as elements, or there are none."""
    return bool(node.attr("count_include_pad", 0)) or not any((windows.same, *windows.begins, *windows.ends))


def _counts(facts: Facts, node: Node, windows: Windows) -> Array | None:
    """Number of elements of each window, (1, 1, *out), or () if all are alike.

    None if it depends on lengths that are not known.
    """
    padded = _padded(node, windows)
    if padded and (windows.same or not node.attr("ceil_mode", 0)):
        return np.array(float(prod(windows.kernel)))
    counts = np.ones((1, 1))
    for axis, at in enumerate(windows.axes):
        length, out = facts.shapes[node.input][at], facts.shapes[node.output][at]
        if not isinstance(length, int) or not isinstance(out, int):
            return None
        begin, end = (windows.begins[axis], windows.ends[axis]) if padded else (0, 0)
        starts = np.arange(out) * windows.strides[axis] - windows.begins[axis]
        taps = starts[:, None] + np.arange(windows.kernel[axis]) * windows.dilations[axis]  # (out, k)
        inside = ((taps >= -begin) & (taps < length + end)).sum(axis=1)
        counts = counts[..., None] * inside
    return np.maximum(counts, 1)


def _counted(e: Emit, node: Node, windows: Windows) -> Value:
    """The same when the model runs: the windows slide over ones."""
    lengths, begins, ends = e.length(node.input, 2), [*windows.begins], [*windows.ends]
    if _padded(node, windows):
        lengths = e.Add(lengths, [begin + end for begin, end in zip(begins, ends, strict=True)])
        begins = ends = [0] * len(begins)
    if node.attr("ceil_mode", 0):
        ends = [end + stride - 1 for end, stride in zip(ends, windows.strides, strict=True)]
    ones = e.Expand(e.constant(np.ones(1)), e.Concat([1, 1], lengths, axis=0))
    places = {"auto_pad": windows.same} if windows.same else {"pads": [*begins, *ends]}
    kernel = e.constant(np.ones((1, 1, *windows.kernel)))
    counts = e.Conv(ones, kernel, strides=windows.strides, dilations=windows.dilations, **places)
    fitting = e.Slice(counts, [0] * len(begins), e.length(node.output, 2), windows.axes)
    return e.Max(fitting, 1.0)


@vjp("GlobalAveragePool", 1)
def global_average_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """Size(x) / Size(y) elements share each gradient."""
    x, y = node.input, node.output
    count = e.CastLike(e.Div(e.Size(x), e.Size(y)), dy)
    return [e.Expand(e.Div(dy, count), e.dims(x))]


@vjp("GlobalMaxPool", 1)
def global_max_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """Ties share evenly."""
    x = node.input
    hits = e.CastLike(e.Equal(x, node.output), dy)
    return [e.Mul(hits, e.Div(dy, e.ReduceSum(hits, [*range(2, e.rank(x))], keepdims=1)))]


@vjp("GlobalLpPool", 2)
def global_lp_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """As LpPool with one window."""
    return [e.Mul(_of_power(e, node, dy), steep(e, node.input, node.attr("p", 2)))]
