"""Explanations as JSON and as named arrays, both of which can be read back without loss.

It walks the descriptors, so that results which do not exist yet are written too. Floating tensors are
nested lists of numbers; large integer ones (pictures, label maps) are base64 of their bytes, because
nobody reads them and they would be most of the file.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from whybox.descriptors import Field, enum_name, enum_names, map_value
from whybox.errors import ExplainError
from whybox.tensors import DTYPES, Array, from_tensor, to_tensor
from whybox.v1 import explanation_pb2, tensor_pb2

FORMAT = "whybox.v1.Explanation"
LISTED_ELEMENTS = 4096  # integer tensors with more are base64
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}  # as protobuf's own JSON


def to_json(message: explanation_pb2.Explanation) -> dict[str, Any]:
    """A JSON object. "attributions" repeats the result in the words of Vertex AI, for other readers."""
    found: dict[str, Any] = {"format": FORMAT, **_plain(message)}
    if message.HasField("attribution"):
        found["attributions"] = [_vertex(message, at) for at in range(len(message.targets))]
    return found


def from_json(text: str) -> explanation_pb2.Explanation:
    """What `to_json` made. Raises ExplainError when it is something else."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _foreign(repr(error)) from error
    return read(found)


def read(found: Any) -> explanation_pb2.Explanation:
    """The same from JSON that is parsed already. Raises ExplainError when it is something else."""
    message = explanation_pb2.Explanation()
    try:
        if found["format"] != FORMAT:
            raise _foreign("its format is another one")
        _restore(message, {name: found[name] for name in found.keys() - {"format", "attributions"}})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _foreign(repr(error)) from error
    return message


def arrays(message: explanation_pb2.Explanation) -> dict[str, Array]:
    """Arrays by name: those a reader wants, and "message", from which `from_arrays` restores all."""
    targets = message.targets
    found: dict[str, Array] = {
        "target_index": np.array([t.index for t in targets]),  # (targets,)
        "target_label": np.array([t.label for t in targets]),
        "target_score": np.array([t.score for t in targets]),
        "message": np.frombuffer(message.SerializeToString(deterministic=True), dtype=np.uint8),
    }
    kind = message.WhichOneof("result")
    if kind is None:
        return found
    result = getattr(message, kind)
    found.update(_of_attribution(result) if kind == "attribution" else _of_marks(message, kind))
    units = result if kind == "attribution" else result.units
    for name in sorted(units.segments.by_name):
        found[f"segments.{name}"] = from_tensor(units.segments.by_name[name])
    if units.names:
        found["names"] = np.array(list(units.names))
    return found


def _of_attribution(result: explanation_pb2.Attribution) -> dict[str, Array]:
    names = ("values", "base_values", "standard_errors")
    return {name: from_tensor(getattr(result, name)) for name in names if result.HasField(name)}


def _of_marks(message: explanation_pb2.Explanation, kind: str) -> dict[str, Array]:
    """`values` as `Explanation.values` has them, (targets, ...), and what else the result holds."""
    from whybox.render.results import finding  # noqa: PLC0415 - attributions need no renderer

    result: Any = getattr(message, kind)
    found = {"values": np.stack([finding(message, at).values for at in range(len(message.targets))])}
    if kind == "rule":
        found["predicates"] = np.array([one.text for one in result.predicates], dtype=str)
    if kind == "mask":
        found["mask"] = from_tensor(result.values)
    if kind == "regions":
        found["chosen"], found["scores"] = np.array(result.segments, int), np.array(result.scores, float)
    for name in ("pertinent_positive", "pertinent_negative"):
        if kind == "contrast" and result.HasField(name):
            by_name = getattr(result, name).values.by_name
            found |= {f"{name}.{one}": _unpickled(from_tensor(by_name[one])) for one in sorted(by_name)}
    return found


def _unpickled(array: Array) -> Array:
    """Strings as numpy's own, which need no pickle."""
    return array.astype(str) if array.dtype.kind == "O" else array


def from_arrays(file: Mapping[str, Array]) -> explanation_pb2.Explanation:
    """What `arrays` made. Raises ExplainError when it is something else."""
    try:
        return explanation_pb2.Explanation.FromString(file["message"].tobytes())
    except (KeyError, DecodeError) as error:
        raise _foreign(repr(error)) from error


def _foreign(why: str) -> ExplainError:
    message = f"this is no explanation that whybox wrote: {why}"
    return ExplainError(message, reason="", remedy="pass what Explanation.to_json or to_npz made")


