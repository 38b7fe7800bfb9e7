"""Answers as bytes: one self-describing record per row, and a sealed value around it for Redis.

    record = version, flags, header size | kind, item size, rank, dimensions per answer | payload
    value  = record | check (8 bytes, see keys.py) | CRC-32

All numbers are little-endian. Nothing is unpickled and nothing in a value is trusted: what does not
fit is a miss. Records of one layout turn into arrays and back without a step per number.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from zlib import crc32

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.lane import Answers

VERSION = 1
HEAD = struct.Struct("<BBH")  # version, flags (none yet), bytes of the whole header
PART = struct.Struct("<cBB")  # numpy's kind, item size, rank; the dimensions follow
TAIL = struct.Struct("<8sI")  # check, CRC-32 of everything before it
DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
CHUNK_BYTES = 1 << 20  # records are cut from copies of this size, so that large rows are not held twice
KNOWN_HEADERS = 256


class Ragged(ModelOutputInvalid):
    """Rows of one query have answers of different shapes or types."""


@dataclass(frozen=True, slots=True)
class Part:
    """One answer of one row."""

    dtype: np.dtype[np.generic]
    shape: tuple[int, ...]

    @property
    def row_bytes(self) -> int:
        return prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class Layout:
    """What the answers of one row are, in order; equal headers, equal layouts."""

    header: bytes
    parts: tuple[Part, ...]
    record_bytes: int


def layout_of(answers: Answers, rows: int) -> Layout:
    """Raises ModelOutputInvalid for answers that are no numbers, or not one per row."""
    for answer in answers:
        if answer.ndim == 0 or len(answer) != rows:
            message = f"the model was asked for {rows} rows and answered with shape {answer.shape}"
            raise ModelOutputInvalid(message, asked=rows)
        if _code(answer.dtype) not in DTYPES:
            message = f"the model answers with {answer.dtype}; only plain numbers can be explained"
            raise ModelOutputInvalid(message)
    return _layout(tuple(Part(answer.dtype.newbyteorder("<"), answer.shape[1:]) for answer in answers))


def _code(dtype: np.dtype[np.generic]) -> str:
    return f"{dtype.kind}{dtype.itemsize}"


@lru_cache(KNOWN_HEADERS)
def _layout(parts: tuple[Part, ...]) -> Layout:
    body = b"".join(
        PART.pack(part.dtype.kind.encode(), part.dtype.itemsize, len(part.shape))
        + struct.pack(f"<{len(part.shape)}I", *part.shape)
        for part in parts
    )
    header = HEAD.pack(VERSION, 0, HEAD.size + len(body)) + body
    return Layout(header, parts, len(header) + sum(part.row_bytes for part in parts))


@lru_cache(KNOWN_HEADERS)
def _parse(header: bytes) -> Layout | None:
    """The layout a header describes; None if it is not exactly what `_layout` would write."""
    parts, at = [], HEAD.size
    try:
        while at < len(header):
            kind, size, rank = PART.unpack_from(header, at)
            code = f"{kind.decode()}{size}"
            if code not in DTYPES:
                return None
            shape = struct.unpack_from(f"<{rank}I", header, at + PART.size)
            parts.append(Part(np.dtype(f"<{code}"), shape))
            at += PART.size + 4 * rank
        layout = _layout(tuple(parts))
    except (struct.error, UnicodeDecodeError):
        return None
    return layout if parts and layout.header == header else None


def layout_in(record: bytes) -> Layout | None:
    """The layout of a record, None if this is no record."""
    if len(record) < HEAD.size:
        return None
    layout = _parse(record[: HEAD.unpack_from(record)[2]])
    return layout if layout is not None and layout.record_bytes == len(record) else None


def pack(layout: Layout, answers: Answers) -> list[bytes]:
    """A record per row, (n,), of answers that `layout_of` has seen."""
    step = max(1, CHUNK_BYTES // layout.record_bytes)
    rows = len(answers[0])
    records: list[bytes] = []
    for lo in range(0, rows, step):
        records += _pack(layout, answers, lo, min(lo + step, rows))
    return records


def _pack(layout: Layout, answers: Answers, lo: int, hi: int) -> list[bytes]:
    width, at = layout.record_bytes, len(layout.header)
    matrix = np.empty((hi - lo, width), np.uint8)
    matrix[:, :at] = np.frombuffer(layout.header, np.uint8)
    for part, answer in zip(layout.parts, answers, strict=True):
        raw = np.ascontiguousarray(answer[lo:hi], part.dtype).reshape(hi - lo, prod(part.shape))
        matrix[:, at : at + part.row_bytes] = raw.view(np.uint8)
        at += part.row_bytes
    blob = matrix.tobytes()
    return [blob[start : start + width] for start in range(0, len(blob), width)]


def unpack(records: Sequence[bytes]) -> tuple[Layout, Answers]:
    """Answers, (n, *shape) each, of at least one record. Raises Ragged unless all have one layout."""
    layout = layout_in(records[0])
    if layout is None or set(map(len, records)) != {layout.record_bytes}:
        raise Ragged("answers of different sizes were found for one query")
    matrix = np.frombuffer(b"".join(records), np.uint8).reshape(len(records), layout.record_bytes)
    at = len(layout.header)
    if not (matrix[:, :at] == matrix[0, :at]).all():
        raise Ragged("answers of different shapes or types were found for one query")
    answers: list[Array] = []
    for part in layout.parts:
        raw = np.ascontiguousarray(matrix[:, at : at + part.row_bytes])
        answers.append(raw.view(part.dtype).reshape(len(records), *part.shape))
        at += part.row_bytes
    return layout, tuple(answers)


def seal(record: bytes, check: bytes) -> bytes:
    """The value that Redis holds for a record."""
    return record + TAIL.pack(check, crc32(check, crc32(record)))


def unseal(value: object, check: bytes) -> bytes | None:
    """The record inside a value, None if anything about it is wrong. Never raises."""
    if not isinstance(value, bytes) or len(value) < HEAD.size + TAIL.size:
        return None
    found, crc = TAIL.unpack_from(value, len(value) - TAIL.size)
    record = value[: -TAIL.size]
    if found != check or crc != crc32(check, crc32(record)):
        return None
    return record if layout_in(record) is not None else None
