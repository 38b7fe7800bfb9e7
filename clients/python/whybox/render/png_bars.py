"""Signed bars with standard errors, and the colour bar: the parts of a PNG that carry numbers."""

from __future__ import annotations

from collections.abc import Callable

from PIL import Image

from whybox.render.colors import MAPS, Rgb
from whybox.render.header import number
from whybox.render.options import Options
from whybox.render.parts import Part, full_bar
from whybox.render.sheet import INK, MUTED, RULE, SMALL, Pen, measured, shortened

ROW = 30
BAR = 18
PAD = 12
COLOR_BAR_WIDTH = 260
COLOR_BAR_HEIGHT = 14


def bars(parts: list[Part], width: int, options: Options) -> Image.Image:
    """One row per contribution: name, bar left or right of zero with its whisker, number."""
    pen = Pen((width, ROW * len(parts) + 8), options.font)
    names = [shortened(part.name, SMALL, width * 0.42, options.font) for part in parts]
    left = max((pen.width(name, SMALL) for name in names), default=0) + PAD
    right = width - max((pen.width(part.amount, SMALL) for part in parts), default=0) - PAD
    zero, half = (left + right) / 2, (right - left) / 2
    pen.draw.line([(zero, 0), (zero, pen.image.height)], fill=RULE, width=2)
    full = full_bar(parts)
    for row, (name, part) in enumerate(zip(names, parts, strict=True)):
        middle = ROW * (row + 0.5) + 4
        pen.write((left - PAD, middle), name, SMALL, anchor="rm")
        pen.write((width, middle), part.amount, SMALL, anchor="rm")
        end = zero + part.value / full * half
        pole = MAPS[options.color_map][3 if part.value > 0 else 0]
        if part.value:
            pen.draw.rectangle([min(zero, end), middle - BAR / 2, max(zero, end), middle + BAR / 2], fill=pole)
        if part.error:
            _whisker(pen, end, middle, part.error / full * half)
    return pen.image


def _whisker(pen: Pen, end: float, middle: float, reach: float) -> None:
    """One standard error to both sides of a bar's end."""
    pen.draw.line([(end - reach, middle), (end + reach, middle)], fill=INK, width=2)
    for side in (end - reach, end + reach):
        pen.draw.line([(side, middle - 4), (side, middle + 4)], fill=INK, width=2)


def color_bar(
    full: float, color: Callable[[float], Rgb], options: Options, ends: tuple[str, str]
) -> Image.Image:
    """The scale of a picture: what the colours from -full, or from 0 if that end means nothing, to full mean."""
    low, high = ends
    shares = (-1.0, 0.0, 1.0) if low else (0.0, 1.0)
    marks = [number(share * full) for share in shares]
    side = max(measured(mark, SMALL, options.font) for mark in marks) / 2 + 2
    start = max(side, measured(low, SMALL, options.font) + PAD) if low else side
    end = start + COLOR_BAR_WIDTH
    pen = Pen((int(end + max(side, measured(high, SMALL, options.font) + PAD)) + 1, 40), options.font)
    for column in range(COLOR_BAR_WIDTH):
        share = shares[0] + (1 - shares[0]) * column / (COLOR_BAR_WIDTH - 1)
        pen.draw.line([(start + column, 0), (start + column, COLOR_BAR_HEIGHT)], fill=color(share))
    pen.draw.rectangle([start - 1, 0, end, COLOR_BAR_HEIGHT], outline=RULE)
    pen.write((start - PAD, COLOR_BAR_HEIGHT / 2), low, SMALL, MUTED, "rm")
    pen.write((end + PAD, COLOR_BAR_HEIGHT / 2), high, SMALL, MUTED, "lm")
    for mark, share in zip(marks, shares, strict=True):
        at = start + (share - shares[0]) / (1 - shares[0]) * COLOR_BAR_WIDTH
        pen.write((at, 30), mark, SMALL, INK, "mm")
    return pen.image
