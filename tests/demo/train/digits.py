"""Trains `digits`: 0 to 9, on the 8x8 pictures that ship inside scikit-learn.

    pip install onnx onnxruntime scikit-learn
    python -m tests.demo.train.digits           # from the root of the repository, seconds

A perceptron with one hidden layer. Pixels keep their own scale, 0 to 16, so that the specification
has a range to state. The digit of the demo is a held-out seven.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier
from tests.demo.train import common
from tests.models.graph import FLOAT, f32, model, node

SIDE = 8
HIDDEN = 48
WHITE = 16.0  # the largest value a pixel has
SHOWN = 7
BACKGROUND_ROWS = 200


def split() -> list[np.ndarray]:
    """Training rows, held-out rows, and the classes of both: float32 (n, 64) and int64 (n,)."""
    rows, classes = load_digits(return_X_y=True)
    return train_test_split(rows.astype(np.float32), classes, random_state=0, stratify=classes)


def to_onnx(net: MLPClassifier) -> bytes:
    """(N, 1, 8, 8) pictures to probabilities; the scale of the pixels is part of the first layer."""
    weights = {"shape": np.array([0, SIDE * SIDE], np.int64)}
    for i, (weight, bias) in enumerate(zip(net.coefs_, net.intercepts_, strict=True)):
        weights[f"w{i}"], weights[f"b{i}"] = f32(weight / WHITE if i == 0 else weight), f32(bias)
    nodes = [
        node("Reshape", "image shape", "flat"),
        node("Gemm", "flat w0 b0", "hidden"),
        node("Relu", "hidden", "active"),
        node("Gemm", "active w1 b1", "logits"),
        node("Softmax", "logits", "probabilities", axis=1),
    ]
    return model(
        nodes,
        {"image": (FLOAT, ("N", 1, SIDE, SIDE))},
        {"probabilities": (FLOAT, ("N", len(net.classes_)))},
        weights,
    )


def main() -> None:
    train_rows, test_rows, train_classes, test_classes = split()
    net = MLPClassifier((HIDDEN,), alpha=1.0, max_iter=400, random_state=0)
    data = to_onnx(net.fit(train_rows / WHITE, train_classes))
    pictures = test_rows.reshape(-1, 1, SIDE, SIDE)
    common.report("digits", common.save("digits", data), accuracy=common.accuracy(data, pictures, test_classes))
    common.save_background("digits", train_rows[:BACKGROUND_ROWS].reshape(-1, 1, SIDE, SIDE))
    surest = common.scores(data, pictures)[:, SHOWN] * (test_classes == SHOWN)
    np.save(common.INPUTS / "digit.npy", pictures[surest.argmax()])


if __name__ == "__main__":
    main()
