"""Text in a grid of terminal cells: widths, wrapping, colour codes. Harmless whatever a label contains."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from whybox.render.colors import Rgb

RESET = "\x1b[0m"
CHUNKS = re.compile(r"\n|[^\S\n]+|\S+")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of text in one style."""

    text: str
    ink: Rgb | None = None
    paper: Rgb | None = None

    def styled(self, color: bool) -> str:
        """With 24-bit colour codes around it, or as it is."""
        codes = []
        if self.ink is not None:
            codes.append("38;2;{};{};{}".format(*self.ink))
        if self.paper is not None:
            codes.append("48;2;{};{};{}".format(*self.paper))
        return f"\x1b[{';'.join(codes)}m{self.text}{RESET}" if color and codes else self.text


def printable(text: str, *, lines: bool = False) -> str:
    """Without control and invisible formatting characters; `lines` keeps line ends, else they are spaces."""
    kept = (" " if c in "\t\r" or (c == "\n" and not lines) else c for c in text)
    return "".join(c for c in kept if c == "\n" or not unicodedata.category(c).startswith("C"))


def cells(text: str) -> int:
    """Columns that a terminal uses for it."""
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def fit(text: str, width: int) -> str:
    """Cut with "…" to at most `width` cells and padded to exactly that many."""
    if cells(text) > width:
        kept = ""
        for character in text:
            if cells(kept + character) > width - 1:
                break
            kept += character
        text = kept + "…"
    return text + " " * (width - cells(text))


def flow(spans: list[Span], width: int, color: bool) -> list[str]:
    """Spans set in lines of at most `width` cells, broken at spaces; own line ends are kept."""
    lines, line, used = [], "", 0
    for span, chunk in _chunks(spans, width):
        if chunk == "\n" or (used + cells(chunk) > width and not (chunk.isspace() and used == 0)):
            lines.append(line)
            line, used = "", 0
            if chunk.isspace():
                continue
        line += Span(chunk, span.ink, span.paper).styled(color)
        used += cells(chunk)
    return [*lines, line]


def _chunks(spans: list[Span], width: int) -> Iterator[tuple[Span, str]]:
    """Words, runs of spaces and line ends; what is wider than a line in pieces that are not."""
    for span in spans:
        for chunk in CHUNKS.findall(span.text):
            step = width if cells(chunk) == len(chunk) else max(width // 2, 1)
            for start in range(0, len(chunk), step):
                yield span, chunk[start : start + step]
