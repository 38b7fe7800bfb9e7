"""Pieces of the HTML page, one per kind of subject. Everything that a caller wrote is escaped here.

Overlays are small transparent PNGs at the instance's own resolution over one copy of the picture,
so that a page of many targets stays small and the same image serves a light and a dark page.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from html import escape
from io import BytesIO

import numpy as np
from PIL import Image

from whybox.render import colors, header, parts
from whybox.render.cells import printable
from whybox.render.colors import Array
from whybox.render.counterparts import pictures, texts
from whybox.render.grid import Grid
from whybox.render.maps import heatmap, pixels, ranked_channels
from whybox.render.options import Options
from whybox.render.reading import array, kind
from whybox.render.story import ends
from whybox.v1 import explanation_pb2

MOST_BARS = 10
MOST_CHANNELS = 12
MOST_POINTS = 600  # of a line; more cannot be told apart on a screen
TINT = 0.6  # opacity of the strongest tint under letters and lines
PICTURE_TINT = 0.7
MAX_SIDE = 1024  # pixels


def shared_style(message: explanation_pb2.Explanation) -> str:
    """The picture, once for all targets, as a rule of the style sheet."""
    if kind(message) != "picture":
        return ""
    image = Image.fromarray(pixels(message))
    image.thumbnail((MAX_SIDE, MAX_SIDE))
    shape = f"aspect-ratio:{image.width}/{image.height}"
    return f".photo{{{shape};background-image:url({_data_url(image)})}}"


def body(message: explanation_pb2.Explanation, target: int) -> str:
    """The instance in the colours of one target."""
    return BODIES[kind(message)](message, target)


def beside(message: explanation_pb2.Explanation) -> str:
    """A contrast's counterparts; nothing for other results."""
    shown = [
        f'<div><img class="alone" alt="{clean(caption)}" src="{_data_url(Image.fromarray(image))}">'
        f"<figcaption>{clean(caption)}</figcaption></div>"
        for caption, image in pictures(message)
    ]
    told = [
        f'<p class="text">{clean(text, lines=True)}</p><figcaption>{clean(caption)}</figcaption>'
        for caption, text in texts(message)
    ]
    original = '<div><div class="photo"></div><figcaption>original</figcaption></div>'
    pair = f'<div class="pair three">{original}{"".join(shown)}</div>' if shown else ""
    return f"<figure>{pair}{''.join(told)}</figure>" if shown or told else ""


def bars(message: explanation_pb2.Explanation, target: int) -> str:
    """A table of the strongest contributions, readable without its bars."""
    found = parts.ranked(message, target, MOST_BARS)
    full = parts.full_bar(found)
    return f"<table>{''.join(_row(part, full) for part in found)}</table>" if found else ""


def table(found: Grid | None) -> str:
    """A rule's conditions or a contrast's columns."""
    if found is None:
        return ""
    head = "".join(f'<th scope="col">{clean(cell)}</th>' for cell in found.header)
    rows = "".join(f"<tr>{''.join(f'<td>{clean(cell)}</td>' for cell in row)}</tr>" for row in found.rows)
    return f'<table class="grid"><tr>{head}</tr>{rows}</table>'


def clean(text: str, *, lines: bool = False) -> str:
    """Text from outside as HTML text, also between quotes."""
    return escape(printable(text, lines=lines))


def _row(part: parts.Part, full: float) -> str:
    side = ' class="n"' if part.value < 0 else ""
    width = abs(part.value) / full * 50
    bar = f'<i{side} style="--w:{width:.4g}%"></i>' if part.value else ""
    if part.error:
        reach = part.error / full * 50
        start = 50 + part.value / full * 50 - reach
        bar += f'<b style="left:{start:.4g}%;width:{2 * reach:.4g}%"></b>'
    return f'<tr><th>{clean(part.name)}</th><td class="b"><div>{bar}</div></td><td>{part.amount}</td></tr>'


def _picture(message: explanation_pb2.Explanation, target: int) -> str:
    heat = heatmap(message, target)
    shown = colors.scaled(heat, Options())
    words = clean(parts.in_words(message, target))
    over = _data_url(_transparent(shown, PICTURE_TINT))
    return (
        '<figure><div class="pair">'
        '<div><div class="photo" role="img" aria-label="The picture that is explained"></div></div>'
        '<div><div class="photo grey"></div>'
        f'<img class="over" alt="{words}" src="{over}"></div>'
        f"</div>{_scale(message, colors.limit(heat, Options()), PICTURE_TINT)}</figure>"
    )


