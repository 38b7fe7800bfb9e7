"""How large noise is at a place: a share of the range that its values have.

A table's columns have a range each, from typical rows; a series' channels and a picture have that of
the instance, as in the paper on SmoothGrad.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Rng
from whybox_server.methods.probing import Here, Probing
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.layout import axes_of

SEEDS = 2**63  # of one row's noise each


def seeds(rng: Rng, count: int) -> Array:
    """Seeds of rows, (count,)."""
    return rng.integers(SEEDS, size=count, dtype=np.uint64)


def ranges(probing: Probing, here: Here) -> tuple[Array, list[str]]:
    """Largest less smallest value, float64 and broadcastable to the place; what a reader must know."""
    subject, values = probing.subject, here.values.astype(np.float64)
    if subject.instance.spec.modality is Modality.TABULAR:
        return of_columns(probing, values)
    axes = axes_of(subject.instance.spec, values.shape) if probing.direct else None
    per_channel = subject.instance.spec.modality is Modality.TIME_SERIES and axes is not None
    found = np.ptp(values, axis=axes.places if per_channel and axes else None, keepdims=True)
    if not found.any():
        return np.ones_like(found), ["every value of the instance is the same; its range was taken as 1"]
    return found, []


def of_columns(probing: Probing, values: Array) -> tuple[Array, list[str]]:
    """A range per column, (*place)."""
    instance = probing.subject.instance
    rows = background_rows(instance)
    if rows is None:
        warning = (
            "no background rows are known, so the noise of a column is a share of its own value; "
            "give spec.tabular.background"
        )
        return np.abs(values), [warning]
    own = [rows[name].reshape(len(rows[name]), -1) for name in probing.site.inputs]
    joined = np.hstack(own).astype(np.float64)  # (rows, columns)
    flat = values.ravel()
    low, high = np.minimum(joined.min(axis=0), flat), np.maximum(joined.max(axis=0), flat)
    return (high - low).reshape(values.shape), []
