"""Attributions over a picture: blended, alone, as a mask, as outlines. Pixels stay pixels when enlarged."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from whybox.render import colors
from whybox.render.colors import Array, Rgb
from whybox.render.options import Options
from whybox.render.png_bars import color_bar
from whybox.render.sheet import GAP, MUTED, PAPER, SMALL, Pen

MIN_SIDE = 320  # pixels of the longer side on paper
MAX_SIDE = 1024
CAPTION = 24
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
MOST_PARTS = 20  # outlined one by one; the contours of more would hide the photograph
DIMMED = 0.15  # brightness that "masked" leaves where nothing counts
GREY_LEVELS = (40, 235)  # a blended photograph keeps off black and white, so that colours can be seen


def picture_strips(photo: Array, heat: Array, options: Options, ends: tuple[str, str]) -> list[Image.Image]:
    """The overlay, beside the photograph if asked for, and the colour bar.

    photo: (height, width, 3) uint8. heat: (height, width), or another resolution of the same picture.
    ends: what the colour bar's two ends mean.
    """
    size = paper_size(photo.shape[0], photo.shape[1])
    over = OVERLAYS[options.overlay](enlarged(photo, size), enlarged(heat, size), options)
    panels = [(options.overlay.replace("_", " "), over)]
    if options.side_by_side and options.overlay != "original":
        panels.insert(0, ("original", enlarged(photo, size)))
    strips = [beside(panels, options)]
    if options.overlay in ("blended", "heat_map"):
        strips.append(color_bar(colors.limit(heat, options), _scale(options), options, ends))
    return strips


def tensor_strips(heat: Array, options: Options, ends: tuple[str, str]) -> list[Image.Image]:
    """A heat map alone, for an instance that is no picture; heat: (height, width)."""
    image = heat_map(np.empty(0), enlarged(heat, paper_size(*heat.shape)), options)
    return [
        beside([("attribution", image)], options),
        color_bar(colors.limit(heat, options), _scale(options), options, ends),
    ]


def paper_size(height: int, width: int) -> tuple[int, int]:
    """(height, width) on paper: a whole multiple when small, reduced when larger than a screen."""
    longer = max(height, width)
    if longer > MAX_SIDE:
        return max(height * MAX_SIDE // longer, 1), max(width * MAX_SIDE // longer, 1)
    times = -(-MIN_SIDE // longer)
    return height * times, width * times


def enlarged(pixels: Array, size: tuple[int, int]) -> Array:
    """Nearest neighbour, (*size, ...)."""
    rows = np.arange(size[0]) * pixels.shape[0] // size[0]
    columns = np.arange(size[1]) * pixels.shape[1] // size[1]
    return np.asarray(pixels[rows[:, None], columns])


def blended(photo: Array, heat: Array, options: Options) -> Array:
    """The greyscale photograph under colours whose opacity grows with |attribution|."""
    shown = colors.scaled(heat, options)
    opacity = options.alpha * np.abs(shown)[..., None]
    mixed = (1 - opacity) * greyscale(photo) + opacity * colors.poles(shown, options.color_map)
    return np.asarray(mixed.round().astype(np.uint8))


def heat_map(photo: Array, heat: Array, options: Options) -> Array:
    """Colours alone."""
    return colors.diverging(colors.scaled(heat, options), options.color_map)


def masked(photo: Array, heat: Array, options: Options) -> Array:
    """The photograph, as bright as |attribution| is large."""
    light = DIMMED + (1 - DIMMED) * np.abs(colors.scaled(heat, options))
    return np.asarray((photo * light[..., None]).round().astype(np.uint8))


def outlines(photo: Array, heat: Array, options: Options) -> Array:
    """The photograph with contours around the strongest part, in the colour of its side.

    Where there are few different values, as with chosen regions, thin lines part them.
    """
    shown = colors.scaled(heat, options)
    size = np.abs(shown)
    chosen = (size > 0) & (size >= np.percentile(size, 100 - options.outline_percent))
    drawn = photo.copy()
    for sign in (1, -1):
        side = chosen & (shown * sign > 0)
        levels = np.unique(heat[side])
        edges = _contour(side, 3)
        if len(levels) <= MOST_PARTS:
            edges = np.logical_or.reduce([edges, *(_contour(side & (heat == level), 1) for level in levels)])
        drawn[edges] = colors.poles(np.array(float(sign)), options.color_map)
    return drawn


def _contour(inside: Array, wide: int) -> Array:
    """A band `wide` pixels wide just inside the border of a region, (height, width) bool."""
    core = np.pad(inside, wide)
    for axis in (0, 1):
        core = np.logical_and.reduce([np.roll(core, step, axis) for step in range(-wide, wide + 1)])
    return np.asarray(inside & ~core[wide:-wide, wide:-wide])


def original(photo: Array, heat: Array, options: Options) -> Array:
    """The photograph."""
    return photo


OVERLAYS: dict[str, Callable[[Array, Array, Options], Array]] = {
    "blended": blended,
    "heat_map": heat_map,
    "masked": masked,
    "outlines": outlines,
    "original": original,
}


def greyscale(photo: Array) -> Array:
    """(height, width, 3) float in `GREY_LEVELS`."""
    low, high = GREY_LEVELS
    light = (photo @ np.array(LUMA)) / 255
    return np.repeat((low + (high - low) * light)[..., None], 3, axis=-1)


def _scale(options: Options) -> Callable[[float], Rgb]:
    """Colour of a share of the scale, on white where the picture itself shows through."""

    def color(share: float) -> Rgb:
        if options.overlay == "blended":
            return colors.tinted(share, PAPER, options.alpha, options.color_map)
        red, green, blue = colors.diverging(np.array(share), options.color_map).tolist()
        return red, green, blue

    return color


def beside(panels: list[tuple[str, Array]], options: Options) -> Image.Image:
    """Pictures beside each other, or below each other when they are wide, each with its caption."""
    height, width = panels[0][1].shape[:2]
    beside = width <= height * 2
    across, down = (width + GAP, 0) if beside else (0, height + CAPTION + GAP)
    last = len(panels) - 1
    pen = Pen((across * last + width, down * last + height + CAPTION), options.font)
    for number, (caption, pixels) in enumerate(panels):
        left, top = across * number, down * number
        pen.write((left, top + CAPTION / 2 - 2), caption, SMALL, MUTED)
        pen.image.paste(Image.fromarray(pixels), (left, top + CAPTION))
    return pen.image
