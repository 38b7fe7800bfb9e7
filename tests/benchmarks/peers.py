"""The same questions asked by the libraries people use today, on the same model in the same run."""

from __future__ import annotations

import importlib.util
import time
import warnings

import numpy as np
import onnxruntime as ort
from tests.benchmarks import nets
from tests.benchmarks.raw import Setting
from tests.benchmarks.row import Row
from tests.benchmarks.speed import picture, raw_small


def peers() -> list[Row]:
    raw = raw_small()
    best = raw.best(256)["default threads"]
    rows = []
    for name, module, measure, count in (
        ("lime 0.2, LIME 1000 rows", "lime", lime_image, 1000),
        ("captum, occlusion 626 rows, default", "captum", lambda s: captum_occlusion(s, 1), 626),
        ("captum, occlusion 626 rows, 32 per call", "captum", lambda s: captum_occlusion(s, 32), 626),
    ):
        if importlib.util.find_spec(module) is None:
            rows.append(Row(f"{name}: wall / raw", "not installed (bench extra)", "", kept=True))
            continue
        session = ort.InferenceSession(nets.small_cnn(), providers=["CPUExecutionProvider"])
        seconds = raw.seconds(count, Setting(best.calls, best.threads, best.batch))
        rows.append(Row(f"{name}: wall / raw", f"{measure(session) / seconds:.2f}", "", kept=True))
    return rows


def lime_image(session: ort.InferenceSession) -> float:
    """LimeImageExplainer as it comes, segmentation included."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lime.lime_image import LimeImageExplainer  # noqa: PLC0415 - a bench extra

        def predict(images: np.ndarray) -> np.ndarray:
            feed = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
            return np.asarray(session.run(None, {"image": feed})[0])

        started = time.perf_counter()
        LimeImageExplainer(random_state=0).explain_instance(
            picture().transpose(1, 2, 0).astype(np.double), predict, num_samples=1000, hide_color=0.5
        )
        return time.perf_counter() - started


def captum_occlusion(session: ort.InferenceSession, per_call: int) -> float:
    """Occlusion over the same session; windows of 32 at stride 8."""
    import torch  # noqa: PLC0415 - a bench extra
    from captum.attr import Occlusion  # noqa: PLC0415

    def forward(images: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {"image": images.numpy()})[0])

    started = time.perf_counter()
    Occlusion(forward).attribute(
        torch.from_numpy(picture()[None]),
        sliding_window_shapes=(3, 32, 32),
        strides=(3, 8, 8),
        target=0,
        perturbations_per_eval=per_call,
    )
    return time.perf_counter() - started
