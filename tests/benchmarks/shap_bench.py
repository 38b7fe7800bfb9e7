"""KernelSHAP against shap's KernelExplainer on a forest: error at equal rows, and wall time.

The truth is shap's TreeExplainer over the same background rows, which is exact for a forest.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime as ort
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import seeds

import whybox

COALITIONS = 2 * 30 + 2048  # shap's default, and ours
BACKGROUND_ROWS = 100
INSTANCES = (0, 3, 420, 450, 500)
SEEDS = 3  # per instance


@dataclass(frozen=True)
class Forest:
    """100 trees on 30 columns of the breast cancer data."""

    forest: RandomForestClassifier
    model: bytes
    instances: np.ndarray  # (5, 30)
    background: np.ndarray  # (100, 30)

    def truth(self) -> np.ndarray:
        """Exact values of the second class's probability, (5, 30)."""
        import shap  # noqa: PLC0415 - a bench extra

        explainer = shap.TreeExplainer(self.forest, self.background, feature_perturbation="interventional")
        return np.asarray(explainer.shap_values(self.instances, check_additivity=False))[..., 1]


@cache
def forest() -> Forest:
    rows, labels = load_breast_cancer(return_X_y=True)
    rows = rows.astype(np.float32)
    trees = RandomForestClassifier(100, random_state=0).fit(rows[:400], labels[:400])
    model = to_onnx(trees, rows[:1], options={"zipmap": False}).SerializeToString()
    chosen = np.random.default_rng(0).choice(400, BACKGROUND_ROWS, replace=False)
    return Forest(trees, model, rows[list(INSTANCES)], rows[chosen])


def rows() -> list[Row]:
    if importlib.util.find_spec("shap") is None:
        return [Row("KernelSHAP against shap", "shap is not installed (bench extra)", "", kept=True)]
    one, truth = forest(), forest().truth()
    with whybox.local() as client, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the peer's own
        like_shap, spread, thrifty = (
            measured(lambda instance, seed, way=way: our_values(client, instance, seed, way), truth)
            for way in (Way(COALITIONS, BACKGROUND_ROWS), Way(7000, 30), Way(5000, 20))
        )
        theirs = measured(lambda instance, seed: shap_values(one.forest.predict_proba, instance, seed), truth)
        over_onnx = measured(lambda instance, seed: shap_values(onnx_predict(), instance, seed), truth)
    rows_asked = COALITIONS * BACKGROUND_ROWS
    return [
        at_most(
            f"KernelSHAP, 30-feature forest, {rows_asked} rows: error / shap's",
            like_shap.error / theirs.error,
            1,
        ),
        ratio("    wall / shap's over the same onnxruntime", like_shap, over_onnx),
        ratio("    wall / shap's over scikit-learn's own predict_proba", like_shap, theirs),
        at_most("    7000 coalitions x 30 rows each: error / shap's", spread.error / theirs.error, 1),
        at_most("    half the rows, 5000 x 20: error / shap's", thrifty.error / theirs.error, 1),
        at_most("    wall / shap's over the same onnxruntime", thrifty.seconds / over_onnx.seconds, 0.5),
        ratio("    wall / shap's over scikit-learn's own predict_proba", thrifty, theirs),
        Row(
            "    seconds: all rows, half, shap over onnxruntime, over scikit-learn",
            seconds(like_shap, thrifty, over_onnx, theirs),
            "",
            kept=True,
        ),
    ]


def ratio(what: str, ours: Measured, theirs: Measured) -> Row:
    return Row(what, f"{ours.seconds / theirs.seconds:.2f}", "", kept=True)


def seconds(*measurements: Measured) -> str:
    return ", ".join(f"{one.seconds:.2f}" for one in measurements)


@dataclass(frozen=True)
class Way:
    """How rows are spent."""

    coalitions: int
    background_rows: int


@cache
def onnx_predict() -> Callable[[np.ndarray], np.ndarray]:
    """The same forest over onnxruntime, as it comes."""
    session = ort.InferenceSession(forest().model)
    name = session.get_inputs()[0].name
    return lambda asked: np.asarray(session.run(None, {name: asked.astype(np.float32)})[1])


@dataclass(frozen=True)
class Measured:
    error: float  # root mean square against the truth
    seconds: float  # median of a call


def measured(values: Callable[[np.ndarray, int], np.ndarray], truth: np.ndarray) -> Measured:
    values(forest().instances[0], 10**6)  # warm
    errors, seconds = [], []
    for instance, exact in zip(forest().instances, truth, strict=True):
        for _ in range(SEEDS):
            seed = next(seeds)
            started = time.perf_counter()
            found = values(instance, seed)
            seconds.append(time.perf_counter() - started)
            errors.append(np.mean((found - exact) ** 2))
    return Measured(float(np.sqrt(np.mean(errors))), statistics.median(seconds))


def our_values(client: whybox.Client, instance: np.ndarray, seed: int, way: Way) -> np.ndarray:
    spec = whybox.ModelSpec.tabular(background=forest().background)
    e = client.explain(
        forest().model,
        instance,
        "kernel_shap",
        target=1,
        space="probability",
        seed=seed,
        spec=spec,
        num_samples=way.coalitions,
        num_background=way.background_rows,
    )
    asked = 1 + BACKGROUND_ROWS + (way.coalitions - 2) * way.background_rows
    assert e.usage.rows_asked == asked, e.usage
    return np.asarray(e.values).reshape(-1)


def shap_values(predict: Callable[[np.ndarray], np.ndarray], instance: np.ndarray, seed: int) -> np.ndarray:
    import shap  # noqa: PLC0415 - a bench extra

    np.random.seed(seed)  # noqa: NPY002 - shap draws from the global state
    explainer = shap.KernelExplainer(lambda asked: predict(asked)[:, 1], forest().background)
    # All features: by default only the ten that a LASSO picks would be told.
    return np.asarray(explainer.shap_values(instance, nsamples=COALITIONS, l1_reg=False, silent=True))
