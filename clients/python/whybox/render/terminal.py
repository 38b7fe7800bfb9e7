"""An attribution for the terminal: header, the instance in colours where it fits, signed bars.

With `color` off the text holds no escape code and says the same with marks.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
from PIL import Image

from whybox.render import header, parts
from whybox.render.cells import Span, cells, fit, flow, printable
from whybox.render.colors import Array, Rgb, diverging, limit, scaled, tinted
from whybox.render.grid import Grid, grid
from whybox.render.maps import heatmap, ranked_channels
from whybox.render.options import Options
from whybox.render.reading import array, kind
from whybox.render.story import ends
from whybox.v1 import explanation_pb2

FOR_INK: Rgb = (214, 69, 80)  # readable on black and on white
AGAINST_INK: Rgb = (60, 140, 200)
WHITE: Rgb = (255, 255, 255)
BLACK: Rgb = (20, 20, 20)
TINT = 0.7  # opacity of the strongest word: black letters stay readable on it
SPARKS = "▁▂▃▄▅▆▇█"
MOST_BARS = 10
MOST_CHANNELS = 8
MAP_COLUMNS = 48
MAP_LINES = 24
MIN_WIDTH = 40
MARK_FROM = 0.25  # share of the largest contribution from which a word or a moment is marked without colour


def text(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> str:
    """Lines of at most `width` cells; narrower than `MIN_WIDTH` is not attempted."""
    width = max(width, MIN_WIDTH)
    blocks = [
        _header(message, target, width),
        BODIES[kind(message)](message, target, width, color),
        _bars(parts.ranked(message, target, MOST_BARS), width, color),
        _grid(grid(message), width),
        flow([Span(header.sum_line(message, target))], width, color=False),
        _warnings(message, width),
    ]
    return "\n\n".join("\n".join(line.rstrip() for line in block) for block in blocks if block) + "\n"


def _header(message: explanation_pb2.Explanation, target: int, width: int) -> list[str]:
    lines = flow([Span(printable(header.title(message, target)))], width, color=False)
    for name, value in header.facts(message, target):
        wrapped = flow([Span(printable(value))], width - 12, color=False)
        lines += [f"{name if first else '':<12}{line}" for first, line in _with_first(wrapped)]
    return lines


def _with_first(lines: list[str]) -> list[tuple[bool, str]]:
    return [(number == 0, line) for number, line in enumerate(lines)]


def _warnings(message: explanation_pb2.Explanation, width: int) -> list[str]:
    lines = []
    for warning in message.warnings:
        lines += flow([Span("Note: " + printable(warning))], width, color=False)
    return lines


def _bars(found: list[parts.Part], width: int, color: bool) -> list[str]:
    """One line per contribution: name, bar left or right of zero, number."""
    amount_width = max((cells(part.amount) for part in found), default=0)
    longest = max((cells(printable(part.name)) for part in found), default=0)
    name_width = min(longest, width * 2 // 5)
    half = max((width - name_width - amount_width - 5) // 2, 3)
    full = parts.full_bar(found)
    lines = []
    for part in found:
        length = round(abs(part.value) / full * half)
        bar = Span("█" * length, FOR_INK if part.value > 0 else AGAINST_INK).styled(color and length > 0)
        empty = " " * (half - length)
        left, right = (" " * half, bar + empty) if part.value >= 0 else (empty + bar, " " * half)
        name = fit(printable(part.name), name_width)
        lines.append(f"{name} {left}│{right} {part.amount:>{amount_width}}")
    return lines


def _picture(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> list[str]:
    """A small heat map of half blocks; without colour the list of segments has to do."""
    if not color:
        return []
    return [*_half_blocks(heatmap(message, target), width), _legend(message)]


def _tensor(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> list[str]:
    heat = np.squeeze(heatmap(message, target))
    if not color or heat.ndim != 2:
        return []
    return [*_half_blocks(heat, width), _legend(message)]


def _half_blocks(grid: Array, width: int) -> list[str]:
    """(height, width) attributions as "▀", whose two halves are two rows of the map."""
    height, across = grid.shape
    zoom = min(min(width, MAP_COLUMNS) / across, 2 * MAP_LINES / height)
    zoom = max(int(zoom), 1) if zoom >= 1 else zoom
    columns, rows = max(round(across * zoom), 1), max(round(height * zoom), 1)
    image = Image.fromarray(grid.astype(np.float32))
    how = Image.Resampling.NEAREST if zoom >= 1 else Image.Resampling.BOX
    small = np.asarray(image.resize((columns, rows + rows % 2), how))
    colors = diverging(scaled(small, Options())).tolist()
    return [
        "".join(Span("▀", tuple(up), tuple(down)).styled(True) for up, down in zip(top, bottom, strict=True))
        for top, bottom in zip(colors[::2], colors[1::2], strict=True)
    ]


def _words(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> list[str]:
    """The text with its words tinted, or the strongest ones in brackets with their sign."""
    shown = scaled(heatmap(message, target), Options(clip_percent_upperbound=100.0))
    spans = []
    for piece, strength in zip(message.subject.text.pieces, shown.tolist(), strict=True):
        clean = printable(piece, lines=True)
        if color and strength:
            spans.append(Span(clean, BLACK, tinted(strength, WHITE, TINT)))
        elif abs(strength) >= MARK_FROM and clean.strip():
            spans.append(Span(f"[{'+' if strength > 0 else '-'}{clean}]"))
        else:
            spans.append(Span(clean))
    return [*flow(spans, width, color), "", _legend(message) if color else _marks(message, "[+word]", "[-word]")]


def _series(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> list[str]:
    """A sparkline per channel over a tinted ground, or over a line of marks."""
    values = array(message.subject.series.values)  # (time, channels)
    found = heatmap(message, target)
    full = limit(found, Options())
    names = list(message.subject.series.channels) or [f"channel {c}" for c in range(values.shape[1])]
    name_width = min(max(map(cells, map(printable, names)), default=0), width // 4)
    columns = min(width - name_width - 1, len(values)) if len(values) > width // 2 else len(values)
    lines = []
    for channel in ranked_channels(found, MOST_CHANNELS):
        sparks = _sparks(_resampled(values[:, channel], columns))
        shown = scaled(_resampled(found[:, channel], columns), Options(), full).tolist()
        name = fit(printable(names[channel]), name_width)
        if color:
            drawn = (Span(s, BLACK, tinted(v, WHITE, TINT)).styled(True) for s, v in zip(sparks, shown, strict=True))
            lines.append(f"{name} {''.join(drawn)}")
        else:
            lines += [f"{name} {sparks}", f"{' ' * name_width} {''.join(map(_mark, shown))}"]
    return [*lines, _legend(message) if color else _marks(message, "+", "-")]


def _mark(strength: float) -> str:
    if abs(strength) < MARK_FROM:
        return " "
    return "+" if strength > 0 else "-"


def _sparks(values: Array) -> str:
    low, high = float(values.min()), float(values.max())
    steps = np.zeros(len(values)) if high == low else (values - low) / (high - low) * (len(SPARKS) - 1)
    return "".join(SPARKS[int(step)] for step in steps.round())


def _resampled(values: Array, columns: int) -> Array:
    """Means of `columns` equal stretches of time."""
    bounds = np.linspace(0, len(values), columns + 1).astype(int)
    return np.array([values[lo:hi].mean() for lo, hi in pairwise(bounds)])


def _legend(message: explanation_pb2.Explanation) -> str:
    """The two colours; an end that has no meaning is left out."""
    shown = zip((-1.0, 1.0), ends(message), strict=True)
    return " ".join(
        Span(f" {word} ", BLACK, tinted(side, WHITE, TINT)).styled(True) for side, word in shown if word
    )


def _marks(message: explanation_pb2.Explanation, plus: str, minus: str) -> str:
    """What marks mean where there is no colour."""
    low, high = ends(message)
    return f"{plus} {high}, {minus} {low}." if low else f"{plus} {high}."


def _grid(found: Grid | None, width: int) -> list[str]:
    """A table in columns; the first one gives way where they do not fit."""
    if found is None:
        return []
    lines = [found.header, *found.rows]
    widths = [max(cells(printable(cell)) for cell in column) for column in zip(*lines, strict=True)]
    most = max((width - 2 * (len(widths) - 1)) // len(widths), 1)
    others = [min(wide, most) for wide in widths[1:]]
    first = min(widths[0], width - sum(others) - 2 * len(others))
    return ["  ".join(map(fit, map(printable, line), [first, *others])) for line in lines]


def _nothing(message: explanation_pb2.Explanation, target: int, width: int, color: bool) -> list[str]:
    return []


BODIES: dict[str, Callable[[explanation_pb2.Explanation, int, int, bool], list[str]]] = {
    "picture": _picture,
    "tensor": _tensor,
    "text": _words,
    "series": _series,
    "table": _nothing,
    "bare": _nothing,
}
