"""Resize is linear in x and works axis by axis, so that its weights can be read off.

The operator itself is asked what it makes of the rows of the identity matrix: whatever the mode, the
coordinates and the runtime's rounding are, the answer is the matrix that y = W x was computed with.
Where lengths are known a runtime does that once, when it loads the model.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import floor

import numpy as np

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp

CROP = "tf_crop_and_resize"
OF_ALL_AXES = frozenset({"axes", "keep_aspect_ratio_policy"})


def _askew(facts: Facts, node: Node) -> str:
    if not _keeps_aspect(node) or _common_scale(facts, node) is not None:
        return ""
    return "keep_aspect_ratio_policy rounds lengths that its scale does not give; export with sizes alone"


@vjp("Resize", 18, 19, refuses=_askew)
def resize(e: Emit, node: Node, dy: Value) -> Gradients:
    """One product with W per axis that is resized."""
    rank = e.rank(node.input)
    for place, axis in _changed(e.facts, node):
        w = _weights(e, node, place, axis)  # (length of x, of y)
        if axis == rank - 2:
            dy = e.MatMul(w, dy)
            continue
        swap = [*range(rank)]
        swap[axis], swap[-1] = rank - 1, axis
        last = dy if axis == rank - 1 else e.Transpose(dy, perm=swap)
        product = e.MatMul(last, e.Transpose(w, perm=[1, 0]))
        dy = product if axis == rank - 1 else e.Transpose(product, perm=swap)
    return [dy]


def _weights(e: Emit, node: Node, place: int, axis: int) -> Value:
    """What each unit vector of this axis becomes; asked as one image of which only the width changes."""
    length = e.length(node.input, axis, axis + 1)
    unit = e.Unsqueeze(e.identity(length), [0, 1])
    given = {key: value for key, value in node.attributes.items() if key not in OF_ALL_AXES}
    scales, sizes = _target(e, node, place, length)
    answer = e.Resize(unit, _region(e, node, place), scales, sizes, **(given | {"extrapolation_value": 0.0}))
    return e.Squeeze(answer, [0, 1])


def _target(e: Emit, node: Node, place: int, length: Value) -> tuple[Value | None, Value | None]:
    """Scales or sizes, as the node has them."""
    ones = e.builder.constant(np.ones(3, np.float32))
    if _keeps_aspect(node):
        common = np.array([_common_scale(e.facts, node)], np.float32)
        return e.Concat(ones, e.builder.constant(common), axis=0), None
    if scales := _scales(e.facts, node):
        return e.Concat(ones, e.Slice(scales, [place], [place + 1]), axis=0), None
    return None, e.Concat([1, 1], length, e.Slice(node.inputs[3], [place], [place + 1]), axis=0)


def _region(e: Emit, node: Node, place: int) -> Value | None:
    """What part of the axis is read, from 0 to 1."""
    if node.attr("coordinate_transformation_mode", "half_pixel") != CROP:
        return None
    roi = node.inputs[1]
    typed, count = Emit(e.builder, e.facts.kinds[roi]), len(_all_axes(e.facts, node))
    start, end = (e.Slice(roi, [at], [at + 1]) for at in (place, place + count))
    return typed.Concat(np.zeros(3), start, np.ones(3), end, axis=0)


def _all_axes(facts: Facts, node: Node) -> list[int]:
    rank = len(facts.shapes[node.input])
    return [axis % rank for axis in node.attr("axes", range(rank))]


def _changed(facts: Facts, node: Node) -> Iterator[tuple[int, int]]:
    """Axes that may be resized, each with its place in scales and sizes."""
    crops = node.attr("coordinate_transformation_mode", "half_pixel") == CROP
    for place, axis in enumerate(_all_axes(facts, node)):
        if crops or not _stays(facts, node, place, axis):
            yield place, axis


def _stays(facts: Facts, node: Node, place: int, axis: int) -> bool:
    """True if the axis is surely left alone; a length may stay although its scale is not 1."""
    if named := _scales(facts, node):
        scales = facts.array(named)
        return scales is not None and bool(scales[place] == 1)
    length = facts.shapes[node.input][axis]
    return length is not None and length == facts.shapes[node.output][axis]


def _scales(facts: Facts, node: Node) -> Value:
    """Their name, "" for none; old exporters leave them empty instead."""
    name = node.optional(2)
    return "" if facts.lengths(name) == (0,) else name


def _keeps_aspect(node: Node) -> bool:
    return bool(node.attr("keep_aspect_ratio_policy", "stretch") != "stretch")


def _common_scale(facts: Facts, node: Node) -> float | None:
    """The one that all axes share; None if it is not known, or gives other lengths than the node has."""
    sizes, axes = facts.array(node.optional(3)), _all_axes(facts, node)
    lengths = [(facts.shapes[node.input][axis], facts.shapes[node.output][axis]) for axis in axes]
    if sizes is None or not all(isinstance(length, int) for pair in lengths for length in pair):
        return None
    pairs = [(int(n or 0), int(m or 0)) for n, m in lengths]
    choose = max if node.attr("keep_aspect_ratio_policy", "stretch") == "not_smaller" else min
    common = choose(float(np.float32(size / n)) for size, (n, _) in zip(sizes, pairs, strict=True))
    return common if all(floor(n * common) == m for n, m in pairs) else None
