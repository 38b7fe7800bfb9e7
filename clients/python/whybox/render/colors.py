"""From attributions to colours: one symmetric scale, zero neutral, warm supports and cool is against.

Never red and green: about one man in twelve cannot tell them apart. Poles are those of ColorBrewer's
RdBu and PuOr (Harrower & Brewer 2003).
"""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from whybox.render.options import Options

Array: TypeAlias = NDArray[Any]
Rgb: TypeAlias = tuple[int, int, int]

NEUTRAL: Rgb = (247, 247, 247)

# Against (strong, weak), then for (weak, strong); NEUTRAL lies between.
MAPS: dict[str, tuple[Rgb, Rgb, Rgb, Rgb]] = {
    "red_blue": ((5, 113, 176), (146, 197, 222), (244, 165, 130), (202, 0, 32)),
    "orange_purple": ((94, 60, 153), (178, 171, 210), (253, 184, 99), (230, 97, 1)),
}
STOPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def limit(values: Array, options: Options) -> float:
    """The |attribution| that gets the full colour: a percentile, so that one outlier hides nothing.

    At least the largest value when the percentile is 0 (a map that is nearly everywhere zero).
    """
    size = np.abs(values)
    if not size.size:
        return 0.0
    clipped = float(np.percentile(size, options.clip_percent_upperbound))
    return clipped if clipped > 0 else float(size.max())


def scaled(values: Array, options: Options, full: float | None = None) -> Array:
    """Attributions as [-1, 1] of the full colour, same shape; 0 where `options` hide them."""
    full = limit(values, options) if full is None else full
    if full <= 0:
        return np.zeros(values.shape)
    shown = np.clip(values / full, -1, 1)
    if options.polarity != "both":
        sign = 1 if options.polarity == "positive" else -1
        shown = np.where(shown * sign > 0, shown, 0.0)
    if options.clip_percent_lowerbound > 0:
        low = np.percentile(np.abs(values), options.clip_percent_lowerbound)
        shown = np.where(np.abs(values) >= low, shown, 0.0)
    return np.asarray(shown)


def diverging(shown: Array, color_map: str = "red_blue") -> Array:
    """Opaque colours, (*shape, 3) uint8, of values in [-1, 1]."""
    cool, pale_cool, pale_warm, warm = MAPS[color_map]
    stops = np.array([cool, pale_cool, NEUTRAL, pale_warm, warm], dtype=float)  # (5, 3)
    channels = [np.interp(shown, STOPS, stops[:, channel]) for channel in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def poles(shown: Array, color_map: str = "red_blue") -> Array:
    """The strongest colour of each value's side, (*shape, 3) uint8; opacity is left to the caller."""
    cool, _, _, warm = MAPS[color_map]
    side = np.asarray(shown)[..., None] >= 0
    return np.where(side, np.array(warm), np.array(cool)).astype(np.uint8)


def tinted(shown: float, paper: Rgb, strength: float, color_map: str = "red_blue") -> Rgb:
    """Paper under a pole's colour whose opacity is strength * |shown|."""
    pole = poles(np.array(shown), color_map).astype(float)
    opacity = strength * abs(shown)
    mixed = (np.array(paper) * (1 - opacity) + pole * opacity).round().astype(int)
    return int(mixed[0]), int(mixed[1]), int(mixed[2])