def _text(message: explanation_pb2.Explanation, target: int) -> str:
    heat = heatmap(message, target)
    whole = Options(clip_percent_upperbound=100.0)
    shown = colors.scaled(heat, whole)
    marked = "".join(
        _word(piece, value, strength)
        for piece, value, strength in zip(
            message.subject.text.pieces, heat.tolist(), shown.tolist(), strict=True
        )
    )
    return f'<figure><p class="text">{marked}</p>{_scale(message, colors.limit(heat, whole), TINT)}</figure>'


def _word(piece: str, value: float, strength: float) -> str:
    text = clean(piece, lines=True)
    if not strength:
        return text
    side = ' class="n"' if strength < 0 else ""
    opacity = f"{TINT * abs(strength):.2g}"
    return f'<mark{side} style="--a:{opacity}" title="{header.number(value)}">{text}</mark>'


def _series(message: explanation_pb2.Explanation, target: int) -> str:
    series, heat = message.subject.series, heatmap(message, target)
    values = array(series.values)  # (time, channels)
    full = colors.limit(heat, Options())
    rows = []
    for channel in ranked_channels(heat, MOST_CHANNELS):
        name = series.channels[channel] if channel < len(series.channels) else f"channel {channel}"
        shown = colors.scaled(heat[:, channel], Options(), full)
        rows.append(_plot(clean(name), values[:, channel], _data_url(_transparent(shown[None], TINT))))
    hidden = values.shape[1] - len(rows)
    note = f"<figcaption>{hidden} channels with less influence are not shown.</figcaption>" if hidden else ""
    return f"<figure>{''.join(rows)}{_scale(message, full, TINT)}{note}</figure>"


def _plot(name: str, values: Array, ground: str) -> str:
    low, high = float(values.min()), float(values.max())
    kept = values[np.unique(np.linspace(0, len(values) - 1, MOST_POINTS).round().astype(int))]
    down = 95 - (kept - low) / ((high - low) or 1.0) * 90
    points = " ".join(f"{(i + 0.5) * 100 / len(kept):.5g},{y:.4g}" for i, y in enumerate(down.tolist()))
    words = f"{name}: {len(values)} moments between {low:.3g} and {high:.3g}"
    return (
        f'<div class="channel"><span>{name}<br><span class="muted">{low:.3g} to {high:.3g}</span></span>'
        f'<div class="plot"><img alt="" src="{ground}">'
        f'<svg role="img" aria-label="{words}" viewBox="0 0 100 100" preserveAspectRatio="none">'
        f'<polyline points="{points}"/></svg></div></div>'
    )


def _tensor(message: explanation_pb2.Explanation, target: int) -> str:
    grid = np.squeeze(heatmap(message, target))
    if grid.ndim != 2:
        return ""
    image = _data_url(_transparent(colors.scaled(grid, Options()), 1.0))
    words = clean(parts.in_words(message, target))
    scale = _scale(message, colors.limit(grid, Options()), 1.0)
    return f'<figure><img class="alone" alt="{words}" src="{image}">{scale}</figure>'


def _nothing(message: explanation_pb2.Explanation, target: int) -> str:
    return ""


BODIES: dict[str, Callable[[explanation_pb2.Explanation, int], str]] = {
    "picture": _picture,
    "text": _text,
    "series": _series,
    "tensor": _tensor,
    "table": _nothing,
    "bare": _nothing,
}


def _scale(message: explanation_pb2.Explanation, full: float, tint: float) -> str:
    """Legend of a map's colours, from -full, or from 0 if that end means nothing."""
    low, high = ends(message)
    half = "" if low else ' class="half"'
    return (
        f'<div class="scale" style="--tint:{tint}">{low} <span>{header.number(-full if low else 0)}</span>'
        f"<i{half}></i><span>{header.number(full)}</span> {high}</div>"
    )


def _transparent(shown: Array, strength: float) -> Image.Image:
    """(height, width) of [-1, 1] as poles whose opacity is strength * |shown|."""
    opacity = (255 * strength * np.abs(shown)).round().astype(np.uint8)
    image = Image.fromarray(np.dstack([colors.poles(shown), opacity]), "RGBA")
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.NEAREST)
    return image


def _data_url(image: Image.Image) -> str:
    file = BytesIO()
    image.save(file, "PNG", optimize=True)
    return f"data:image/png;base64,{b64encode(file.getvalue()).decode()}"
