"""DeepLIFT as the paper writes it, unit by unit: Shrikumar, Greenside and Kundaje 2017, section 3.5.

For nets of dense layers, each with a rectifier behind it or without. Slow, and nothing is shared with
the rules under test but the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALIKE = 1e-12  # differences below are none


@dataclass(frozen=True, eq=False)
class Dense:
    """y = x w + b, rectified or not. w: (inputs, units), b: (units,). reveals: RevealCancel, not rescale."""

    w: np.ndarray
    b: np.ndarray
    rectified: bool = True
    reveals: bool = False

    def before(self, x: np.ndarray) -> np.ndarray:
        return x @ self.w + self.b

    def of(self, x: np.ndarray) -> np.ndarray:
        return f(self.before(x)) if self.rectified else self.before(x)


def f(z):
    return np.maximum(z, 0)


def score(layers: Sequence[Dense], x: np.ndarray) -> np.ndarray:
    for layer in layers:
        x = layer.of(x)
    return x


def multipliers(layers: Sequence[Dense], x: np.ndarray, reference: np.ndarray, unit: int) -> np.ndarray:
    """m of every input, for one unit of the last layer. x, reference: (inputs,)."""
    seen = [(x, reference)]
    for layer in layers:
        seen.append(tuple(layer.of(each) for each in seen[-1]))
    m = np.eye(len(seen[-1][0]))[unit]
    for layer, (now, before) in zip(reversed(layers), reversed(seen[:-1]), strict=True):
        m = sum(m[j] * _of_inputs(layer, j, now, before) for j in range(len(m)))
    return m


def _of_inputs(layer: Dense, j: int, x: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """From one unit to each input of its layer: the linear rule (3.5.1), then the chain rule (3.2)."""
    w, z, r = layer.w[:, j], layer.before(x)[j], layer.before(reference)[j]
    if not layer.rectified:
        return w
    if not layer.reveals:
        return w * _rescale(z, r)
    parts = w * (x - reference)
    positive, negative = _reveal_cancel(r, parts[parts > 0].sum(), parts[parts < 0].sum())
    chosen = [positive if part > 0 else negative if part < 0 else (positive + negative) / 2 for part in parts]
    return w * np.array(chosen)


def _rescale(z: float, r: float) -> float:
    """Section 3.5.2; the gradient where z is its reference."""
    return (f(z) - f(r)) / (z - r) if abs(z - r) > ALIKE else float(z > 0)


def _reveal_cancel(r: float, plus: float, minus: float) -> tuple[float, float]:
    """Section 3.5.3: the average impact of each part before and after the other has been added."""
    y_plus = (f(r + plus) - f(r) + f(r + minus + plus) - f(r + minus)) / 2
    y_minus = (f(r + minus) - f(r) + f(r + plus + minus) - f(r + plus)) / 2
    slope = (float(r > 0) + float(r + plus + minus > 0)) / 2
    return (
        y_plus / plus if abs(plus) > ALIKE else slope,
        y_minus / minus if abs(minus) > ALIKE else slope,
    )
