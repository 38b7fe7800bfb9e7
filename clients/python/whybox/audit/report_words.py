"""What the sections of a report have in common: prose, and numbers as people read them."""

from __future__ import annotations

from collections.abc import Sequence

ONE_PERCENT = 0.01

OVERALL = (
    "How much of an explanation each part makes up, on average over all instances. The shares of a method "
    "add up to 100 %. “for” says how often a part speaks for the model’s answer rather than against it."
)
AGREEMENT = (
    "Methods ask the model different questions, so that they need not agree; what all of them name is on "
    "firmer ground. Same top parts: share of each explanation’s most important parts in common. Same "
    "direction: how often those speak for or against alike. Same order: rank correlation of all parts, 1 "
    "is the same order, 0 is chance."
)
GROUPS = (
    "Bold: differs from at least one other group by more than two standard errors. That is a difference in "
    "what the model goes by, not yet a proof of unfairness: look at the instances."
)
COLOURS = "Red speaks for the model’s answer, blue against it."
CAUTION = (
    "An explanation says what the model’s answer depends on, not what causes what in the world. Every "
    "explanation stands in the journal beside this page, with all that is needed to compute it again."
)


def share(value: float) -> str:
    """In whole percent; what is not 0 never says so."""
    return "<\xa01\xa0%" if 0 < value < ONE_PERCENT else f"{100 * value:.0f}\xa0%"


def listed(parts: Sequence[str]) -> str:
    """Joined as people do it; each part is HTML already."""
    return " and ".join(filter(None, (", ".join(parts[:-1]), *parts[-1:])))
