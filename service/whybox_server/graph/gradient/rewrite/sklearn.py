"""Operators of ai.onnx.ml, which skl2onnx writes: linear models and what prepares their inputs.

They take numbers of any type and answer in float32, as here. What is constant between thresholds (trees,
encoders, Binarizer) stays, and is named if a gradient has to pass it.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto, TensorProto

from whybox_server.core.rows import Array
from whybox_server.graph.classifiers import ML_DOMAIN, labels_of
from whybox_server.graph.gradient.emit import PREFIX, Emit
from whybox_server.graph.gradient.facts import FLOATING, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.links import linked, paired, transform_of
from whybox_server.graph.gradient.rewrite.table import rewrites


def single(e: Emit, node: Node, place: int = 0) -> tuple[Emit, Value]:
    """An emitter of float32, and an input in that type."""
    x, f = node.inputs[place], Emit(e.builder, TensorProto.FLOAT)
    return f, x if e.facts.kinds[x] == TensorProto.FLOAT else f.Cast(x, to=TensorProto.FLOAT)


def numbers(node: Node, name: str) -> Array:
    """An attribute of many floats; empty if there is none."""
    return np.array(node.attr(name, ()), np.float32)


def labelled(e: Emit, node: Node, scores: Value) -> list[Value]:
    """The node itself still says the label; its own scores go nowhere."""
    said = NodeProto()
    said.CopyFrom(node.proto)
    said.output[:] = [e.builder.fresh("label"), e.builder.fresh("scores")]
    e.builder.graph.node.append(said)
    return [said.output[0], scores]


def only_labels(node: Node) -> bool:
    """True for a node that `labelled` left."""
    return node.outputs[1].startswith(PREFIX)


@rewrites(ML_DOMAIN, "LinearClassifier")
def linear_classifier(e: Emit, node: Node) -> list[Value] | None:
    transform = transform_of(node)
    if only_labels(node) or e.rank(node.input) != 2 or not transform:
        return None
    f, x = single(e, node)
    scores, targets = _linear(f, node, x)
    two = targets == 1 and len(labels_of(node.proto)) == 2
    link = paired(f, scores, transform, signed=False) if two else linked(f, scores, transform)
    return labelled(e, node, link)


@rewrites(ML_DOMAIN, "LinearRegressor")
def linear_regressor(e: Emit, node: Node) -> list[Value] | None:
    transform = transform_of(node)
    if e.rank(node.input) != 2 or not transform:
        return None
    f, x = single(e, node)
    scores, targets = _linear(f, node, x, node.attr("targets", 1))
    return [linked(f, scores, transform) if targets > 1 else scores]  # one score stays what it is


def _linear(f: Emit, node: Node, x: Value, targets: int = 0) -> tuple[Value, int]:
    """Scores, (n, targets), and how many."""
    offsets = numbers(node, "intercepts")
    targets = targets or len(offsets) or len(labels_of(node.proto))
    weights = numbers(node, "coefficients").reshape(targets, -1)
    return f.Gemm(x, weights, offsets if len(offsets) else None, transB=1), targets


@rewrites(ML_DOMAIN, "Scaler")
def scaler(e: Emit, node: Node) -> list[Value]:
    f, x = single(e, node)
    return [f.Mul(f.Sub(x, numbers(node, "offset")), numbers(node, "scale"))]


@rewrites(ML_DOMAIN, "Normalizer")
def normalizer(e: Emit, node: Node) -> list[Value]:
    """X over its norm; a row whose norm is 0 stays. MAX is the largest value, not the largest size."""
    f, x = single(e, node)
    norm = node.attr("norm", "MAX")
    size = f.ReduceMax(x, [-1], keepdims=1) if norm == "MAX" else f.ReduceSum(_sizes(f, x, norm), [-1])
    divisor = f.Where(f.Equal(size, 0.0), 1.0, size)
    return [f.Div(x, f.Sqrt(divisor) if norm == "L2" else divisor)]


def _sizes(f: Emit, x: Value, norm: str) -> Value:
    return f.Mul(x, x) if norm == "L2" else f.Abs(x)


@rewrites(ML_DOMAIN, "Imputer")
def imputer(e: Emit, node: Node) -> list[Value] | None:
    """What is missing is a constant; the rest is passed on."""
    filling, mark = numbers(node, "imputed_value_floats"), node.attr("replaced_value_float", 0.0)
    if not len(filling) or e.facts.kinds[node.input] not in FLOATING:
        return None
    f, x = single(e, node)
    return [f.Where(f.IsNaN(x) if np.isnan(mark) else f.Equal(x, float(mark)), filling, x)]


@rewrites(ML_DOMAIN, "FeatureVectorizer")
def feature_vectorizer(e: Emit, node: Node) -> list[Value] | None:
    """Columns side by side."""
    widths = node.attr("inputdimensions", ())
    lengths = [e.shape(name)[-1] for name in node.inputs]
    if any(e.rank(name) != 2 for name in node.inputs) or list(widths) != lengths:
        return None
    f, parts = single(e, node)[0], [single(e, node, place)[1] for place in range(len(node.inputs))]
    return [f.Concat(*parts, axis=-1)]


@rewrites(ML_DOMAIN, "ArrayFeatureExtractor")
def array_feature_extractor(e: Emit, node: Node) -> list[Value] | None:
    """Picks columns; at least a matrix comes out."""
    x, columns = node.inputs
    if e.facts.kinds[x] not in FLOATING:
        return None
    picked = e.Gather(x, e.Reshape(columns, [-1]), axis=-1)
    return [e.Unsqueeze(picked, [0]) if e.rank(x) == 1 else picked]


@rewrites("com.microsoft", "CDist")
def distances(e: Emit, node: Node) -> list[Value] | None:
    """Of every row of one matrix to every row of another, (n, m)."""
    a, b = node.inputs
    metric = node.attr("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        return None
    centre = e.ReduceMean(b, [0], keepdims=1)  # distances stay, and the squares that are subtracted get small
    squares = e.Relu(squared_distances(e, e.Sub(a, centre), e.Sub(b, centre)))
    return [squares if metric == "sqeuclidean" else _root(e, squares)]


def squared_distances(e: Emit, a: Value, b: Value | Array) -> Value:
    """|a|^2 - 2 a b + |b|^2: (n, f), (m, f) -> (n, m)."""
    across = e.Gemm(a, b, alpha=-2.0, transB=1)
    return e.Add(e.Add(across, _lengths(e, a)), e.Transpose(_lengths(e, b), perm=[1, 0]))


def _lengths(e: Emit, rows: Value | Array) -> Value:
    return e.ReduceSum(e.Mul(rows, rows), [-1], keepdims=1)


def _root(e: Emit, squares: Value) -> Value:
    """The derivative at 0 is 0, that of the mean over all directions."""
    apart = e.Greater(squares, 0.0)
    return e.Where(apart, e.Sqrt(e.Where(apart, squares, 1.0)), 0.0)
