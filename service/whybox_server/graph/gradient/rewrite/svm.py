"""Support vector machines of ai.onnx.ml: kernels, one machine per pair of classes, Platt's probabilities.

Notation: n rows, m support vectors, k classes, k (k - 1) / 2 pairs in the order 01, 02, .., 12, ...
"""

from __future__ import annotations

from itertools import combinations

import numpy as np
from onnx import TensorProto

from whybox_server.core.rows import Array
from whybox_server.graph.classifiers import ML_DOMAIN, labels_of
from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.links import linked, paired, transform_of
from whybox_server.graph.gradient.rewrite.sklearn import (
    labelled,
    numbers,
    only_labels,
    single,
    squared_distances,
)
from whybox_server.graph.gradient.rewrite.table import rewrites

SURE = 1e-7  # onnxruntime keeps pairwise probabilities this far from 0 and 1
FINE = 2.0**24  # steps that a correction is counted in
MANY_CLASSES = 32  # each of them adds a dozen nodes to the elimination


@rewrites(ML_DOMAIN, "SVMRegressor")
def svm_regressor(e: Emit, node: Node) -> list[Value] | None:
    """Of a one-class machine that answers 1 and -1 no gradient is left."""
    if e.rank(node.input) != 2 or not transform_of(node):
        return None
    f, x = single(e, node)
    weights, offset = numbers(node, "coefficients"), numbers(node, "rho")[:1]
    features = _kernel(f, node, x, node.attr("n_supports", 0)) if node.attr("n_supports", 0) else x
    score = f.Gemm(features, weights.reshape(-1, 1), offset)
    if node.attr("one_class", 0):
        return [f.Where(f.Greater(score, 0.0), 1.0, f.Neg(f.constant(np.ones(1))))]
    return [score]


@rewrites(ML_DOMAIN, "SVMClassifier")
def svm_classifier(e: Emit, node: Node) -> list[Value] | None:
    counts = node.attr("vectors_per_class", ())
    platt = len(numbers(node, "prob_a")) > 0
    transform = transform_of(node)
    if (
        only_labels(node)
        or e.rank(node.input) != 2
        or not transform
        or (platt and len(counts) > MANY_CLASSES)
    ):
        return None
    f, x = single(e, node)
    if not counts:
        weights = numbers(node, "coefficients").reshape(len(labels_of(node.proto)), -1)
        return labelled(e, node, linked(f, f.Gemm(x, weights, numbers(node, "rho")[:1], transB=1), transform))
    kernel = _kernel(f, node, x, sum(counts))
    margins = f.Gemm(kernel, _machines(node, counts), numbers(node, "rho"))  # (n, pairs)
    if not platt:
        few = len(counts) == 2
        link = paired(f, margins, transform, signed=True) if few else linked(f, margins, transform)
        return labelled(e, node, link)
    shares = _coupled(f, _pairwise(f, node, margins), len(counts))
    label, found = labelled(e, node, linked(f, shares, transform))
    said = e.builder.graph.node[-1].output[1]
    return [label, _corrected(f, found, said)]


def _kernel(f: Emit, node: Node, x: Value, count: int) -> Value:
    """(n, m)."""
    vectors = np.array(node.attr("support_vectors", ()), np.float64).reshape(count, -1)
    kind = node.attr("kernel_type", "LINEAR")
    gamma, offset, degree = node.attr("kernel_params", None) or (1.0, 0.0, 1.0)
    if kind == "RBF":
        centre = vectors.mean(axis=0)  # distances stay, and the squares that are subtracted get small
        apart = squared_distances(f, f.Sub(x, centre), vectors - centre)
        return f.Exp(f.Mul(apart, -gamma))
    if kind == "LINEAR":
        return f.Gemm(x, vectors, transB=1)
    inner = f.Add(f.Gemm(x, vectors, alpha=gamma, transB=1), offset)
    return f.Tanh(inner) if kind == "SIGMOID" else f.Pow(inner, degree)


