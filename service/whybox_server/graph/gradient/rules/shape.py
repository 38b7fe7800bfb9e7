"""Operators that change a tensor's shape or type and keep its numbers in order."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


@vjp("Reshape", 14, 19, 21)
@vjp("Flatten", 13, 21)
@vjp("Squeeze", 13, 21)
@vjp("Unsqueeze", 13, 21)
def reshape(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Reshape(dy, e.dims(node.input))]


@vjp("Transpose", 13, 21)
def transpose(e: Emit, node: Node, dy: Value) -> Gradients:
    """The inverse permutation; none given reverses the axes."""
    perm = node.attr("perm", [*reversed(range(e.rank(node.input)))])
    return [e.Transpose(dy, perm=[perm.index(axis) for axis in range(len(perm))])]


@vjp("Identity", 16, 19, 21)
def identity(e: Emit, node: Node, dy: Value) -> Gradients:
    return [dy]


@vjp("Cast", 13, 19, 21)
@vjp("CastLike", 15, 19, 21)
def cast(e: Emit, node: Node, dy: Value) -> Gradients:
    """Back to the type of x; casts to and from whole numbers carry no gradient."""
    return [e.Cast(dy, to=e.facts.kinds[node.input])]


def _drops(facts: Facts, node: Node) -> str:
    if not node.optional(2):
        return ""
    training = facts.array(node.inputs[2])
    off = training is not None and not training.any()
    return "" if off else "it may be in training mode; export the model for inference"


@vjp("Dropout", 13, refuses=_drops)
def dropout(e: Emit, node: Node, dy: Value) -> Gradients:
    return [dy]


@vjp("Expand", 13)
def expand(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.sum_to(dy, e.shape(node.output), node.input)]


@vjp("Concat", 13)
def concat(e: Emit, node: Node, dy: Value) -> Gradients:
    axis = node.attr("axis", 0) % e.rank(node.output)
    sizes = e.Concat(*(e.length(x, axis, axis + 1) for x in node.inputs), axis=0)
    return e.several("Split", len(node.inputs), dy, sizes, axis=axis)


def _nameless(facts: Facts, node: Node) -> str:
    return "" if all(node.outputs) else "one of its outputs has no name"


@vjp("Split", 18, outputs=None, refuses=_nameless)
def split(e: Emit, node: Node, dy: Value) -> Gradients:
    """Outputs that nobody uses have a gradient of zeros."""
    parts = [node.gradients.get(y) or e.zeros(e.dims(y)) for y in node.outputs]
    return [e.Concat(*parts, axis=node.attr("axis", 0))]


@vjp("Trilu", 14)
def triangle(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.Trilu(dy, node.optional(1), upper=node.attr("upper", 1))]


@vjp("SpaceToDepth", 13)
def space_to_depth(e: Emit, node: Node, dy: Value) -> Gradients:
    return [e.DepthToSpace(dy, blocksize=node.attr("blocksize", 1))]


@vjp("DepthToSpace", 13)
def depth_to_space(e: Emit, node: Node, dy: Value) -> Gradients:
    """(n, c, h b, w b) -> (n, c b b, h, w); SpaceToDepth would put the channels last."""
    x, y, size = node.input, node.output, node.attr("blocksize", 1)
    if node.attr("mode", "DCR") == "DCR":
        return [e.SpaceToDepth(dy, blocksize=size)]
    lengths = [e.length(y, 0, 2), e.length(x, 2, 3), [size], e.length(x, 3, 4), [size]]
    blocks = e.Reshape(dy, e.Concat(*lengths, axis=0))  # (n, c, h, b, w, b)
    return [e.Reshape(e.Transpose(blocks, perm=[0, 1, 3, 5, 2, 4]), e.dims(x))]


@vjp("ReverseSequence", 10)
def reverse_sequence(e: Emit, node: Node, dy: Value) -> Gradients:
    """Twice is not at all."""
    return [e.ReverseSequence(dy, node.inputs[1], **node.attributes)]
