"""The linear end of a network: scores that are a linear map of the means of maps over all places.

Looked for backwards from the scores on the normalised graph: linear layers, then the one pooling. A
network without a linear layer behind its pooling has the identity there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.probe import Pooled
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.maps import LEAST_AXES, channel_axes
from whybox_server.graph.survey import Survey
from whybox_server.graph.weights import Weights

SAME = frozenset({"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
MEANS = frozenset({"AveragePool", "GlobalAveragePool", "ReduceMean"})
MATRIX_AXES = 2
REMEDY = (
    "cam needs global average pooling before its last linear layer; grad_cam does not, and says the same "
    "where there is one"
)


@dataclass(frozen=True, slots=True, eq=False)
class _Linear:
    """scores = weights @ (what `of` holds per row) + bias. weights: (outputs, k), bias: (outputs,)."""

    of: Value
    weights: Array
    bias: Array

    def behind(self, of: Value, matrix: Array, bias: Array) -> _Linear:
        """The same scores, `self.of` being matrix @ of + bias."""
        bias = np.broadcast_to(bias.reshape(-1), self.weights.shape[1:])
        return _Linear(of, self.weights @ matrix, self.bias + self.weights @ bias)


def pooled(seen: Survey, model: ModelProto, mirror: ScoreKind | None = None) -> Pooled:
    """The linear end of a model with its weights, of which `seen` is the survey.

    mirror: what a single column of scores holds if it is the second of two classes. Raises
    MethodUnsupported, naming the operator in the way, for a network that does not end so.
    """
    weights = Weights(seen, model)
    size = _row_size(seen, seen.scores)
    if not seen.batched or size is None:
        raise _refusal("the model has no axis of rows, or the number of its scores is not known")
    found = _Linear(seen.scores, np.eye(size), np.zeros(size))
    while (maker := seen.facts.makers.get(found.of)) is not None:
        if (maps := _averaged(seen, maker, weights)) is not None:
            return Pooled(seen.site(maps), *_mirrored(found, mirror))
        found = _before(seen, maker, found, weights)
    raise _refusal("there is none between its input and its scores")


def _before(seen: Survey, proto: NodeProto, found: _Linear, weights: Weights) -> _Linear:
    """The same scores, said of what this node reads."""
    size = found.weights.shape[1]
    if proto.op_type in SAME and _row_size(seen, proto.input[0]) == size:
        return replace(found, of=proto.input[0])
    arrays = [weights.array(name) for name in proto.input]
    moving = [name for name, array in zip(proto.input, arrays, strict=True) if name and array is None]
    fixed = [array for array in arrays if array is not None]
    if len(moving) == 1 and fixed:
        if proto.op_type == "Add" and _row_size(seen, moving[0]) == size and fixed[0].size in (1, size):
            return found.behind(moving[0], np.eye(size), fixed[0])
        matrix = _matrix(seen, Node(proto), fixed[0]) if moving[0] == proto.input[0] else None
        if matrix is not None:
            bias = fixed[1] if len(fixed) > 1 else np.zeros(1)
            return found.behind(moving[0], matrix, bias * Node(proto).attr("beta", 1.0))
    raise _refusal(f"{proto.op_type} (node {Node(proto)}) stands between its pooling and its scores")


def _matrix(seen: Survey, node: Node, weights: Array) -> Array | None:
    """Of a linear layer that reads one vector per row, (out, in); None for any other node."""
    op = node.proto.op_type
    if op == "Gemm" and not node.attr("transA", 0):
        return np.asarray(node.attr("alpha", 1.0) * (weights if node.attr("transB", 0) else weights.T))
    if op == "MatMul" and weights.ndim == MATRIX_AXES:
        return weights.T
    if op == "Conv" and _row_size(seen, node.input) == weights.shape[1] == prod(weights.shape[1:]):
        return weights.reshape(weights.shape[:2])
    return None


def _averaged(seen: Survey, proto: NodeProto, weights: Weights) -> Value | None:
    """The maps whose mean over all places a node takes; None if it does something else."""
    if proto.op_type not in MEANS:
        return None
    node, shape = Node(proto), seen.facts.shapes.get(proto.input[0], ())
    every = set(range(1, len(shape)))
    if len(shape) < LEAST_AXES:
        return None
    if proto.op_type == "ReduceMean":
        axes = weights.array(node.optional(1)) if node.optional(1) else np.arange(len(shape))
        over = set() if axes is None else {int(axis) % len(shape) for axis in axes.ravel()}
        return _channels_first(seen, node.input, every - over)
    whole = proto.op_type == "GlobalAveragePool" or _covers(seen, node)
    return _channels_first(seen, node.input, {1}) if whole else None


def _covers(seen: Survey, node: Node) -> bool:
    """Whether the one window of an AveragePool has every place in it, and counts nothing else."""
    places = seen.facts.shapes[node.input][2:]
    kernel, pads = node.attr("kernel_shape", ()), node.attr("pads", [0] * 2 * len(places))
    if (any(pads) and node.attr("count_include_pad", 0)) or node.attr("auto_pad", "NOTSET") != "NOTSET":
        return False
    reaches = zip(places, kernel, pads, strict=False)
    one = set(seen.facts.shapes.get(node.output, (None,))[2:]) == {1}
    return one and all(isinstance(n, int) and side - before >= n for n, side, before in reaches)


def _channels_first(seen: Survey, maps: Value, kept: set[int]) -> Value | None:
    """The tensor itself, or that before Transposes, whose channels are the one axis that is kept."""
    axes = channel_axes(seen.nodes, seen.facts)
    while len(kept) == 1 and axes.get(maps) in kept:
        if kept == {1} and maps in seen.names:
            return maps
        maker = seen.facts.makers[maps]
        if maker.op_type != "Transpose":
            return None
        order = Node(maker).attr("perm", list(range(len(seen.facts.shapes[maps])))[::-1])
        maps, kept = maker.input[0], {order[axis] for axis in kept}
    return None


def _row_size(seen: Survey, name: Value) -> int | None:
    """Numbers per row; None where a length is not known."""
    shape = seen.facts.shapes.get(name)
    lengths = [length for length in shape or () if isinstance(length, int)]
    if shape is None or any(not isinstance(length, int) for length in shape[1:]):
        return None
    return prod(lengths[len(lengths) - len(shape) + 1 :])


def _mirrored(found: _Linear, mirror: ScoreKind | None) -> tuple[Array, Array]:
    """Weights and bias per column of the scores, as `head.with_head` makes columns."""
    weights, bias = found.weights.astype(np.float64), found.bias.astype(np.float64)
    if mirror is None:
        return weights, bias
    other = 1 - bias if mirror is ScoreKind.PROBABILITY else -bias
    return np.concatenate([-weights, weights]), np.concatenate([other, bias])


def _refusal(why: str) -> MethodUnsupported:
    return MethodUnsupported(f"{why}: {REMEDY}", alternatives="grad_cam")
