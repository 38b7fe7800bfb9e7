"""One small call of every method on every bundled model whose modality it explains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import onnxruntime
from tests.e2e.serving import INPUTS, MODELS

import whybox
from whybox_server.core.spec import Modality
from whybox_server.methods import METHODS

SENTENCE = "the plot was wonderful and clever"
MODALITY = {
    "texture": Modality.IMAGE,
    "digits": Modality.IMAGE,
    "breast_cancer": Modality.TABULAR,
    "diabetes": Modality.TABULAR,
    "sentiment": Modality.TEXT,
    "events": Modality.TIME_SERIES,
}
FEW: dict[str, dict[str, Any]] = {
    "lime": {"num_samples": 150},
    "anchors": {"tau": 0.3, "batch_size": 50},
    "kernel_shap": {"num_samples": 200},
    "shapley_sampling": {"num_permutations": 3},
    "streak": {"k": 3},
    "rise": {"num_masks": 300, "centred": True},
    "cem": {"gradient": "search"},
    "meaningful_perturbation": {"iterations": 10, "directions": 5},
}
# A row of `texture` takes a thousand times as long as one of the others.
GRID = {"segmentation": {"kind": "grid", "count": 16}}
QUARTERS = {"segmentation": {"kind": "grid", "count": 4}}
OWN: dict[tuple[str, str], dict[str, Any]] = {
    ("texture", "lime"): {"num_samples": 60, **GRID},
    ("texture", "occlusion"): GRID,
    ("texture", "anchors"): QUARTERS,
    ("texture", "kernel_shap"): {"num_samples": 60, **GRID},
    ("texture", "shapley_sampling"): {"num_permutations": 1, **GRID},
    ("texture", "streak"): GRID,
    ("texture", "erasure"): GRID,
    ("texture", "rise"): {"num_masks": 80, "cells": 4},
    ("texture", "cem"): QUARTERS,
    ("texture", "prediction_difference"): {
        "patch": 56,
        "stride": 56,
        "num_samples": 2,
        "sampler": "marginal",
    },
    ("texture", "meaningful_perturbation"): {"game": "area", "area": 0.4, "mask_size": 4},
    ("breast_cancer", "lime"): {"num_samples": 1000},
    ("breast_cancer", "kernel_shap"): {"num_background": 5},
    ("breast_cancer", "prediction_difference"): {"num_samples": 20},
    ("diabetes", "kernel_shap"): {"num_background": 5},
    ("digits", "prediction_difference"): {"patch": 2},
    ("digits", "cem"): GRID,
    ("digits", "gradient_shap"): {"baselines": [{"kind": "blur"}]},
    ("digits", "kernel_shap"): {"baseline": "blur"},
    ("digits", "shapley_sampling"): {"baseline": "blur"},
    ("digits", "meaningful_perturbation"): {"iterations": 60, "mask_size": 8},
}
DECIDES_NOTHING = {("diabetes", "anchors"), ("diabetes", "cem")}
# Forests and words that are no numbers have no slope.
NO_WAY_BACK = ("breast_cancer", "diabetes", "sentiment")
NOT_INSIDE = {
    *((model, method.name) for model in NO_WAY_BACK for method in METHODS if method.probes or method.reads),
    *((model, "cam") for model in ("digits", "events")),  # no mean over maps before the last layer
    *(("digits", method) for method in ("grad_cam", "guided_grad_cam")),  # no maps at all
}
# They say what would change the score, which need not be what made it.
SLOPES = (
    "gradient",
    "saliency",
    "gradient_x_input",
    "smooth_grad",
    "deconvnet",
    "guided_backprop",
    "guided_grad_cam",
)
OF_THE_ANSWER = ("anchors", "cem")  # methods that explain what the model says and nothing else


@dataclass(frozen=True)
class Case:
    """A call that is answered in a fraction of a second."""

    model: str
    method: str

    def __str__(self) -> str:
        return f"{self.method}-{self.model}"

    @property
    def arguments(self) -> dict[str, Any]:
        """What `explain` and `plan` take."""
        found = {"model": f"models/{self.model}", "inputs": instance(self.model), "method": self.method}
        if (self.model, self.method) == ("texture", "prediction_difference"):
            found["spec"] = noise()
        if self.model == "texture" and self.method not in OF_THE_ANSWER:
            found["target"] = "brick"
        return {**found, **FEW.get(self.method, {}), **OWN.get((self.model, self.method), {})}

    def ask(self, client: whybox.Client, **changed: Any) -> whybox.Explanation:
        return client.explain(**{**self.arguments, **changed})


CASES = [
    Case(model, method.name)
    for model, modality in MODALITY.items()
    for method in METHODS
    if modality in method.modalities and (model, method.name) not in DECIDES_NOTHING | NOT_INSIDE
]


def cases(model: str) -> list[Case]:
    return [case for case in CASES if case.model == model]


@cache
def instance(model: str) -> Any:
    """The instance of the demo, whose evidence is known."""
    files = {
        "texture": lambda: INPUTS / "brick_and_grass.png",
        "digits": lambda: np.load(INPUTS / "digit.npy"),
        "breast_cancer": lambda: INPUTS / "patient.csv",
        "diabetes": lambda: INPUTS / "diabetic.csv",
        "sentiment": lambda: SENTENCE,
        "events": lambda: np.load(INPUTS / "event.npy"),
    }
    return files[model]()


@cache
def noise() -> whybox.ModelSpec:
    """Typical pictures to draw from for `texture`, which has none of its own."""
    rng = np.random.default_rng(0)
    return whybox.ModelSpec.image(background=rng.random((3, 3, 224, 224), np.float32))


@cache
def session(model: str) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession((MODELS / model / "1" / "model.onnx").read_bytes())


def probabilities(model: str, rows: np.ndarray) -> np.ndarray:
    """What the model says of rows without whybox, (n, outputs)."""
    own = session(model)
    out = own.run(None, {own.get_inputs()[0].name: rows})[-1]
    return np.array([[row[key] for key in sorted(row)] for row in out]) if isinstance(out, list) else out


def result(e: whybox.Explanation) -> bytes:
    """What was found, as bytes: equal bytes are the same answer."""
    found: bytes = getattr(e.message, e.kind).SerializeToString(deterministic=True)
    return found
