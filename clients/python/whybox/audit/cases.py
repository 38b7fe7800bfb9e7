"""Explanations as a report needs them: a number per name that means the same in every instance.

Columns of a table, words of a text and channels of a series have such names; a picture's segments are
of that picture alone, and are not compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from whybox.audit.journal import lines
from whybox.jsonform import read
from whybox.result import Explanation

WORDS = " \t\r\n.,;:!?\"'()[]"  # what is no part of a word at its ends


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """One explanation. values: by name, in `unit`; empty where names do not travel. shown: the instance."""

    row: int
    method: str
    kind: str
    label: str
    index: int
    score: float
    probability: float | None
    unit: str
    complete: bool
    values: Mapping[str, float]
    shown: Mapping[str, str]
    rows_asked: int
    warnings: tuple[str, ...]
    guesses: tuple[str, ...]
    model: str
    digest: str
    version: str


def cases(journal: Path) -> Iterator[Case]:
    """In the order in which they ended."""
    return (case for case, _ in explanations(journal))


def explanations(journal: Path) -> Iterator[tuple[Case, Explanation]]:
    """The same with all that was found."""
    for line in lines(journal):
        if line["kind"] == "explained":
            e = Explanation(read(line["explanation"]))
            yield case(line["row"], line["method"], e), e


def case(row: int, method: str, e: Explanation) -> Case:
    target, made = e.target, e.provenance
    return Case(
        row=row,
        method=method,
        kind=e.kind,
        label=target.label or f"output {target.index}",
        index=target.index,
        score=target.score,
        probability=target.probability,
        unit=e.unit,
        complete=e.complete,
        values=values_by_name(e),
        shown=shown(e),
        rows_asked=e.usage.rows_asked,
        warnings=e.warnings,
        guesses=made.guesses,
        model=made.model,
        digest=made.model_digest,
        version=made.method_version,
    )


def values_by_name(e: Explanation) -> dict[str, float]:
    """Sums over places of one name."""
    view = e.message.subject.WhichOneof("view")
    if view == "table":
        return by_column(e)
    if view == "text":
        return by_word(e)
    if view == "series":
        channels, heat = e.message.subject.series.channels, e.heatmap()  # heat: (time, channels)
        return {name: float(sum_) for name, sum_ in zip(channels, heat.sum(axis=0), strict=False)}
    return {}


def by_column(e: Explanation) -> dict[str, float]:
    """A segment of several columns counts for all of them together, under their names."""
    names, flat = tuple(e.message.subject.table.names), e.values.ravel()
    by_input = e.segments_by_input
    if not by_input:
        return dict(zip(names, flat.tolist(), strict=True)) if len(names) == len(flat) else {}
    if sum(map(np.size, by_input.values())) != len(names):
        return dict(zip(e.names, flat.tolist(), strict=True))
    segment_of = np.concatenate([segments.ravel() for segments in by_input.values()])  # (columns,)
    found = {}
    for segment, value in enumerate(flat.tolist()):
        together = [name for name, s in zip(names, segment_of.tolist(), strict=True) if s == segment]
        if together:
            found[" + ".join(together)] = value
    return found


def by_word(e: Explanation) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, value in zip(e.names, e.values.ravel().tolist(), strict=True):
        word = name.strip(WORDS).lower()
        if word:
            found[word] = found.get(word, 0.0) + value
    return found


def shown(e: Explanation) -> dict[str, str]:
    """The instance by column, or its text."""
    subject = e.message.subject
    if subject.WhichOneof("view") == "table":
        return dict(zip(subject.table.names, subject.table.values, strict=True))
    if subject.WhichOneof("view") == "text":
        return {"text": "".join(subject.text.pieces)}
    return {}
