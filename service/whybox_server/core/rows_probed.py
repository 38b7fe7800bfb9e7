"""Rows for a model that also leads a score back: each one says which score, and what it is compared with.

They fill two more inputs than the model has; what becomes of these, this file does not know.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import WhyboxError
from whybox_server.core.query import Query, Want
from whybox_server.core.rows import Array, Buffers, Rows, described, digest, row_digests

SEED = "whybox_seed"  # buffer of (n, outputs): weights of the scores whose sum is led back
REFERENCE = "whybox_reference"  # buffer of (n, *shape at the probe)


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """Rows and, for each, one column of the scores. reference: (n, *shape), or (1, *shape) for all; None: none."""

    rows: Rows
    columns: Array  # (n,)
    reference: Array | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, at: Array) -> Probed:
        return Probed(self.rows.take(at), self.columns[at], self._references(at))

    def keys(self) -> list[bytes]:
        keys = np.array([np.frombuffer(key, np.uint8) for key in self.rows.keys()])  # (n, KEY_BYTES)
        extra = [self.columns.astype("<i4")]
        recipe = digest(b"probed")
        if self.reference is not None and len(self.reference) == 1:
            recipe = digest(b"probed", *described(self.reference))
        elif self.reference is not None:
            recipe = digest(b"probed", *described(self.reference[:0]))
            extra.append(self.reference)
        return row_digests(recipe, keys, *extra)

    def write(self, at: Array, out: Buffers) -> None:
        inner = {name: buffer for name, buffer in out.items() if name not in (SEED, REFERENCE)}
        self.rows.write(at, inner)
        count = len(at)
        if SEED in out:  # a model with one score needs none
            out[SEED][:count] = 0
            out[SEED][np.arange(count), self.columns[at]] = 1
        if self.reference is not None:
            out[REFERENCE][:count] = self._references(at)

    def _references(self, at: Array) -> Array | None:
        if self.reference is None or len(self.reference) == 1:
            return self.reference
        return self.reference[at]


def seeded(query: Query) -> Query:
    """The same question with targets and references in its rows, so that equal keys are equal rows."""
    if query.want is not Want.GRADIENT:
        return query
    if query.target is None:
        raise WhyboxError("a gradient was asked of no target")
    columns = np.broadcast_to(np.asarray(query.target), len(query.rows))
    rows = Probed(query.rows, columns, query.reference)
    return replace(query, rows=rows, target=None, reference=None)
