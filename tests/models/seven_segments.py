"""The digits of a seven-segment display and a model that knows them by their nearest template.

logits(x) = 2 T x - |t|, so that a digit's logit is how many of the seven lamps agree with it, up to a
constant. Lamps are numbered a (top), b, c, d, e, f clockwise from there, and g (middle).
"""

from __future__ import annotations

import numpy as np
from tests.models.graph import FLOAT, f32, model, node

LAMPS = "abcdefg"
LIT = ("abcdef", "bc", "abged", "abgcd", "fgbc", "afgcd", "afgecd", "abc", "abcdefg", "abcdfg")
TEMPLATES = np.array([[lamp in lit for lamp in LAMPS] for lit in LIT], dtype=np.float32)  # (10, 7)
WEIGHTS, BIAS = 2 * TEMPLATES.T, -TEMPLATES.sum(axis=1)


def logits(lamps: np.ndarray) -> np.ndarray:
    """(n, 7) -> (n, 10)."""
    return lamps @ WEIGHTS + BIAS


def onnx() -> bytes:
    """The same as probabilities, (n, 7) -> (n, 10)."""
    return model(
        [
            node("Gemm", "lamps weights bias", "logits"),
            node("Softmax", "logits", "probabilities", axis=1),
        ],
        {"lamps": (FLOAT, ["n", 7])},
        {"probabilities": (FLOAT, ["n", 10])},
        {"weights": f32(WEIGHTS), "bias": f32(BIAS)},
    )
