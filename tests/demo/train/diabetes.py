"""Trains `diabetes`: a gradient-boosted regressor, so that the demo has a value and not only classes.

    pip install onnx onnxruntime scikit-learn skl2onnx
    python -m tests.demo.train.diabetes         # from the root of the repository, seconds

The table is scikit-learn's, in its raw units; the value is the progression of the disease within a year.
"""

from __future__ import annotations

import csv

import numpy as np
from skl2onnx import to_onnx
from sklearn.datasets import load_diabetes
from sklearn.ensemble import GradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import train_test_split
from tests.demo.train import common

TREES = 100
BACKGROUND_ROWS = 100


def main() -> None:
    rows, values = load_diabetes(return_X_y=True, scaled=False)
    train_rows, test_rows, train_values, test_values = train_test_split(
        rows.astype(np.float32), values, random_state=0
    )
    trees = GradientBoostingRegressor(
        n_estimators=TREES, max_depth=2, learning_rate=0.05, subsample=0.7, random_state=0
    ).fit(train_rows, train_values)
    data = to_onnx(trees, train_rows[:1], target_opset=17).SerializeToString()
    path = common.save("diabetes", data)
    rng = np.random.default_rng(0)
    common.save_background(
        "diabetes", train_rows[rng.choice(len(train_rows), BACKGROUND_ROWS, replace=False)]
    )
    predicted = common.scores(data, test_rows)[:, 0]
    with (common.INPUTS / "diabetic.csv").open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(load_diabetes().feature_names)
        table.writerow(str(value) for value in test_rows[predicted.argmax()])
    common.report("diabetes", path, r2=r2_score(test_values, predicted))


if __name__ == "__main__":
    main()
