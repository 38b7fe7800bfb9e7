"""What a journal says has been done already."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from whybox.audit.actor import Item
from whybox.audit.journal import Line


@dataclass(slots=True, eq=False)
class Past:
    """answers: of the model, by row. begun: rows that an explanation was granted, whether it ended or not."""

    answers: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    begun: dict[Item, int] = field(default_factory=dict)
    explained: set[Item] = field(default_factory=set)
    failed: dict[Item, str] = field(default_factory=dict)  # why, of those that were not explained later


def past_of(lines: Iterable[Line]) -> Past:
    past = Past()
    for line in lines:
        item = Item(line.get("row", -1), line.get("method", ""))
        kind = line["kind"]
        if kind == "answer":
            past.answers[item.row] = {name: line[name] for name in ("label", "score", "probability")}
        elif kind == "begun":
            past.begun[item] = line["most_rows"]
        elif kind == "explained":
            past.explained.add(item)
            past.failed.pop(item, None)
        elif kind == "failed":
            past.failed[item] = line["message"]
    return past
