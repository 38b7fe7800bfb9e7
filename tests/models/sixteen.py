"""Sixteen segments: a score that is nearly the sum of what is shown, with a best subset that is known.

score(x) = sum_i w_i x_i - overlap x_a x_b on a 4 x 4 picture of ones: segments a and b cover the same
evidence in part. With 0 <= overlap <= min(w_a, w_b) it is monotone and submodular.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from tests.models.graph import FLOAT, f32, i64, model, node

SIDE = 4
SEGMENTS = SIDE * SIDE


@dataclass(frozen=True)
class Sixteen:
    """One such score."""

    weights: np.ndarray  # (16,)
    pair: tuple[int, int]
    overlap: float

    def value(self, shown: np.ndarray) -> np.ndarray:
        """Scores of rows of zeros and ones, (n, 16) -> (n,)."""
        first, second = self.pair
        return shown @ self.weights - self.overlap * shown[:, first] * shown[:, second]

    def best(self, k: int) -> float:
        """The largest score of k segments, by looking at all of them (1820 for k = 4)."""
        subsets = np.array(list(itertools.combinations(range(SEGMENTS), k)))
        return float(self.value((subsets[:, :, None] == np.arange(SEGMENTS)).any(axis=1).astype(float)).max())

    def onnx(self) -> bytes:
        """The score as a model of one picture (1, 4, 4)."""
        first, second = self.pair
        return model(
            [
                node("Reshape", "picture flat_shape", "flat"),
                node("MatMul", "flat weights", "sum"),
                node("Gather", "flat first", "a", axis=1),
                node("Gather", "flat second", "b", axis=1),
                node("Mul", "a b", "both"),
                node("Mul", "both overlap", "twice"),
                node("Sub", "sum twice", "score"),
            ],
            {"picture": (FLOAT, ("N", 1, SIDE, SIDE))},
            {"score": (FLOAT, ("N", 1))},
            {
                "flat_shape": i64([-1, SEGMENTS]),
                "weights": f32(self.weights)[:, None],
                "first": i64([first]),
                "second": i64([second]),
                "overlap": f32(self.overlap),
            },
        )


def sixteen(seed: int) -> Sixteen:
    """Random weights, of a random order of magnitude; the pair is the two largest, which tempts greedy."""
    rng = np.random.default_rng(seed)
    weights = rng.random(SEGMENTS) * 10 ** rng.uniform(-1, 1)
    first, second = np.argsort(-weights)[:2]
    return Sixteen(weights, (int(first), int(second)), float(rng.random() * weights[second]))
