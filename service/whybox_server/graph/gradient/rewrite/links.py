"""What the classifiers and regressors of ai.onnx.ml make of their scores: `post_transform`.

Every formula is that of onnxruntime, which this domain has become: where the specification is silent
(one score for two classes), its answers were compared for every transform.
"""

from __future__ import annotations

from math import pi, sqrt

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value

NEARLY_ZERO = 1e-7  # SOFTMAX_ZERO leaves smaller scores out
WINITZKI = 0.147  # the constant of his approximation of erf^-1, 2008


def linked(e: Emit, scores: Value, transform: str) -> Value:
    """scores: (n, k), k > 1, or k = 1 where no class is added; the same shape comes out."""
    if transform == "LOGISTIC":
        return e.Sigmoid(scores)
    if transform == "SOFTMAX":
        return e.Softmax(scores, axis=-1)
    if transform == "SOFTMAX_ZERO":
        return _softmax_zero(e, scores)
    return _probit(e, scores) if transform == "PROBIT" else scores


def alone(e: Emit, score: Value, transform: str) -> Value:
    """One score, (n, 1), of one target: onnxruntime leaves it as it is, but for PROBIT."""
    return _probit(e, score) if transform == "PROBIT" else score


def paired(e: Emit, score: Value, transform: str, *, signed: bool) -> Value:
    """One score, (n, 1), of two classes: (n, 2). signed: without a transform -s and s, else 1 - s and s."""
    if transform == "LOGISTIC":
        return e.Sigmoid(e.Concat(e.Neg(score), score, axis=-1))
    score = alone(e, score, transform)
    other = e.Neg(score) if signed and transform == "NONE" else e.Sub(1.0, score)
    return e.Concat(other, score, axis=-1)


def _softmax_zero(e: Emit, scores: Value) -> Value:
    """Scores that are zero get nothing, nor do they count."""
    counts = e.Greater(e.Abs(scores), NEARLY_ZERO)
    powers = e.Where(counts, e.Exp(e.Sub(scores, e.ReduceMax(scores, [-1], keepdims=1))), 0.0)
    return e.Div(powers, e.ReduceSum(powers, [-1], keepdims=1))


def _probit(e: Emit, p: Value) -> Value:
    """sqrt(2) erf^-1(2p - 1) by Winitzki's approximation, as onnxruntime has it."""
    x = e.Sub(e.Mul(p, 2.0), 1.0)
    log = e.Log(e.Mul(e.Sub(1.0, x), e.Add(x, 1.0)))
    v = e.Add(e.Mul(log, 0.5), 2 / (pi * WINITZKI))
    root = e.Sqrt(e.Sub(e.Mul(v, v), e.Mul(log, 1 / WINITZKI)))
    return e.Mul(e.Mul(e.Sign(x), e.Sqrt(e.Sub(root, v))), sqrt(2.0))
