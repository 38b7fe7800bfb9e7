"""A line of the table."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """kept: whether the measurement keeps the promise; True where nothing was promised."""

    what: str
    measured: str
    must: str
    kept: bool


def at_most(what: str, value: float, limit: float, note: str = "", digits: int = 2) -> Row:
    return Row(what, f"{value:.{digits}f}{note}", f"<= {limit:g}", value <= limit)


def at_least(what: str, value: float, limit: float, note: str = "", digits: int = 2) -> Row:
    return Row(what, f"{value:.{digits}f}{note}", f">= {limit:g}", value >= limit)
