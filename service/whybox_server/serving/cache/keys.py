"""Names of rows: which rows of a query are the same, and under which name a row is known to others.

A row's identity is its lane's fingerprint and its own digest; the request is never part of it. This
module knows nothing of answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from blake3 import blake3

from whybox_server.core.rows import Array, Rows

CONTEXT = "whybox 2026-11 cache: names of rows"  # changes whenever the meaning of a tag does
PREFIX = b"wb1:"
NAME_BYTES = 20  # 160 bits: a collision among 10^12 rows has probability 3e-25
CHECK_BYTES = 8


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """The different rows of a query, numbered in order of first appearance."""

    identities: list[bytes]  # (u,)
    first: Array | None  # (u,) where each one stands in the query; None: all rows differ
    inverse: Array | None  # (n,) the number of each row of the query; None: all rows differ
    repeats: Array | None  # (u,) how often each one is asked; None: once


def distinct(fingerprint: bytes, rows: Rows) -> Distinct:
    """Find the different rows. Costs about a microsecond a row: call it off the event loop."""
    keys = rows.keys()
    if len(set(keys)) == len(keys):
        return Distinct([fingerprint + key for key in keys], None, None, None)
    numbers = dict.fromkeys(keys)
    identities = [fingerprint + key for key in numbers]
    number_of = dict(zip(numbers, range(len(numbers)), strict=True))
    inverse = np.fromiter(map(number_of.__getitem__, keys), np.intp, len(keys))  # (n,)
    _, first, repeats = np.unique(inverse, return_index=True, return_counts=True)
    return Distinct(identities, first, inverse, repeats)


class Namer:
    """Turns identities into tags that nobody without the secret can predict or test for.

    Whoever can read a shared Redis must not learn whether somebody asked about a certain person.
    """

    def __init__(self, secret: bytes) -> None:
        self._key = blake3(secret, derive_key_context=CONTEXT).digest()

    def tags(self, identities: Sequence[bytes]) -> list[bytes]:
        """`NAME_BYTES + CHECK_BYTES` of keyed BLAKE3 each.

        The digest is one long pseudo-random string, so that the check is as independent of the name
        as a second digest would be, at half the price.
        """
        key, length = self._key, NAME_BYTES + CHECK_BYTES
        return [blake3(identity, key=key).digest(length=length) for identity in identities]


def redis_key(tag: bytes) -> bytes:
    """Under which key Redis holds the row."""
    return PREFIX + tag[:NAME_BYTES]


def check_of(tag: bytes) -> bytes:
    """What a value under that key must carry: a right value under a wrong key is a miss."""
    return tag[NAME_BYTES:]
