"""Scores out of replies in JSON: as many rows as were asked, as many numbers in each.

Every refusal says where in the reply it looked, what is there (a type, never content), and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.speech.json_text import kind_of
from whybox_server.serving.remote.speech.row_values import texts


@dataclass(frozen=True, slots=True)
class Reading:
    """How to read what was found. place: where that is, in words. remedy: what to do if it does not fit.

    labels: in the order of the scores; needed where a row says its scores by name. output: which of
    several named ones.
    """

    place: str
    remedy: str
    labels: Sequence[str] = ()
    output: str = ""

    def refuse(self, said: str, where: str = "") -> ModelOutputInvalid:
        return ModelOutputInvalid(f"{self.place}{where} {said}; {self.remedy}")


def scores_of(found: Any, n: int, reading: Reading) -> Array:
    """(n, outputs) float64; labels alone are (n, 1) objects. Raises ModelOutputInvalid."""
    if not isinstance(found, list):
        raise reading.refuse(f"is {kind_of(found)}, not a list of {n} rows")
    if len(found) != n:
        raise reading.refuse(f"holds {len(found)} rows, and {n} were asked")
    if found and all(isinstance(row, dict) for row in found):
        found = _by_name(found, reading)
    if found and all(isinstance(row, str) for row in found):
        return texts(found)
    return numbers_of(found, reading)


def numbers_of(found: list[Any], reading: Reading) -> Array:
    """(n, outputs) float64; true is 1."""
    try:
        array = np.array(found)
    except (ValueError, OverflowError):  # ragged
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf":
        raise reading.refuse(*_odd(found))
    if array.size == 0:
        raise reading.refuse("holds rows without scores")
    return array.reshape(len(array), -1).astype(np.float64)


def labels_of(found: Any, n: int, reading: Reading) -> list[str]:
    """(n,) labels; numbers and truth values as JSON writes them."""
    if not isinstance(found, list) or len(found) != n:
        raise reading.refuse(f"is {kind_of(found)}, not a list of {n} labels")
    odd = next((at for at, one in enumerate(found) if not isinstance(one, str | int | float)), None)
    if odd is not None:
        raise reading.refuse(f"is {kind_of(found[odd])}, not a label", f"[{odd}]")
    return [str(one).lower() if isinstance(one, bool) else str(one) for one in found]


def by_label(at: int, row: Mapping[str, Any], reading: Reading) -> list[Any]:
    """What row `at` says by label, in the order of the declared ones. Raises ModelOutputInvalid."""
    absent = [label for label in reading.labels if label not in row]
    if absent:
        what = f"names {len(row)} labels, and {absent[0]!r} of spec.labels is not among them"
        remedy = "have the server say all scores, and declare labels as it spells them"
        raise ModelOutputInvalid(f"{reading.place}[{at}] {what}; {remedy}")
    if len(row) > len(reading.labels):
        what = f"names {len(row)} labels, and spec.labels declares {len(reading.labels)}"
        raise ModelOutputInvalid(f"{reading.place}[{at}] {what}; declare all of them")
    return [row[label] for label in reading.labels]


def _by_name(rows: list[dict[str, Any]], reading: Reading) -> list[Any]:
    """Rows that are objects: of several outputs the one that is meant, or scores by label, in order."""
    if reading.output and all(reading.output in row for row in rows):
        return [row[reading.output] for row in rows]
    if reading.labels and all(isinstance(value, int | float) for row in rows for value in row.values()):
        return [by_label(at, row, reading) for at, row in enumerate(rows)]
    if not reading.output and all(len(row) == 1 for row in rows) and len({*map(_key, rows)}) == 1:
        return [row[_key(row)] for row in rows]
    said = f"is {kind_of(rows[0])}"
    if reading.output:
        raise reading.refuse(f"{said}, without an output {reading.output!r}", "[0]")
    what = "name one of them in `output`, or declare spec.labels if they are scores by label"
    raise ModelOutputInvalid(f"{reading.place}[0] {said}; {what}")


def _key(row: dict[str, Any]) -> str:
    return next(iter(row))


def _odd(found: list[Any]) -> tuple[str, str]:
    """The first place where rows are not alike or no numbers: what is there, and where."""
    shape, first = [], found[0]
    while isinstance(first, list) and first:
        shape.append(len(first))
        first = first[0]
    for at, row in enumerate(found):
        odd = _odd_in(row, shape, f"[{at}]")
        if odd is not None:
            return odd
    return "holds numbers that are too large", ""


def _odd_in(value: Any, shape: Sequence[int], where: str) -> tuple[str, str] | None:
    if not shape:
        return None if isinstance(value, int | float) else (f"is {kind_of(value)}, not a number", where)
    if not isinstance(value, list) or len(value) != shape[0]:
        return f"is {kind_of(value)}, and what comes before it is a list of {shape[0]}", where
    inner = (_odd_in(one, shape[1:], f"{where}[{at}]") for at, one in enumerate(value))
    return next((odd for odd in inner if odd is not None), None)
