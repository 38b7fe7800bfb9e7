"""Reads what a server sends, and no more than was agreed, however small it looked on the wire."""

from __future__ import annotations

import zlib
from collections.abc import Iterable

GZIP = {"gzip", "x-gzip"}
GZIP_WINDOW = zlib.MAX_WBITS | 16


class Overflow(Exception):
    """There is more than the cap."""


class Undecodable(Exception):
    """The body is not what its headers say; the text says why."""


def read_body(chunks: Iterable[bytes], encoding: str, cap: int) -> bytes:
    """The body, decoded, at most `cap` bytes. Raises Overflow as soon as there are more, and Undecodable."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return joined(chunks, cap)
    if encoding not in GZIP:
        raise Undecodable(f"encoded as {encoding[:20]!a}, which was not asked for")
    return joined(unzipped(chunks, cap), cap)


def joined(chunks: Iterable[bytes], cap: int) -> bytes:
    body = bytearray()
    for chunk in chunks:
        if len(body) + len(chunk) > cap:
            raise Overflow
        body += chunk
    return bytes(body)


def unzipped(chunks: Iterable[bytes], cap: int) -> Iterable[bytes]:
    """Never more than a byte over the cap in memory at once: that a bomb is one is known by then."""
    unzip = zlib.decompressobj(GZIP_WINDOW)
    for chunk in chunks:
        try:
            yield unzip.decompress(chunk, cap + 1)
        except zlib.error:
            raise Undecodable("said to be gzip and is not") from None
        if unzip.unconsumed_tail:
            raise Overflow
        if unzip.unused_data:
            raise Undecodable("gzip with something behind it")
    if not unzip.eof:
        raise Undecodable("gzip that ends too early")
