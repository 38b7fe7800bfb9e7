"""An attribution as a PNG: one sheet with header, the instance in colours, contributions and notes.

One table says what each kind of subject shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from io import BytesIO

import numpy as np
from PIL import Image

from whybox.render import parts
from whybox.render.counterparts import counterpart_strips, pictures
from whybox.render.grid import grid
from whybox.render.maps import heatmap, pixels
from whybox.render.options import Options
from whybox.render.png_bars import bars
from whybox.render.png_grid import grid_strip
from whybox.render.png_image import picture_strips, tensor_strips
from whybox.render.png_series import series_strips
from whybox.render.png_text import text_strips
from whybox.render.reading import array, kind
from whybox.render.sheet import WIDTH, header_strip, notes_strip, stacked
from whybox.render.story import ends
from whybox.v1 import explanation_pb2

Strips = list[Image.Image]


def png(message: explanation_pb2.Explanation, target: int, options: Options) -> bytes:
    """A PNG file; pictures are at least 320 pixels on their longer side."""
    strips = STRIPS[kind(message)](message, target, options)
    others = counterpart_strips(message, WIDTH, options)
    strips = [*others, *strips] if pictures(message) else [*strips, *others]
    table = grid(message)
    strips += [] if table is None else [grid_strip(table, WIDTH, options.font)]
    width = max([WIDTH, *(strip.width for strip in strips)])
    head = header_strip(message, target, width, options.font)
    notes = notes_strip(message, target, width, options.font)
    file = BytesIO()
    stacked([head, *strips, notes]).save(file, "PNG", optimize=True)
    return file.getvalue()


def _picture(message: explanation_pb2.Explanation, target: int, options: Options) -> Strips:
    if options.overlay == "auto":
        chosen = message.WhichOneof("result") in ("regions", "rule")
        outlined = replace(options, overlay="outlines", outline_percent=100.0)
        options = outlined if chosen else replace(options, overlay="blended")
    if pictures(message):  # the original is among them
        options = replace(options, side_by_side=False)
    return picture_strips(pixels(message), heatmap(message, target), options, ends(message))


def _text(message: explanation_pb2.Explanation, target: int, options: Options) -> Strips:
    pieces = list(message.subject.text.pieces)
    strips = text_strips(pieces, heatmap(message, target), WIDTH, options, ends(message))
    return [*strips, *_bars(message, target, options)]


def _series(message: explanation_pb2.Explanation, target: int, options: Options) -> Strips:
    series = message.subject.series
    heat = heatmap(message, target)
    return series_strips(array(series.values), list(series.channels), heat, WIDTH, options, ends(message))


def _tensor(message: explanation_pb2.Explanation, target: int, options: Options) -> Strips:
    heat = np.squeeze(heatmap(message, target))
    drawn = tensor_strips(heat, options, ends(message)) if heat.ndim == 2 else []
    return [*drawn, *_bars(message, target, options)]


def _bars(message: explanation_pb2.Explanation, target: int, options: Options) -> Strips:
    found = parts.ranked(message, target, options.max_bars)
    return [bars(found, WIDTH, options)] if found else []


STRIPS: dict[str, Callable[[explanation_pb2.Explanation, int, Options], Strips]] = {
    "picture": _picture,
    "text": _text,
    "series": _series,
    "tensor": _tensor,
    "table": _bars,
    "bare": _bars,
}
