"""Pools."""

from __future__ import annotations

from math import prod

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules.moves import put_back
from whybox_server.graph.gradient.rules.windows import spread, unplaced, windows_of
from whybox_server.graph.gradient.table import Gradients, vjp


def _by_columns(facts: Facts, node: Node) -> str:
    return (
        "storage_order=1 is not supported; export with row-major indices"
        if node.attr("storage_order", 0)
        else ""
    )


@vjp("MaxPool", 12, refuses=_by_columns)
def max_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """To the first largest element of each window. The forward node is asked for its indices, which
    count through the whole tensor, rows of the batch included.
    """
    places = e.builder.extra_output(node.proto, 1)
    return [put_back(e, places, dy, node.input)]


def _uncounted(facts: Facts, node: Node) -> str:
    if unplaced(facts, node):
        return unplaced(facts, node)
    if _shares(facts, node) is None:
        return "windows hold unlike numbers of elements and height and width are not fixed"
    return ""


@vjp("AveragePool", 11, 19, refuses=_uncounted)
def average_pool(e: Emit, node: Node, dy: Value) -> Gradients:
    """Each window's share goes to all of its elements: a ConvTranspose with ones, channel by channel."""
    x, windows, shares = node.input, windows_of(e.facts, node), _shares(e.facts, node)
    assert windows is not None, "refused before"
    assert shares is not None, "refused before"
    planes = e.Reshape(e.Mul(dy, shares), e.Concat([-1, 1], e.length(node.output, 2), axis=0))
    ones = e.constant(np.ones((1, 1, *windows.kernel)))
    full = spread(e, planes, ones, windows, 1, e.length(x, 2))
    return [e.Reshape(full, e.dims(x))]


def _shares(facts: Facts, node: Node) -> Array | None:
    """One over the number of elements of each window, (1, 1, *out), or () if all are alike.

    None if it depends on lengths that are not known.
    """
    windows = windows_of(facts, node)
    if windows is None:
        return None
    padded = bool(node.attr("count_include_pad", 0)) or not any((*windows.begins, *windows.ends))
    if padded and not node.attr("ceil_mode", 0):
        return np.array(1 / prod(windows.kernel))
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
    return 1 / np.maximum(counts, 1)


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
