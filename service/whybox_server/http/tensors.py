"""Tensors in JSON: elements as base64 of their bytes, or as numbers in nested lists, at the speed of C."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import msgspec
import numpy as np

from whybox.v1 import tensor_pb2 as pb
from whybox_server.api.decode import Findings
from whybox_server.api.tensors import DTYPES
from whybox_server.core.rows import Array

MOST_AXES = 16
FROM_URL_SAFE = str.maketrans("-_", "+/")
KINDS: dict[str, type] = {"b": bool, "i": int, "u": int, "f": float}
WANTED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
GOT = {"str": "a text", "int": "a number", "float": "a fraction", "bool": "a truth value", "array": "a list", "object": "an object"}
PLACE = re.compile(r".*?(got `(?P<got>\w+)`)?(?: - at `\$(?P<place>.*)`)?", re.DOTALL)


def fill_elements(tensor: pb.Tensor, data: Any, path: str, found: Findings) -> None:
    """The elements of a tensor whose other fields are there already. path: of `data` in the request."""
    if isinstance(data, str):
        _from_base64(tensor, data, path, found)
    elif isinstance(data, list):
        _from_lists(tensor, data, path, found)
    else:
        found.add(path, "must be base64 of little-endian bytes, or a list, nested as the shape is")


def _from_base64(tensor: pb.Tensor, text: str, path: str, found: Findings) -> None:
    if "-" in text or "_" in text:
        text = text.translate(FROM_URL_SAFE)
    try:
        tensor.data = msgspec.convert(text + "=" * (-len(text) % 4), bytes)
    except msgspec.ValidationError:
        found.add(path, "is no base64")


def _from_lists(tensor: pb.Tensor, data: list[Any], path: str, found: Findings) -> None:
    text = tensor.dtype == pb.DATA_TYPE_STRING
    if not text and tensor.dtype not in DTYPES:
        return  # the servicer says that the dtype is missing
    array = array_in(data, np.dtype(object if text else DTYPES[tensor.dtype]), path, found)
    if array is None:
        return
    if not tensor.shape:
        tensor.shape.extend(array.shape)
    elif array.ndim > 1 and tuple(tensor.shape) != array.shape:
        found.add(path, f"has the shape {array.shape}, and `shape` says {tuple(tensor.shape)}")
        return
    if text:
        tensor.strings.extend(array.ravel())
    else:
        tensor.data = array.tobytes()


def shape_of(data: Any) -> tuple[int, ...]:
    """Lengths along the first elements; whether the others agree is not looked at."""
    shape = []
    while isinstance(data, list):
        shape.append(len(data))
        data = data[0] if data else None
    return tuple(shape)


def array_in(data: list[Any], dtype: np.dtype[Any], path: str, found: Findings) -> Array | None:
    """(*shape) of that dtype out of nested lists, or None after noting what is wrong and where.

    dtype: object for texts.
    """
    axes = len(shape_of(data))
    if axes > MOST_AXES:
        found.add(path, f"is nested deeper than {MOST_AXES} lists")
        return None
    kind = KINDS.get(dtype.kind, str)
    try:
        checked = msgspec.convert(data, _nested(kind, axes))
        with np.errstate(over="ignore"):
            array = np.array(checked, dtype)
    except msgspec.ValidationError as error:
        found.add(*_misfit(str(error), kind, path))
        return None
    except OverflowError:
        found.add(*_beyond(data, dtype, path))
        return None
    except ValueError:
        found.add(path, "has lists of unequal lengths beside each other")
        return None
    if array.ndim != axes:
        found.add(path, "has lists of unequal lengths beside each other")
        return None
    if dtype.kind == "f" and not np.isfinite(array).all():
        place = "".join(f"[{at}]" for at in np.argwhere(~np.isfinite(array))[0])
        found.add(path + place, f"is too large for {dtype.name}")
        return None
    return array


def _misfit(said: str, kind: type, path: str) -> tuple[str, str]:
    """Place and reason of an element of the wrong kind, out of what msgspec says."""
    match = PLACE.fullmatch(said)
    assert match is not None  # it matches any text
    got = f", got {GOT.get(match['got'], match['got'])}" if match["got"] else f": {said.partition(' - ')[0].lower()}"
    wanted = "a list as long as those beside it" if "`array`" in said.partition(",")[0] else WANTED[kind]
    return path + (match["place"] or ""), f"must be {wanted}{got}"


def _beyond(data: list[Any], dtype: np.dtype[Any], path: str) -> tuple[str, str]:
    """Place of the first whole number that does not fit."""
    limits = np.iinfo(dtype)
    values = np.array(data, dtype=object)
    at = np.argwhere((values < limits.min) | (values > limits.max))[0]
    return path + "".join(f"[{n}]" for n in at), f"must be in [{limits.min}, {limits.max}]"


@cache
def _nested(kind: type, axes: int) -> Any:
    """list[list[... kind]]."""
    of: Any = kind
    for _ in range(axes):
        of = list[of]
    return of
