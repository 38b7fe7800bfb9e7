"""Which tensors of a graph are maps: channels at places, as convolutions make them.

Shapes alone do not tell: (heads, tokens, tokens) looks like channels at places and is none. So maps
begin at convolutions, and last as long as every place stays a place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from onnx import NodeProto, helper

from whybox_server.graph.gradient.facts import Facts, Shape, Value
from whybox_server.graph.walk import attribute

POOLS = frozenset({"AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "MaxPool"})
# Their channels are at axis 1 by definition.
MAKERS = POOLS | {"Conv", "ConvTranspose", "DepthToSpace", "SpaceToDepth"}
# They may change lengths, and leave every axis where it is.
KEEPERS = frozenset({"Concat", "Pad", "ReduceMean", "Resize", "Slice", "Split"})
LEAST_AXES = 3  # rows, channels, and at least one of places


def channel_axes(nodes: Iterable[NodeProto], facts: Facts) -> Mapping[Value, int]:
    """The axis of the channels, by tensor; what is not in here is no map."""
    found: dict[Value, int] = {}
    for node in nodes:
        axis = 1 if node.op_type in MAKERS else _kept(node, facts, found)
        for name in node.output:
            if axis is not None and len(facts.shapes.get(name, ())) >= LEAST_AXES:
                found[name] = axis
    return found


def _kept(node: NodeProto, facts: Facts, found: Mapping[Value, int]) -> int | None:
    """The axis of the channels behind an operator that leaves places where they are."""
    shape = facts.shapes.get(node.output[0])
    maps = [name for name in node.input if name in found and len(facts.shapes[name]) == len(shape or ())]
    if shape is None or not maps:
        return None
    if node.op_type == "Transpose":
        return _permutation(node, len(shape)).index(found[maps[0]])
    per_place = node.op_type == "MatMul" and found[maps[0]] == len(shape) - 1
    if per_place or node.op_type in KEEPERS:
        return found[maps[0]]
    return next((found[name] for name in maps if _alike(facts.shapes[name], shape)), None)


def _permutation(node: NodeProto, rank: int) -> list[int]:
    given = attribute(node, "perm")
    return list(range(rank))[::-1] if given is None else list(helper.get_attribute_value(given))


def _alike(one: Shape, other: Shape) -> bool:
    """Whether lengths that are known are equal; rows may be counted under different names."""
    pairs = zip(one, other, strict=True)
    return all(a == b or not (isinstance(a, int) and isinstance(b, int)) for a, b in pairs)