def _plain(message: Message) -> dict[str, Any]:
    if isinstance(message, tensor_pb2.Tensor):
        return _plain_tensor(message)
    return {field.name: _plain_field(field, value) for field, value in message.ListFields()}


def _plain_field(field: Field, value: Any) -> Any:
    entry = map_value(field)
    if entry is not None:
        return {str(key): _plain_one(entry, value[key]) for key in sorted(value)}
    return [_plain_one(field, one) for one in value] if field.is_repeated else _plain_one(field, value)


def _plain_one(field: Field, value: Any) -> Any:
    if field.message_type is not None:
        return _plain(value)
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return _number(value)


def _number(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


def _plain_tensor(tensor: tensor_pb2.Tensor) -> dict[str, Any]:
    found = {"dtype": enum_name(tensor_pb2.DataType.DESCRIPTOR, tensor.dtype), "shape": list(tensor.shape)}
    array = from_tensor(tensor)
    if array.dtype.kind in "iub" and array.size > LISTED_ELEMENTS:
        return {**found, "base64": base64.b64encode(tensor.data).decode()}
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        array = np.array([_number(v) for v in array.ravel().tolist()], dtype=object).reshape(array.shape)
    return {**found, "data": array.tolist()}


def _restore(message: Message, found: Mapping[str, Any]) -> None:
    if isinstance(message, tensor_pb2.Tensor):
        message.CopyFrom(_restored_tensor(found))
        return
    for name, value in found.items():
        field = message.DESCRIPTOR.fields_by_name[name]
        entry = map_value(field)
        if entry is not None:
            for key, one in value.items():
                _restore_entry(getattr(message, name), key, entry, one)
        elif field.message_type is not None and field.is_repeated:
            for one in value:
                _restore(getattr(message, name).add(), one)
        elif field.message_type is not None:
            getattr(message, name).SetInParent()
            _restore(getattr(message, name), value)
        elif field.is_repeated:
            getattr(message, name).extend(_restored(field, one) for one in value)
        else:
            setattr(message, name, _restored(field, value))


def _restore_entry(entries: Any, key: str, field: Field, value: Any) -> None:
    if field.message_type is not None:
        _restore(entries[key], value)
    else:
        entries[key] = _restored(field, value)


def _restored(field: Field, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_names(field.enum_type)[value]
    if field.type == FieldDescriptor.TYPE_BYTES:
        return base64.b64decode(value)
    if field.cpp_type in {FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT}:
        return NON_FINITE.get(value, value)
    return value


def _restored_tensor(found: Mapping[str, Any]) -> tensor_pb2.Tensor:
    wire = enum_names(tensor_pb2.DataType.DESCRIPTOR)[found["dtype"]]
    if "base64" in found:
        return tensor_pb2.Tensor(dtype=wire, shape=found["shape"], data=base64.b64decode(found["base64"]))
    dtype = DTYPES.get(wire, np.dtype(object))
    flat = np.array(found["data"], dtype=object).ravel()
    if dtype.kind == "f":
        flat = np.array([NON_FINITE.get(v, v) for v in flat.tolist()], dtype=np.float64)
    tensor = to_tensor(flat.astype(dtype), "tensor")
    del tensor.shape[:]
    tensor.shape.extend(found["shape"])  # the list of an empty array has lost it
    return tensor


def _vertex(message: explanation_pb2.Explanation, at: int) -> dict[str, Any]:
    """One target in the words of Vertex AI's `Attribution`; values per element stay in "attribution"."""
    attribution, target = message.attribution, message.targets[at]
    found: dict[str, Any] = {
        "outputIndex": target.index,
        "outputDisplayName": target.label,
        "instanceOutputValue": _number(target.score),
    }
    values = from_tensor(attribution.values)[at]
    if attribution.names:
        named = zip(_distinct(attribution.names), map(_number, values.tolist()), strict=True)
        found["featureAttributions"] = dict(named)
    if attribution.HasField("base_values"):
        base = float(from_tensor(attribution.base_values)[at])
        found["baselineOutputValue"] = _number(base)
        if attribution.additive and target.score != base:
            gap = abs(base + float(values.sum()) - target.score) / abs(target.score - base)
            found["approximationError"] = _number(gap)
    return found


def _distinct(names: Iterable[str]) -> list[str]:
    """Names with " (2)", " (3)", ... behind those that were there before."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found
