"""Classifiers of the ai.onnx.ml domain: their labels, and whether they can say margins.

A margin is taken only where it is provably the input of the classifier's own link: what follows
was compared with scikit-learn's `decision_function`, for linear models and gradient boosting.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto

from whybox_server.core.target import Link
from whybox_server.graph.walk import attribute

ML_DOMAIN = "ai.onnx.ml"
LABEL_ATTRIBUTES = (
    "classlabels_strings",
    "classlabels_int64s",
    "classlabels_ints",
)
LINKS = {b"SOFTMAX": Link.SOFTMAX, b"LOGISTIC": Link.SIGMOID}
REGRESSORS = frozenset({"LinearRegressor", "SVMRegressor", "TreeEnsembleRegressor"})


def labels_of(node: NodeProto) -> tuple[str, ...]:
    """Class labels that a node carries, as text; empty if none."""
    for name in LABEL_ATTRIBUTES:
        entry = attribute(node, name)
        if entry is not None and entry.strings:
            return tuple(label.decode("utf-8", "replace") for label in entry.strings)
        if entry is not None and entry.ints:
            return tuple(map(str, entry.ints))
    return ()


def margin_link(node: NodeProto) -> Link | None:
    """The link between a classifier's margins and its probabilities.

    None where setting `post_transform` to NONE would not give the margins.
    """
    link = LINKS.get(text(node, "post_transform"))
    if link is None:
        return None
    if node.op_type == "LinearClassifier":
        return link if len(floats(node, "intercepts")) == len(labels_of(node)) else None
    if node.op_type == "TreeEnsembleClassifier":
        return link if _tree_margins_are_plain(node) else None
    return None


def sums_to_one(node: NodeProto) -> bool:
    """True if the classifier's probabilities of a row sum to one, so that an L1 norm changes nothing."""
    transform = text(node, "post_transform")
    if transform == b"SOFTMAX":
        return True
    weights = np.asarray(floats(node, "coefficients"))
    offsets = np.asarray(floats(node, "intercepts"))
    if node.op_type != "LinearClassifier" or len(offsets) != 2 or transform != b"LOGISTIC":
        return False
    first, second = weights.reshape(2, -1)
    return bool(np.array_equal(first, -second) and offsets[0] == -offsets[1])


def is_forest(node: NodeProto) -> bool:
    """True if a tree ensemble's leaves hold shares of classes, as those of a random forest do."""
    weights = np.asarray(floats(node, "class_weights"))
    trees = {*ints(node, "class_treeids")}
    if node.op_type != "TreeEnsembleClassifier" or text(node, "post_transform") not in (b"", b"NONE"):
        return False
    tolerance = 1e-3  # float32 sums of a few hundred shares
    return bool(len(weights) and weights.min() >= 0 and weights.max() * len(trees) <= 1 + tolerance)


def text(node: NodeProto, name: str) -> bytes:
    entry = attribute(node, name)
    return entry.s if entry is not None else b""


def floats(node: NodeProto, name: str) -> Sequence[float]:
    entry = attribute(node, name)
    return entry.floats if entry is not None else ()


def ints(node: NodeProto, name: str) -> Sequence[int]:
    entry = attribute(node, name)
    return entry.ints if entry is not None else ()


def _tree_margins_are_plain(node: NodeProto) -> bool:
    """With two labels and one set of weights a runtime answers (-s, s); (1 - s, s) if none is negative."""
    if len(labels_of(node)) != 2 or len({*ints(node, "class_ids")}) != 1:
        return True
    return any(weight < 0 for weight in floats(node, "class_weights"))
