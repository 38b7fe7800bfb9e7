"""What makes a method: a record in `METHODS`.

A method is prepared (cuts the instance, builds baselines; no model), can say what it will cost, and
runs as a generator of queries. It is a pure function of instance, parameters, rng and replies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any, Generic, TypeVar

import numpy as np

from whybox_server.core.errors import Violation
from whybox_server.core.instance import Subject
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality, ModelSpec

Rng = np.random.Generator
P = TypeVar("P")  # parameters: a frozen dataclass whose fields are those of the proto message
T = TypeVar("T")  # what `prepare` makes: the task


@dataclass(frozen=True, slots=True)
class Cost:
    """Rows that will be asked, at most; `exact` if always that many."""

    rows: int
    exact: bool


def alone(params: Any) -> Mapping[str, str]:
    """Asks no model but the explained one."""
    return {}


def nothing(_spec: ModelSpec) -> str:
    """Needs nothing of a model but its modality."""
    return ""


@dataclass(frozen=True, slots=True)
class Method(Generic[P, T]):
    """One explanation method.

    prepare: raises InvalidRequest or MethodUnsupported when the method cannot explain this subject.
    version: changes whenever the same question may get another answer.
    others: further models to be asked, by the parameter that names each; they are given the explained
    model's rows, and a reply's scores are their output as it is, flattened, (n, numbers).
    lacks: what a model of its modality lacks for its defaults, or "", known before there is an instance.
    probes: by which rules it leads scores back, for methods that look inside a model; "": it does not.
    reads: what else it needs inside, MAPS or POOLED; "": nothing.
    labels_suffice: it looks at nothing but which score is highest.
    """

    name: str
    summary: str
    citation: str
    version: str
    modalities: frozenset[Modality]
    params: type[P]
    prepare: Callable[[Subject, P, Rng], T]
    cost: Callable[[T, P], Cost]
    run: Callable[[T, P, Rng], Steps]
    others: Callable[[P], Mapping[str, str]] = alone
    lacks: Callable[[ModelSpec], str] = nothing
    probes: str = ""
    reads: str = ""
    labels_suffice: bool = False


@dataclass(frozen=True, slots=True)
class About:
    """What a parameter means to a caller; bounds are inclusive."""

    summary: str
    unset: str  # what leaving it out means, in words
    low: float | None = None
    high: float | None = None


def param(
    default: Any, summary: str, *, unset: str, low: float | None = None, high: float | None = None
) -> Any:
    """A field of a parameter class, with what `whybox methods` says about it."""
    return field(default=default, metadata={"about": About(summary, unset, low, high)})


def violations(params: Any) -> list[Violation]:
    """Parameters outside their bounds, by field name."""
    found = []
    for entry in fields(params):
        about: About = entry.metadata["about"]
        value = getattr(params, entry.name)
        numbers = value if isinstance(value, tuple) else (value,)
        for number in numbers:
            if isinstance(number, bool | Enum) or not isinstance(number, int | float):
                continue
            low, high = about.low, about.high
            if (
                not np.isfinite(number)
                or (low is not None and number < low)
                or (high is not None and number > high)
            ):
                found.append(Violation(entry.name, f"must be in [{low}, {high}], got {number}"))
    return found
