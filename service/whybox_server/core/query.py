"""What a method asks and what it is told: the one small protocol of the onion.

Everything below a method implements `Predictor`: budget, cache, batcher, model.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from whybox_server.core.probe import Probe
from whybox_server.core.rows import Array, Rows

if TYPE_CHECKING:
    from whybox_server.core.explanation import Finding


class Want(Enum):
    """What is wanted of the rows."""

    SCORES = "scores"
    VALUES = "values"  # of the tensor that the probe names; scores come too
    GRADIENT = "gradient"  # of one target per row, at the probe; scores come too


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Rows that a method wants answered; never empty, never changed afterwards."""

    rows: Rows
    want: Want = Want.SCORES
    target: int | Array | None = None  # of GRADIENT: which column of the scores, for all rows or (n,) of them
    model: str = ""  # the explained one, or the name of another that the method's parameters name
    probe: Probe = Probe()  # of VALUES and GRADIENT
    reference: Array | None = None  # of DeepLIFT: (n, *shape) or (*shape), what each row is compared with


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Answers, one per row of the query, in order. Shapes at the probe are those of one row of it."""

    scores: Array  # (n, outputs) float, as the model says them
    gradient: Array | None = (
        None  # (n, *shape at the probe): d target / d probe, or what the rules make of it
    )
    values: Array | None = None  # (n, *shape at the probe), where the probe is not an input itself
    largest: Array | None = None  # (n,): the largest number on the way back, where the rules can blow up
    reference_scores: Array | None = None  # (n, outputs): scores at the references, in the probe's space


Steps: TypeAlias = "Generator[Query, Reply, Finding]"


class Predictor(Protocol):
    """Anything that answers queries on behalf of one explanation."""

    async def predict(self, query: Query) -> Reply: ...
