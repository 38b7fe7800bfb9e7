"""A table of words as a strip of a PNG."""

from __future__ import annotations

from PIL import Image

from whybox.render.grid import Grid
from whybox.render.sheet import INK, MUTED, RULE, SMALL, Pen, measured, shortened

ROW = 26
PAD = 24  # between columns
FIRST_SHARE = 0.5  # of the width, that the first column takes at most


def grid_strip(found: Grid, width: int, font_path: str) -> Image.Image:
    """Header, a line, rows; what is too wide for its column is cut."""
    lines = [found.header, *found.rows]
    first = min(_widest([line[0] for line in lines], font_path), width * FIRST_SHARE)
    most = (width - first) / max(len(found.header) - 1, 1) - PAD
    lefts, left = [0.0], first + PAD
    for column in list(zip(*lines, strict=True))[1:]:
        lefts.append(left)
        left += min(_widest(column, font_path), most) + PAD
    pen = Pen((width, ROW * len(lines) + 2), font_path)
    pen.draw.line([(0, ROW), (min(left - PAD, width), ROW)], fill=RULE, width=2)
    for row, line in enumerate(lines):
        for number, cell in enumerate(line):
            text = shortened(cell, SMALL, most if number else first, font_path)
            at = (lefts[number], ROW * (row + 0.5))
            pen.write(at, text, SMALL, INK if row else MUTED)
    return pen.image


def _widest(cells: list[str] | tuple[str, ...], font_path: str) -> float:
    return max(measured(cell, SMALL, font_path) for cell in cells)
