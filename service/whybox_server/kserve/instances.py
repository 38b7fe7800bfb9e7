"""`instances` and `inputs` of KServe's V1 and of TensorFlow Serving, as the instances of our contract.

Numbers become float64, whether 4 was written or 4.0: what the model takes is known to the engine, which casts them
and refuses what would be lost. Where nobody says what it takes, 4 must not mean that it takes whole numbers.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from whybox.v1 import explain_pb2
from whybox_server.api.decode import MAX_INSTANCES, Findings
from whybox_server.api.tensors import from_array
from whybox_server.core.errors import InvalidRequest, TooLarge, Violation
from whybox_server.core.rows import Array
from whybox_server.http.tensors import array_in
from whybox_server.kserve.infer_call import instances_of
from whybox_server.kserve.infer_json import from_body
from whybox_server.kserve.pictures import B64, pixels_in
from whybox_server.serving.onnx.signature import RowInfo

BODY, INSTANCES, INPUTS = "body", "instances", "inputs"
KEYS = (INSTANCES, INPUTS, "parameters", "signature_name", "id")  # the last two mean nothing to an explainer
MOST_SHOWN = 60  # characters of a name that a caller made up
# Types to try, by the first element that is found, in this order.
TYPES: Mapping[type, tuple[np.dtype[Any], ...]] = {
    int: (np.dtype(np.int64), np.dtype(np.uint64), np.dtype(np.float64)),
    bool: (np.dtype(bool),),
    str: (np.dtype(object),),
}
FRACTIONS = (np.dtype(np.float64),)
EXACT = 1 << np.finfo(np.float64).nmant + 1  # whole numbers up to here are float64, too
KINDS = {"tensors": "an array", "text": "a text", "picture": "a picture", "record": "a row of columns"}


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """instances: decoded. given: the same as JSON values, () where they had another form than V1's."""

    instances: tuple[explain_pb2.Instance, ...]
    given: Sequence[Any] = ()


def rows_in(said: Any, most_bytes: int) -> Rows:
    """What a body asks about. most_bytes: of all instances, decoded.

    Raises InvalidRequest with every violation found, and TooLarge.
    """
    given = _given(said)
    if isinstance(given, list) and _are_tensors(given):
        return _bounded(Rows(_from_tensors(given)), most_bytes)
    field = INSTANCES if INSTANCES in said else INPUTS
    rows = _rows_of(given) if isinstance(given, dict) and field == INPUTS else given
    if not isinstance(rows, list):
        raise InvalidRequest.of(field, f'must be a list, as {{"{field}": [[5.1, 3.5, 1.4, 0.2]]}}')
    if not 1 <= len(rows) <= MAX_INSTANCES:
        raise InvalidRequest.of(field, f"give between 1 and {MAX_INSTANCES}, got {len(rows)}")
    found = Findings()
    left = most_bytes
    instances = []
    for number, row in enumerate(rows):
        instance = _instance(row, f"{field}[{number}]", left, found)
        left -= instance.ByteSize()
        instances.append(instance)
    _check_kinds(instances, field, found)
    found.settle()
    return _bounded(Rows(tuple(instances), rows), most_bytes)


def _given(said: Any) -> Any:
    """The value of the one key that says what is explained."""
    if not isinstance(said, dict):
        raise InvalidRequest.of(BODY, 'must be an object, as {"instances": [[5.1, 3.5, 1.4, 0.2]]}')
    found = Findings()
    for key in said:
        if key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, 1)
            hint = f"did you mean {near[0]}?" if near else "there are instances, inputs and parameters"
            found.add(key[:MOST_SHOWN], f"no such key; {hint}")
    there = [key for key in (INSTANCES, INPUTS) if said.get(key) is not None]
    if not there:
        found.add(INSTANCES, "required: a list with one entry per instance")
    if len(there) > 1:
        found.add(INPUTS, "give instances or inputs, not both")
    found.settle()
    return said[there[0]]


def _are_tensors(given: list[Any]) -> bool:
    """Whether these are inputs as the Open Inference Protocol writes them."""
    return bool(given) and all(
        isinstance(one, dict) and {"name", "shape", "datatype", "data"} <= one.keys() for one in given
    )


def _from_tensors(given: list[Any]) -> tuple[explain_pb2.Instance, ...]:
    inputs = from_body(msgspec.json.encode({INPUTS: given}), None).inputs
    # The only tensor is that of the model's only input, whatever it is called.
    takes = [RowInfo(one.name, one.array.dtype, ()) for one in inputs] if len(inputs) == 1 else []
    return instances_of(inputs, takes)