def _machines(node: Node, counts: tuple[int, ...]) -> Array:
    """(m, pairs): the machine of classes i and j reads the vectors of both, weighted for each other."""
    ends = np.cumsum(counts)
    own = [slice(end - count, end) for end, count in zip(ends, counts, strict=True)]
    weights = numbers(node, "coefficients").reshape(len(counts) - 1, -1)
    pairs = list(combinations(range(len(counts)), 2))
    machines = np.zeros((ends[-1], len(pairs)), np.float32)
    for place, (i, j) in enumerate(pairs):
        machines[own[i], place] = weights[j - 1, own[i]]
        machines[own[j], place] = weights[i, own[j]]
    return machines


def _pairwise(f: Emit, node: Node, margins: Value) -> Value:
    """The probability of i against j, (n, pairs): a sigmoid that was fitted to the margins (Platt 1999)."""
    slopes, offsets = numbers(node, "prob_a"), numbers(node, "prob_b")
    chance = f.Sigmoid(f.Neg(f.Add(f.Mul(margins, slopes), offsets)))
    return f.Clip(chance, SURE, 1 - SURE)


def _coupled(f: Emit, chance: Value, k: int) -> Value:
    """One probability per class, (n, k): the p that minimises sum_ij (r_ji p_i - r_ij p_j)^2.

    Wu, Lin and Weng 2004, section 4.2 (their second method): Q p is the same for all classes, where
    Q_ii = sum_j r_ji^2 and Q_ij = -r_ji r_ij. So does p solve (Q + 1) p ~ 1, which is never singular.
    """
    pairs = list(combinations(range(k), 2))
    nowhere = 2 * len(pairs)
    places = np.full((k, k), nowhere)
    for place, (i, j) in enumerate(pairs):
        places[i, j], places[j, i] = place, len(pairs) + place
    nothing = f.Mul(f.Slice(chance, [0], [1], [1]), 0.0)
    every = f.Concat(chance, f.Sub(1.0, chance), nothing, axis=1)
    r, turned = f.Gather(every, places, axis=1), f.Gather(every, places.T, axis=1)  # (n, k, k)
    squares = f.ReduceSum(f.Mul(turned, turned), [-1], keepdims=1)  # (n, k, 1)
    q = f.Sub(f.Mul(squares, np.eye(k)), f.Mul(r, turned))
    p = _solved(f, f.Add(q, 1.0), k)
    return f.Div(p, f.ReduceSum(p, [-1], keepdims=1))


def _solved(f: Emit, matrix: Value, k: int) -> Value:
    """The x of matrix x = 1, (n, k), by Gauss and Jordan; positive definite, so that no rows need to change places."""
    table = f.Concat(matrix, f.Add(f.Mul(f.Slice(matrix, [0], [1], [2]), 0.0), 1.0), axis=2)  # (n, k, k + 1)
    for place in range(k):
        row = f.Slice(table, [place], [place + 1], [1])  # (n, 1, k + 1)
        row = f.Div(row, f.Slice(row, [place], [place + 1], [2]))
        column = f.Sub(
            f.Slice(table, [place], [place + 1], [2]), np.eye(k)[:, place : place + 1]
        )  # (n, k, 1)
        table = f.Sub(table, f.Mul(column, row))
    return f.Squeeze(f.Slice(table, [k], [k + 1], [2]), [2])


def _corrected(f: Emit, found: Value, said: Value) -> Value:
    """What onnxruntime says, which stops before the minimum; whole numbers carry no gradient of that."""
    said = f.Reshape(f.Cast(said, to=TensorProto.FLOAT), f.Shape(found))  # its shape is not inferred
    off = f.Cast(f.Mul(f.Sub(said, found), FINE), to=TensorProto.INT32)
    return f.Add(found, f.Mul(f.Cast(off, to=TensorProto.FLOAT), 1 / FINE))
