"""Rows until LIME's coefficients are those of a 20,000-row run, ours with pairs against the library lime's."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime as ort
from tests.benchmarks.row import Row, at_most

import whybox

DEMO = Path(__file__).parents[1] / "demo"
COUNTS = (20, 30, 40, 60, 90, 120, 180, 240, 360, 480, 720, 960, 1440, 1920, 2880, 3840, 5760)
REFERENCE_ROWS = 20_000
SEEDS = 5
CORRELATION = 0.98

Coefficients = Callable[[int, int], np.ndarray]  # (rows, seed) -> (columns,)


def rows() -> list[Row]:
    """On the bundled digit, sixteen squares of 2x2 pixels, black where hidden, probability of seven."""
    if importlib.util.find_spec("lime") is None:
        return [Row("LIME: rows to a 20,000-row answer / lime's", "lime is not installed (bench extra)", "", kept=True)]
    digit = np.load(DEMO / "inputs" / "digit.npy")  # (1, 8, 8)
    squares = np.kron(np.arange(16).reshape(4, 4), np.ones((2, 2), int))
    with whybox.local(models=str(DEMO / "models")) as client:

        def ours(count: int, seed: int, *, paired: bool = True) -> np.ndarray:
            call = {"num_samples": count, "seed": seed, "target": "7", "space": "probability"}
            cut = {"segmentation": squares[None], "baseline": 0.0, "paired": paired}
            return client.explain("models/digits", digit, "lime", **call, **cut).values

        needed = {
            "pairs": first(ours),
            "no pairs": first(lambda count, seed: ours(count, seed, paired=False)),
            "lime": first(library(digit[0], squares)),
        }
    return [
        at_most("LIME with pairs: rows to a 20,000-row answer (r = .98) / lime's", needed["pairs"] / needed["lime"], 0.5),
        Row("    rows", ", ".join(f"{name} {count}" for name, count in needed.items()), "", kept=True),
    ]


def first(coefficients: Coefficients) -> int:
    """The least count whose coefficients correlate with the reference, in the mean over seeds."""
    reference = coefficients(REFERENCE_ROWS, 10**6)
    for count in COUNTS:
        found = [np.corrcoef(coefficients(count, seed), reference)[0, 1] for seed in range(SEEDS)]
        if np.mean(found) >= CORRELATION:
            return count
    return REFERENCE_ROWS


def library(digit: np.ndarray, squares: np.ndarray) -> Coefficients:
    session = ort.InferenceSession((DEMO / "models" / "digits" / "1" / "model.onnx").read_bytes())

    def predict(images: np.ndarray) -> np.ndarray:
        grey = np.asarray(images, np.float32).mean(axis=-1)[:, None]
        return np.asarray(session.run(None, {"image": grey})[0])

    def coefficients(count: int, seed: int) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from lime.lime_image import LimeImageExplainer  # noqa: PLC0415 - a bench extra

            found = LimeImageExplainer(random_state=seed, verbose=False).explain_instance(
                np.repeat(digit[..., None], 3, axis=2).astype(float),
                predict,
                labels=(7,),
                top_labels=None,
                hide_color=0,
                num_samples=count,
                segmentation_fn=lambda image: squares,
                random_seed=seed,
            )
        by_square = dict(found.local_exp[7])
        return np.array([by_square[square] for square in range(16)])

    return coefficients
