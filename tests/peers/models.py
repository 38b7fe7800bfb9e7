"""Small graphs that differ in what a server must say about them, and onnxruntime's own answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort
from onnx import TensorProto
from tests.models.graph import f32, i64, model, node

FLOAT, HALF, INT64, STRING = TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.INT64, TensorProto.STRING
WORDS = ("bad", "good", "fine")
CLASSES = ("ant", "bee", "cat")
ROWS = 7


@dataclass(frozen=True)
class Served:
    """A model and rows for it, (n, *shape) by input. batch: whether it takes them as they are."""

    graph: bytes
    rows: Mapping[str, np.ndarray]
    batch: int | None = None  # rows that a call must have; 0: no axis of rows; None: any number

    def answers(self, output: str = "scores") -> np.ndarray:
        """(n, outputs), by onnxruntime in this process."""
        session = ort.InferenceSession(self.graph, providers=["CPUExecutionProvider"])
        count = len(next(iter(self.rows.values())))
        if self.batch is None:
            return session.run([output], dict(self.rows))[0]
        parts = []
        for at in range(count):
            row = {name: array[at] for name, array in self.rows.items()}
            feed = {name: np.stack([one] * self.batch) if self.batch else one for name, one in row.items()}
            answer = session.run([output], feed)[0]
            parts.append(answer[0] if self.batch else answer)
        return np.stack(parts)


def net() -> Served:
    """(n, 5) -> a label (n,) and scores (n, 3), the label first, as converters write it."""
    nodes = [
        node("Gemm", "x w1 b1", "a"),
        node("Relu", "a", "h"),
        node("Gemm", "h w2 b2", "z"),
        node("Softmax", "z", "scores", axis=1),
        node("ArgMax", "scores", "label", axis=1, keepdims=0),
    ]
    outputs = {"label": (INT64, ["n"]), "scores": (FLOAT, ["n", 3])}
    graph = model(nodes, {"x": (FLOAT, ["n", 5])}, outputs, weights())
    return Served(graph, {"x": numbers(5)})


def halves() -> Served:
    """float16: (n, 5) and (n, 5) -> (n, 5)."""
    nodes = [node("Mul", "x y", "p"), node("Add", "p x", "scores")]
    inputs = {"x": (HALF, ["n", 5]), "y": (HALF, ["n", 5])}
    graph = model(nodes, inputs, {"scores": (HALF, ["n", 5])}, {})
    return Served(graph, {"x": numbers(5).astype(np.float16), "y": numbers(5, seed=1).astype(np.float16)})


def words() -> Served:
    """Texts, (n, 1) -> (n, 1): the place of a known word, -1 for others, as real numbers."""
    encoder = {"keys_strings": list(WORDS), "values_floats": [0.0, 1.0, 2.0], "default_float": -1.0}
    nodes = [node("LabelEncoder", "text", "scores", domain="ai.onnx.ml", **encoder)]
    graph = model(
        nodes, {"text": (STRING, ["n", 1])}, {"scores": (FLOAT, ["n", 1])}, {}, domains={"ai.onnx.ml": 2}
    )
    texts = np.array([["good"], ["bad"], [""], ["größer 好"], ["fine"], ["GOOD"], ["good"]], object)
    return Served(graph, {"text": texts})


def alone() -> Served:
    """(5,) -> (3,): no axis counts rows."""
    nodes = [node("MatMul", "x w", "scores")]
    graph = model(nodes, {"x": (FLOAT, [5])}, {"scores": (FLOAT, [3])}, {"w": weights()["w1"][:, :3]})
    return Served(graph, {"x": numbers(5)}, batch=0)


def pairs() -> Served:
    """(2, 5) -> (2, 3): always two rows."""
    nodes = [node("MatMul", "x w", "scores")]
    graph = model(nodes, {"x": (FLOAT, [2, 5])}, {"scores": (FLOAT, [2, 3])}, {"w": weights()["w1"][:, :3]})
    return Served(graph, {"x": numbers(5)}, batch=2)


def shapeless() -> Served:
    """A last axis of any length: (n, k) -> (n, 1)."""
    nodes = [node("ReduceSum", "x axes", "scores", keepdims=1)]
    graph = model(nodes, {"x": (FLOAT, ["n", "k"])}, {"scores": (FLOAT, ["n", 1])}, {"axes": i64([1])})
    return Served(graph, {"x": numbers(6)})


def numbers(width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(ROWS, width)).astype(np.float32)


def weights() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    sizes = {"w1": (5, 8), "b1": (8,), "w2": (8, 3), "b2": (3,)}
    return {name: f32(rng.normal(size=size)) for name, size in sizes.items()}


MODELS = {
    "net": net(),
    "halves": halves(),
    "words": words(),
    "alone": alone(),
    "pairs": pairs(),
    "shapeless": shapeless(),
}
