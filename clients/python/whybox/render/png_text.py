"""A text with its pieces tinted, in their own order and white space."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from whybox.render import colors
from whybox.render.cells import CHUNKS, printable
from whybox.render.colors import Array, Rgb
from whybox.render.options import Options
from whybox.render.png_bars import color_bar
from whybox.render.sheet import INK, MUTED, PAPER, Pen, measured, shortened

SIZE = 20
LINE = 36
BOX = 28
MOST_LINES = 60
TINT = 0.6  # opacity of the strongest piece: letters stay readable on it


@dataclass(frozen=True, slots=True)
class Placed:
    """A word where it stands; left and width in pixels."""

    text: str
    line: int
    left: float
    width: float
    shown: float  # [-1, 1]


def text_strips(
    pieces: list[str], heat: Array, width: int, options: Options, ends: tuple[str, str]
) -> list[Image.Image]:
    """The text and its colour bar; a text of more than `MOST_LINES` lines is cut, and says so.

    heat: (pieces,). ends: what the colour bar's two ends mean.
    """
    full = colors.limit(heat, _unclipped(options))
    shown = colors.scaled(heat, _unclipped(options), full).tolist()
    placed = list(_placed(list(zip(pieces, shown, strict=True)), width, options.font))
    lines = max((word.line for word in placed), default=0) + 1
    pen = Pen((width, LINE * min(lines, MOST_LINES) + (LINE if lines > MOST_LINES else 0)), options.font)
    for word in placed:
        if word.line < MOST_LINES:
            _draw(pen, word, options)
    if lines > MOST_LINES:
        pen.write((0, LINE * (MOST_LINES + 0.5)), f"... {lines - MOST_LINES} more lines", SIZE, MUTED)
    return [pen.image, color_bar(full, lambda share: _tint(share, options), options, ends)]


def _draw(pen: Pen, word: Placed, options: Options) -> None:
    middle = LINE * (word.line + 0.5)
    if word.shown:
        box = [word.left - 1, middle - BOX / 2, word.left + word.width + 1, middle + BOX / 2]
        pen.draw.rounded_rectangle(box, 4, fill=_tint(word.shown, options))
    pen.write((word.left, middle), word.text, SIZE, INK)


def _tint(share: float, options: Options) -> Rgb:
    return colors.tinted(share, PAPER, TINT, options.color_map)


def _unclipped(options: Options) -> Options:
    """A text has few pieces: its strongest is no outlier but the answer."""
    return Options(
        polarity=options.polarity,
        clip_percent_upperbound=100.0,
        clip_percent_lowerbound=options.clip_percent_lowerbound,
    )


def _placed(pieces: list[tuple[str, float]], width: int, font_path: str) -> Iterator[Placed]:
    line, left = 0, 0.0
    for piece, shown in pieces:
        for chunk in CHUNKS.findall(printable(piece, lines=True)):
            if chunk == "\n":
                line, left = line + 1, 0.0
                continue
            word = shortened(chunk, SIZE, width - 4, font_path)
            wide = measured(word, SIZE, font_path)
            if left and left + wide > width:
                line, left = line + 1, 0.0
            if word.isspace() and not left:
                continue
            yield Placed(word, line, left, wide, shown)
            left += wide
