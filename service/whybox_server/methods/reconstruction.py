"""How badly an autoencoder reconstructs rows: the gamma term of contrasts (Dhurandhar et al. 2018, eq. 1-2).

An autoencoder that learnt what usual inputs look like reconstructs those well and others badly, so that
its error keeps contrasts among what occurs. Rows count as the explained model sees them: for a pertinent
positive that is nothing and what is put into it. It knows nothing of what is looked for.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TypeAlias

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Rows
from whybox_server.methods.contrast_sides import materialised

CELLS = 2**23  # numbers per query: 64 MB in float64, of which the autoencoder's answer takes another half

Reconstruct: TypeAlias = Callable[[Rows], Generator[Query, Reply, Array]]  # errors of rows, (n,)


def unasked(rows: Rows) -> Generator[Query, Reply, Array]:
    """No errors, (n,) zeros: without an autoencoder every row is as good as another."""
    yield from ()
    return np.zeros(len(rows))


def reconstruction(instance: Instance, model: str, gamma: float) -> Reconstruct:
    """Errors gamma ||x - AE(x)||_2^2 of rows of this instance, over all elements of all inputs.

    model: the autoencoder's name; without one nothing is asked. What is returned raises InvalidRequest
    when the model answers with another number of elements, and lets BudgetSpent pass.
    """
    if not model:
        return unasked
    size = sum(array.size for array in instance.inputs.values())
    chunk = max(1, CELLS // size)

    def errors(rows: Rows) -> Generator[Query, Reply, Array]:
        found = [np.zeros(0)]
        for lo in range(0, len(rows), chunk):
            some = rows.take(np.arange(lo, min(lo + chunk, len(rows))))
            reply = yield Query(some, model=model)
            if reply.scores.shape[1] != size:
                raise InvalidRequest.of(
                    "cem.autoencoder",
                    f"{model!r} answers {reply.scores.shape[1]} numbers and the instance has {size}; "
                    "give a model whose output is its input, reconstructed",
                )
            found.append(gamma * np.sum((seen(some, instance) - reply.scores) ** 2, axis=1))
        return np.concatenate(found)

    return errors


def seen(rows: Rows, instance: Instance) -> Array:
    """What the model sees of rows, (n, elements) float64, inputs one after the other."""
    inputs = materialised(rows, instance, np.arange(len(rows)))
    flat = [array.reshape(len(rows), -1) for array in inputs.values()]
    return np.concatenate(flat, axis=1, dtype=np.float64)


def refuse_no_numbers(instance: Instance) -> None:
    """Raises InvalidRequest for an instance that holds something else than numbers."""
    for name, array in instance.inputs.items():
        if array.dtype.kind not in "iuf":
            raise InvalidRequest.of(
                "cem.autoencoder", f"reconstructs numbers and input {name!r} holds none; leave it out"
            )
