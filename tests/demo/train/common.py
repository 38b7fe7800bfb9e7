"""Where the demo models live, and how a training script writes and checks one.

It knows files and onnxruntime; it knows no data set and no network.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime

DEMO = Path(__file__).resolve().parents[1]
INPUTS = DEMO / "inputs"
SIZE_CAP_BYTES = 500_000


def save(name: str, data: bytes) -> Path:
    """Writes `data` as version 1 of the demo model `name`; ValueError if it is too big to be committed."""
    if len(data) >= SIZE_CAP_BYTES:
        message = f"model {name} has {len(data)} bytes; the cap is {SIZE_CAP_BYTES}: make it smaller"
        raise ValueError(message)
    path = DEMO / "models" / name / "1" / "model.onnx"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def save_background(name: str, rows: np.ndarray) -> None:
    """Writes typical rows where the `whybox.yaml` of the demo model `name` expects them."""
    np.savez_compressed(DEMO / "models" / name / "background.npz", background=rows.astype(np.float32))


def scores(data: bytes, rows: np.ndarray) -> np.ndarray:
    """First output of a model with one input, (n, classes), as onnxruntime computes it."""
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: rows})[0]


def accuracy(data: bytes, rows: np.ndarray, classes: np.ndarray) -> float:
    """Share of rows whose largest probability is that of their class."""
    return float((scores(data, rows).argmax(axis=1) == classes).mean())


def report(name: str, path: Path, **figures: float) -> None:
    """One line for the person who retrains: size and figures of merit."""
    numbers = ", ".join(f"{key} {value:.4f}" for key, value in figures.items())
    print(f"{name}: {path.stat().st_size / 1000:.1f} kB, {numbers}")  # noqa: T201 (a script's only output)
