"""What a method asks and what it is told: the one small protocol of the onion.

Everything below a method implements `Predictor`: budget, cache, batcher, model.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol, TypeAlias

from whybox_server.core.rows import Array, Rows

if TYPE_CHECKING:
    from whybox_server.core.explanation import Finding


class Want(Enum):
    """What is wanted of the rows."""

    SCORES = "scores"
    GRADIENT = "gradient"  # of one target, with respect to the instance's inputs; scores come too


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """Rows that a method wants answered; never empty, never changed afterwards."""

    rows: Rows
    want: Want = Want.SCORES
    target: int | None = None  # of GRADIENT: which column of the scores
    model: str = ""  # the explained one, or the name of another that the method's parameters name


@dataclass(frozen=True, slots=True, eq=False)
class Reply:
    """Answers, one per row of the query, in order."""

    scores: Array  # (n, outputs) float, as the model says them
    gradient: Array | None = None  # (n, *instance shape): d scores[:, target] / d row


Steps: TypeAlias = "Generator[Query, Reply, Finding]"


class Predictor(Protocol):
    """Anything that answers queries on behalf of one explanation."""

    async def predict(self, query: Query) -> Reply: ...
