"""Puts a model's scores into the form in which they are led back: one row of columns, in the unit asked for.

It says in ONNX what `core.target` says in numpy, so that a gradient is one of the very number that is
explained.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.shape_inference import infer_shapes

from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import TINY_PROBABILITY, Link, Space
from whybox_server.graph.walk import without_weights

PREFIX = "whybox_head/"


@dataclass(frozen=True, slots=True)
class Head:
    """What a model's scores are. columns: per row, after mirroring; batched: axis 0 counts rows.

    mirror: what a single column holds if it is the second of two classes; None: it is not.
    """

    columns: int
    kind: ScoreKind
    link: Link
    mirror: ScoreKind | None = None
    batched: bool = True

    def converts(self, space: Space | None) -> bool:
        """Whether scores in this unit are other numbers than the model's own."""
        return space is not None and self.kind is not ScoreKind.VALUE and space.value != self.kind.value


def with_head(model: ModelProto, scores: str, head: Head, space: Space | None) -> str:
    """Append, in place, what turns `scores` into (n, columns) of this unit; the name of the result."""
    rank, kind = _known(model, scores)
    made: list[NodeProto] = []

    def emit(op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{PREFIX}{op}_{len(made)}"
        made.append(helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def number(value: float) -> str:
        return _constant(model, np.asarray(value, helper.tensor_dtype_to_np_dtype(kind)))

    flat = rank == (2 if head.batched else 1)
    shape = np.array([0, -1] if head.batched else [-1], np.int64)
    found = scores if flat else emit("Reshape", scores, _constant(model, shape))
    axis = 1 if head.batched else 0
    if head.mirror is not None:
        other = emit("Sub", number(1), found) if head.mirror is ScoreKind.PROBABILITY else emit("Neg", found)
        found = emit("Concat", other, found, axis=axis)
    if head.converts(space):
        if space is Space.LOGIT:
            low, high = number(TINY_PROBABILITY), number(1 - TINY_PROBABILITY)
            inside = emit("Max", emit("Min", found, high), low)
            found = emit("Log", emit("Div", inside, emit("Sub", number(1), inside)))
        elif head.link is Link.SIGMOID:
            found = emit("Sigmoid", found)
        else:
            found = emit("Softmax", found, axis=axis)
    model.graph.node.extend(made)
    return found


def _constant(model: ModelProto, array: np.ndarray) -> str:
    name = f"{PREFIX}constant_{len(model.graph.initializer)}"
    model.graph.initializer.append(numpy_helper.from_array(array, name))
    return name


def _known(model: ModelProto, name: str) -> tuple[int | None, int]:
    """Rank, if it can be inferred, and element type of a tensor."""
    graph = infer_shapes(without_weights(model)).graph
    for entry in (*graph.output, *graph.value_info, *graph.input):
        if entry.name == name:
            kind = entry.type.tensor_type
            return (
                len(kind.shape.dim) if kind.HasField("shape") else None
            ), kind.elem_type or TensorProto.FLOAT
    return None, TensorProto.FLOAT
