"""What the classifiers and regressors of ai.onnx.ml make of their scores: `post_transform`.

Every formula is that of onnxruntime, which this domain has become: where the specification is silent
(one score for two classes), its answers were compared for every transform. PROBIT is left out: with two
classes onnxruntime 1.31 mixes up rows, and no converter writes it.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node

TRANSFORMS = frozenset({"LOGISTIC", "NONE", "SOFTMAX", "SOFTMAX_ZERO"})
NEARLY_ZERO = 1e-7  # SOFTMAX_ZERO leaves smaller scores out


def transform_of(node: Node) -> str:
    """Its name; empty for one that is not known."""
    name = node.attr("post_transform", "NONE")
    return name if name in TRANSFORMS else ""


def linked(e: Emit, scores: Value, transform: str) -> Value:
    """scores: (n, k), k > 1; the same shape comes out."""
    if transform == "LOGISTIC":
        return e.Sigmoid(scores)
    if transform == "SOFTMAX":
        return e.Softmax(scores, axis=-1)
    return _softmax_zero(e, scores) if transform == "SOFTMAX_ZERO" else scores


def paired(e: Emit, score: Value, transform: str, *, signed: bool) -> Value:
    """One score, (n, 1), of two classes: (n, 2). signed: without a transform -s and s, else 1 - s and s."""
    if transform == "LOGISTIC":
        return e.Sigmoid(e.Concat(e.Neg(score), score, axis=-1))
    other = e.Neg(score) if signed and transform == "NONE" else e.Sub(1.0, score)
    return e.Concat(other, score, axis=-1)


def _softmax_zero(e: Emit, scores: Value) -> Value:
    """Scores that are zero get nothing, nor do they count."""
    counts = e.Greater(e.Abs(scores), NEARLY_ZERO)
    powers = e.Where(counts, e.Exp(e.Sub(scores, e.ReduceMax(scores, [-1], keepdims=1))), 0.0)
    return e.Div(powers, e.ReduceSum(powers, [-1], keepdims=1))
