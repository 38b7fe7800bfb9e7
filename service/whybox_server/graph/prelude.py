"""A small graph that turns instances, backgrounds, segments and masks into rows.

It says in ONNX what `core.rows.Masked.write` says in numpy, so that rows are built on the device that
the model runs on and only masks travel there. Values are copied, never computed with: the rows are
the same bit for bit. The rows of a batch may belong to several explanations; `owner` says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

OPSET = 17
IR_VERSION = 8  # the one that came with this opset; every runtime that knows the opset reads it
OWNER, MASKS = "owner", "masks"

# Where of the CUDA provider knows these; other inputs are built on the host.
PLAIN_TYPES = frozenset(
    {
        TensorProto.FLOAT,
        TensorProto.DOUBLE,
        TensorProto.FLOAT16,
        TensorProto.INT32,
        TensorProto.INT64,
        TensorProto.UINT8,
    }
)


@dataclass(frozen=True, slots=True)
class PartType:
    """One model input. rank: of one row of it."""

    name: str
    elem_type: int
    rank: int


@dataclass(frozen=True, slots=True)
class PartNames:
    """Names of what the prelude reads for one model input.

    instances: (m, *shape). backgrounds: (k, *shape). background: (n,) int64, which one a row takes.
    segments: (m, *broadcastable to shape) int32; -1 is never hidden.
    """

    instances: str
    backgrounds: str
    background: str
    segments: str

    @classmethod
    def of(cls, name: str) -> PartNames:
        return cls(f"{name}/instances", f"{name}/backgrounds", f"{name}/background", f"{name}/segments")


def prelude(parts: Sequence[PartType]) -> ModelProto:
    """The graph; its outputs are named as the model's inputs, (n, *shape) each.

    Shared inputs: owner, (n,) int64, indexes instances and segments; masks, (n, s + 1) bool, True
    keeps, whose last column is True and serves segment -1.
    """
    inputs = [_value(OWNER, TensorProto.INT64, 1), _value(MASKS, TensorProto.BOOL, 2)]
    nodes = [helper.make_node("Constant", [], ["flat"], value_ints=[0, -1])]
    outputs = []
    for part in parts:
        names = PartNames.of(part.name)
        inputs += [
            _value(names.instances, part.elem_type, part.rank + 1),
            _value(names.backgrounds, part.elem_type, part.rank + 1),
            _value(names.background, TensorProto.INT64, 1),
            _value(names.segments, TensorProto.INT32, part.rank + 1),
        ]
        nodes += _rows(part.name, names)
        outputs.append(_value(part.name, part.elem_type, part.rank + 1))
    graph = helper.make_graph(nodes, "rows", inputs, outputs)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


def _rows(name: str, names: PartNames) -> list[NodeProto]:
    """keep[i, ...] = masks[i, segments[owner[i], ...]]; rows = where(keep, instance, background)."""
    own, flat, shape = f"{name}/own", f"{name}/own_flat", f"{name}/own_shape"
    kept, keep = f"{name}/kept", f"{name}/keep"
    shown, hidden = f"{name}/shown", f"{name}/hidden"
    make = helper.make_node
    return [
        make("Gather", [names.segments, OWNER], [own], axis=0),  # (n, *b)
        make("Reshape", [own, "flat"], [flat]),  # (n, elements of b)
        make("GatherElements", [MASKS, flat], [kept], axis=1),  # an index of -1 is the last column
        make("Shape", [own], [shape]),
        make("Reshape", [kept, shape], [keep]),  # (n, *b)
        make("Gather", [names.instances, OWNER], [shown], axis=0),
        make("Gather", [names.backgrounds, names.background], [hidden], axis=0),
        make("Where", [keep, shown, hidden], [name]),
    ]


def _value(name: str, elem_type: int, rank: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, elem_type, [None] * rank)
