"""Rows as they go into calls of the Open Inference Protocol: with an axis that counts them, or one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech.oip import DATATYPES, raw_bytes

ID = "whybox"  # of requests: KServe's replies in JSON need one, and a constant one spoils no server's cache
NO_AXIS = "none"  # of manner["rows"]: no axis counts rows; a number: always so many; not there: any number


class Feed(NamedTuple):
    """One call. arrays: by input, (sent, *shape), or (*shape) where no axis counts rows; `counted` rows are wanted."""

    arrays: Mapping[str, Array]
    sent: int
    counted: int


def feeds(described: Described, rows: Mapping[str, Array]) -> Iterator[Feed]:
    """The calls that it takes. A fixed axis is filled up with copies of the last row."""
    total = len(next(iter(rows.values())))
    axis = described.manner.get("rows", "")
    if not axis:
        yield Feed(dict(rows), total, total)
        return
    size = 1 if axis == NO_AXIS else int(axis)
    for start in range(0, total, size):
        at = np.minimum(np.arange(start, start + size), total - 1)
        part = {name: array[at] for name, array in rows.items()}
        bare = {name: array[0] for name, array in part.items()} if axis == NO_AXIS else part
        yield Feed(bare, size, min(size, total - start))


def datatype_of(described: Described, name: str, array: Array) -> str:
    """In which the server wants an input."""
    return described.manner.get(f"datatype:{name}") or DATATYPES[array.dtype]


def bytes_per_row(described: Described, rows: Mapping[str, Array]) -> int:
    """Of raw contents; for texts, of the longest one."""
    return max(1, sum(_longest(datatype_of(described, name, array), array) for name, array in rows.items()))


def _longest(datatype: str, array: Array) -> int:
    if datatype != "BYTES":
        return raw_bytes(datatype, array[:1])
    return max((raw_bytes(datatype, row) for row in array.reshape(len(array), -1)), default=0)
