"""Rows as the values that JSON has: lists, texts, and objects by input or by column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.exchange import Exchange

Wrap = Callable[[str, Any], Any]  # one row's value of an input, as a protocol wants to see it


def plain(name: str, value: Any) -> Any:
    return value


def columns_of(rows: Mapping[str, Array], wrap: Wrap = plain) -> dict[str, list[Any]]:
    """Rows by input: (n, *shape) nested lists each."""
    return {name: [wrap(name, value) for value in array.tolist()] for name, array in rows.items()}


def rows_of(rows: Mapping[str, Array], wrap: Wrap = plain, *, objects: bool = False) -> list[Any]:
    """(n,) rows: what the only input takes, or an object by input. objects: also of an only one."""
    columns = columns_of(rows, wrap)
    if len(columns) == 1 and not objects:
        return next(iter(columns.values()))
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def records_of(rows: Mapping[str, Array], names: Sequence[str]) -> list[dict[str, Any]]:
    """(n,) rows by column name; columns are those of all inputs, in order, flattened."""
    flat = [array.reshape(len(array), -1).tolist() for array in rows.values()]
    return [dict(zip(names, chain.from_iterable(row), strict=True)) for row in zip(*flat, strict=True)]


def each(rows: Mapping[str, Array], ask: Callable[[Mapping[str, Array]], Exchange[Array]]) -> Exchange[Array]:
    """(n, outputs) of a server that takes one row per call. Raises ModelOutputInvalid if rows are unlike."""
    answers = []
    for at in range(count(rows)):
        answer = yield from ask({name: array[at : at + 1] for name, array in rows.items()})
        answers.append(answer)
    if len({(one.shape[1:], one.dtype) for one in answers}) > 1:
        raise ModelOutputInvalid("the server says as many scores of one row as it does not of another")
    return np.concatenate(answers)


def count(rows: Mapping[str, Array]) -> int:
    return len(next(iter(rows.values())))


def single(found: Any) -> list[Any]:
    """What was found for one row, as a list of one row: a row may come with its batch axis or without."""
    nested = isinstance(found, list) and len(found) == 1 and isinstance(found[0], list | dict | str)
    return found if nested else [found]


def texts(found: Sequence[Any]) -> Array:
    """(n, 1) objects."""
    column = np.empty((len(found), 1), object)
    column[:, 0] = found
    return column