def _rows_of(columns: dict[str, Any]) -> list[Any]:
    """Rows out of columns by name."""
    found = Findings()
    if not columns:
        found.add(INPUTS, "empty: give a list per input or column, or a list of instances")
    first = next(iter(columns.items()), None)
    for name, values in columns.items():
        place = f"{INPUTS}[{name[:MOST_SHOWN]!r}]"
        if not isinstance(values, list):
            found.add(place, "must be a list with one entry per instance")
        elif first is not None and isinstance(first[1], list) and len(values) != len(first[1]):
            found.add(place, f"has {len(values)} entries, and {first[0][:MOST_SHOWN]!r} has {len(first[1])}")
    found.settle()
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _instance(row: Any, place: str, most_bytes: int, found: Findings) -> explain_pb2.Instance:
    """most_bytes: of a picture. What is wrong is noted; the instance is empty then."""
    instance = explain_pb2.Instance()
    match row:
        case str():
            instance.text = row
        case dict():
            _from_object(instance, row, place, most_bytes, found)
        case list() | int() | float():  # a truth value is an int
            _add_array(instance, "", row, place, found)
        case _:
            found.add(place, "must be a list of numbers, a text, or an object; got null")
    return instance


def _from_object(
    instance: explain_pb2.Instance, row: dict[str, Any], place: str, most_bytes: int, found: Findings
) -> None:
    scalars = [isinstance(value, str | int | float) for value in row.values()]
    if row.keys() == {B64}:
        pixels = pixels_in(row[B64], f"{place}.{B64}", most_bytes, found)
        if pixels is not None:
            instance.picture.CopyFrom(from_array(pixels))
    elif not row:
        found.add(place, "empty: give a value per column, or an array per input")
    elif all(scalars):
        for name, value in row.items():
            _set_column(instance.record.fields[name], value, f"{place}[{name[:MOST_SHOWN]!r}]", found)
    elif any(scalars):
        single = next(name for name, scalar in zip(row, scalars, strict=True) if scalar)
        found.add(
            f"{place}[{single[:MOST_SHOWN]!r}]",
            "is a single value beside others; give all columns as values, or all inputs as lists",
        )
    else:
        for name, value in row.items():
            _add_array(instance, name, value, f"{place}[{name[:MOST_SHOWN]!r}]", found)


def _set_column(column: explain_pb2.Value, value: str | float, place: str, found: Findings) -> None:
    if isinstance(value, str):
        column.text = value
        return
    try:
        column.number = value
    except OverflowError:
        found.add(place, "is too large for float64")


def _add_array(instance: explain_pb2.Instance, name: str, value: Any, place: str, found: Findings) -> None:
    if not isinstance(value, list | int | float):
        found.add(place, "must be a list of numbers or texts, nested as the input's shape is")
        return
    array = _array(value, place, found)
    if array is not None:
        instance.tensors.by_name[name].CopyFrom(from_array(array))


def _array(value: Any, place: str, found: Findings) -> Array | None:
    """(*shape) of the first type that holds all of it; None after noting what is wrong."""
    if not isinstance(value, list):
        attempt = Findings()
        alone = _array([value], place, attempt)
        found.violations += [Violation(place, wrong.description) for wrong in attempt.violations]
        return None if alone is None else alone.reshape(())
    first: Any = value
    while isinstance(first, list) and first:
        first = first[0]
    if first == []:
        found.add(place, "is empty")
        return None
    for dtype in TYPES.get(type(first), FRACTIONS):
        attempt = Findings()
        array = array_in(value, dtype, place, attempt)
        if array is not None:
            return array.astype(np.float64) if array.dtype.kind in "iu" and _exact(array) else array
    found.violations += attempt.violations
    return None


def _exact(array: Array) -> bool:
    return bool((array >= -EXACT).all() and (array <= EXACT).all())


def _check_kinds(instances: Sequence[explain_pb2.Instance], field: str, found: Findings) -> None:
    kinds = [instance.WhichOneof("value") for instance in instances]
    for number, kind in enumerate(kinds):
        if kind is not None and kinds[0] is not None and kind != kinds[0]:
            found.add(
                f"{field}[{number}]",
                f"is {KINDS[kind]} and the first is {KINDS[kinds[0]]}; send them in requests of their own",
            )


def _bounded(rows: Rows, most_bytes: int) -> Rows:
    size = sum(instance.ByteSize() for instance in rows.instances)
    if size > most_bytes:
        raise TooLarge(
            f"the instances have {size} bytes and this server takes {most_bytes}; send fewer, or raise --message-mib",
            limit=most_bytes,
        )
    return rows
