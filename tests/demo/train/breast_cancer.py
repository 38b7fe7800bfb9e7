"""Trains `breast_cancer`: a random forest on scikit-learn's table, exported as skl2onnx does by default.

    pip install onnx onnxruntime scikit-learn skl2onnx
    python -m tests.demo.train.breast_cancer    # from the root of the repository, seconds

The default export is kept on purpose, ZipMap and label output included: it is what people have.
The patient of the demo is a malignant case of the held-out quarter, the background a sample of the rest.
"""

from __future__ import annotations

import csv

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from tests.demo.train import common

TREES = 100
BACKGROUND_ROWS = 100
MALIGNANT = 0  # scikit-learn's order: malignant, benign


def split() -> list[np.ndarray]:
    """Training rows, held-out rows, and the classes of both: float32 (n, 30), (m, 30), int64 (n,), (m,)."""
    rows, classes = load_breast_cancer(return_X_y=True)
    return train_test_split(rows.astype(np.float32), classes, random_state=0, stratify=classes)


def train(rows: np.ndarray, classes: np.ndarray) -> bytes:
    forest = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=0).fit(rows, classes)
    return to_onnx(forest, rows[:1], target_opset=17).SerializeToString()


def write_patient(rows: np.ndarray, malignant: np.ndarray) -> None:
    """The held-out malignant case of which the forest is surest, as a table of one row with a header."""
    with (common.INPUTS / "patient.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(load_breast_cancer().feature_names)
        table.writerow(str(value) for value in rows[malignant.argmax()])


def main() -> None:
    train_rows, test_rows, train_classes, test_classes = split()
    data = train(train_rows, train_classes)
    label, maps = onnxruntime.InferenceSession(data).run(None, {"X": test_rows})
    path = common.save("breast_cancer", data)
    rng = np.random.default_rng(0)
    common.save_background(
        "breast_cancer", train_rows[rng.choice(len(train_rows), BACKGROUND_ROWS, replace=False)]
    )
    write_patient(test_rows, np.array([of_row[MALIGNANT] for of_row in maps]))
    common.report("breast_cancer", path, accuracy=float((label == test_classes).mean()))


if __name__ == "__main__":
    main()
