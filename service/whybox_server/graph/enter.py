"""Makes a tensor inside a graph one of its inputs, so that rows may hold it.

What only served to compute it is taken out. Used where a path of values leads through a place that
no input reaches: between the vectors of two words there is no third word.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnx import ModelProto, ValueInfoProto, helper

from whybox_server.core.errors import InvalidRequest
from whybox_server.graph.batch import ROWS
from whybox_server.graph.walk import producers, prune, reads, real_inputs

LEFT = "whybox_left/"


def entered(model: ModelProto, at: str, kind: int, shape: Sequence[int], *, batched: bool) -> ModelProto:
    """A copy with the input `at` of this element type and this shape per row.

    Raises InvalidRequest if no operator makes a tensor of this name.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    maker = producers(copy.graph).get(at)
    if maker is None:
        raise InvalidRequest.of("at", f"no operator of the graph makes {at!r}")
    for place, name in enumerate(maker.output):
        if name == at:
            maker.output[place] = f"{LEFT}{at}"
    copy.graph.input.append(helper.make_tensor_value_info(at, kind, [*([ROWS] if batched else []), *shape]))
    prune(copy.graph)
    _forget_unread(copy)
    return copy


def _forget_unread(model: ModelProto) -> None:
    """In place: inputs that nothing reads any more."""
    read = {name for node in model.graph.node for name in reads(node)}
    real = {entry.name for entry in real_inputs(model.graph)}
    kept: list[ValueInfoProto] = [
        entry for entry in model.graph.input if entry.name in read or entry.name not in real
    ]
    del model.graph.input[:]
    model.graph.input.extend(kept)
    del model.graph.value_info[:]
