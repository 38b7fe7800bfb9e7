"""Checks a caller's arrays against a model's inputs, and brings them into the model's own dtypes.

Only casts that lose nothing a model could see are made silently; everything else is refused with
what was expected and what came.
"""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import numpy as np

from whybox_server.core.errors import InputMismatch, InvalidRequest, Violation
from whybox_server.core.rows import Array
from whybox_server.graph.walk import Shape
from whybox_server.serving.onnx.signature import Signature, TensorInfo, described

MOST_NAMES_SHOWN = 10


def fit(signature: Signature, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
    """One instance, by input name, in the model's dtypes and without batch axis.

    field: path of `arrays` in the request, for messages. An array may have the row's shape, or that
    with a leading 1; a model with one input takes any array under the empty name.
    Raises InputMismatch for a wrong shape or dtype, InvalidRequest for names and NaN or infinities.
    """
    named = _named(signature, arrays, field)
    found = {info.name: _row(signature, info, named[info.name]) for info in signature.inputs}
    _finite(found, field)
    return found


def fit_rows(signature: Signature, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
    """Many rows, (n, *row shape) each, in the model's dtypes; the same n for all. Raises as `fit`."""
    named = _named(signature, arrays, field)
    found = {}
    for info in signature.inputs:
        array, row = named[info.name], signature.row_shape(info)
        if array.ndim == 0 or not len(array) or (row is not None and not _matches(array.shape[1:], row)):
            raise _mismatch(info, array, None if row is None else (None, *row))
        found[info.name] = _cast(info, array, row)
    lengths = {name: len(array) for name, array in found.items()}
    if len({*lengths.values()}) > 1:
        raise InvalidRequest.of(field, f"inputs must have equally many rows, got {lengths}")
    return found


def _named(signature: Signature, arrays: Mapping[str, Array], field: str) -> dict[str, Array]:
    """The same arrays under the model's names, all of them and no others."""
    names = [info.name for info in signature.inputs]
    if len(names) == 1 and [*arrays] in ([""], names):
        return {names[0]: np.asarray(next(iter(arrays.values())))}
    known = ", ".join(map(repr, names[:MOST_NAMES_SHOWN]))
    wrong = [
        Violation(f"{field}[{name!r}]", f"the model has no such input; {_nearest(name, names)}")
        for name in arrays
        if name not in names
    ]
    wrong += [
        Violation(f"{field}[{name!r}]", f"is missing; the model's inputs are {known}")
        for name in names
        if name not in arrays
    ]
    if wrong:
        raise InvalidRequest(wrong)
    return {name: np.asarray(arrays[name]) for name in names}


def _nearest(name: str, names: list[str]) -> str:
    near = get_close_matches(name, names, 1)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"its inputs are {', '.join(map(repr, names[:MOST_NAMES_SHOWN]))}"


def _row(signature: Signature, info: TensorInfo, array: Array) -> Array:
    row = signature.row_shape(info)
    if row is not None and not _matches(array.shape, row):
        if array.ndim == len(row) + 1 and array.shape[0] == 1 and _matches(array.shape[1:], row):
            array = array[0]
        elif array.ndim == 0 and all(length in (1, None) for length in row):
            array = array.reshape((1,) * len(row))
        else:
            raise _mismatch(info, array, row)
    return _cast(info, array, row)


def _matches(shape: tuple[int, ...], wanted: Shape) -> bool:
    return len(shape) == len(wanted) and all(
        want is None or want == got for got, want in zip(shape, wanted, strict=True)
    )


def _cast(info: TensorInfo, array: Array, wanted: Shape | None) -> Array:
    """The array in the model's dtype, C-contiguous; InputMismatch if that would change its meaning."""
    array = _plain(array)
    cast = _strings(array) if info.dtype.kind == "O" else _numbers(array, info.dtype)
    if cast is None:
        raise _mismatch(info, array, wanted)
    return np.ascontiguousarray(cast).reshape(array.shape)


def _plain(array: Array) -> Array:
    """An object array of numbers as numbers; anything else as it is."""
    if array.dtype != object or any(isinstance(value, str | bytes) for value in array.ravel()):
        return array
    try:
        return np.array(array.tolist())
    except ValueError:
        return array


def _strings(array: Array) -> Array | None:
    if array.dtype.kind == "U" or (
        array.dtype == object and all(isinstance(value, str) for value in array.ravel())
    ):
        return array.astype(object)
    return None


def _numbers(array: Array, dtype: np.dtype[Any]) -> Array | None:
    """Numbers in another dtype; None if a value would become another one."""
    if array.dtype.kind not in "biuf":
        return None
    if array.dtype == dtype or (dtype.kind == "f" and array.dtype.kind in "biu"):
        return array.astype(dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = array.astype(dtype)
    if dtype.kind == "f":  # too large for a narrower float becomes infinite
        return cast if np.array_equal(np.isfinite(cast), np.isfinite(array)) else None
    return cast if np.array_equal(cast, array) else None


def _mismatch(info: TensorInfo, array: Array, wanted: Shape | None) -> InputMismatch:
    dtype = np.dtype(object) if array.dtype.kind in "US" else array.dtype
    expected, actual = described(info.dtype, wanted), described(dtype, array.shape)
    hint = ""
    if (
        info.dtype.kind in "biu"
        and array.dtype.kind == "f"
        and (wanted is None or _matches(array.shape, wanted))
    ):
        hint = "; fractions, NaN or values out of range cannot become integers"
    return InputMismatch(
        f"input {info.name!r} must be {expected}, got {actual}{hint}",
        input=info.name,
        expected=expected,
        actual=actual,
    )


def _finite(arrays: Mapping[str, Array], field: str) -> None:
    wrong = []
    for name, array in arrays.items():
        bad = array.size - int(np.isfinite(array).sum()) if array.dtype.kind == "f" else 0
        if bad:
            what = f"{bad} of {array.size} values are NaN or infinite; replace them before explaining"
            wrong.append(Violation(f"{field}[{name!r}]", what))
    if wrong:
        raise InvalidRequest(wrong)
