"""Models exported by skl2onnx; oracle: scikit-learn itself, in float64, on the same rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from whybox_server.core.query import Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import Modality, ScoreKind, TabularSpec
from whybox_server.core.target import Link
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what importing skl2onnx warns of is its own affair
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType

X, Y = load_iris(return_X_y=True)
X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
TWO = Y < 2


def exported(fitted: Any, *, zipmap: bool, kinds: Any = None) -> OnnxModel:
    options = None if kinds or not hasattr(fitted, "classes_") else {id(fitted): {"zipmap": zipmap}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        proto = to_onnx(
            fitted, None if kinds else X[:1], initial_types=kinds, options=options, target_opset=17
        )
    return load(proto.SerializeToString())


def answers(model: OnnxModel, inputs: dict[str, Array]) -> Array:
    """Scores of these rows, in one call."""
    rows = Samples(inputs)
    instance = {name: array[0] for name, array in inputs.items()}
    (scores,) = model.lane(Want.SCORES, Mode.FAST, instance).runner.run(
        [Slice(rows, np.arange(len(rows)))], None
    )
    return scores


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize(
    ("classifier", "link"),
    [
        (LogisticRegression(max_iter=1000), Link.SOFTMAX),
        (GradientBoostingClassifier(n_estimators=3), Link.SOFTMAX),
    ],
)
def test_margins_of_many_classes_are_the_decision_function(classifier, link, zipmap):
    """post_transform NONE gives exactly the input of the Softmax, with ZipMap and without."""
    fitted = classifier.fit(X, NAMES)
    model = exported(fitted, zipmap=zipmap)
    assert (model.kind, model.link, model.spec.score) == (ScoreKind.LOGIT, link, ScoreKind.PROBABILITY)
    assert model.labels == ("setosa", "versicolor", "virginica")
    said = answers(model, {"X": X})
    np.testing.assert_allclose(
        said, fitted.decision_function(X), rtol=1e-5, atol=1e-5
    )  # float32 against float64


@pytest.mark.parametrize("zipmap", [True, False])
@pytest.mark.parametrize("classifier", [LogisticRegression(), GradientBoostingClassifier(n_estimators=3)])
def test_margins_of_two_classes_are_minus_and_plus_the_decision_function(classifier, zipmap):
    """Two labels, one margin d: the scores are (-d, d), each with a Sigmoid of its own."""
    fitted = classifier.fit(X[TWO], Y[TWO])
    model = exported(fitted, zipmap=zipmap)
    assert (model.kind, model.link, model.labels) == (ScoreKind.LOGIT, Link.SIGMOID, ("0", "1"))
    margin = fitted.decision_function(X[TWO])
    said = answers(model, {"X": X[TWO]})
    np.testing.assert_allclose(said, np.stack([-margin, margin], axis=1), atol=1e-5)  # float32


@pytest.mark.parametrize(
    "classifier",
    [RandomForestClassifier(5, max_depth=3, random_state=0), OneVsRestClassifier(LogisticRegression())],
    ids=["forest", "one versus rest"],
)
def test_where_margins_cannot_be_had_exactly_probabilities_stay(classifier):
    """A forest has no margins; sigmoids that are normalised afterwards hide theirs."""
    fitted = classifier.fit(X, NAMES)
    model = exported(fitted, zipmap=True)
    assert (model.kind, model.spec.score, model.notes) == (ScoreKind.PROBABILITY, ScoreKind.PROBABILITY, ())
    np.testing.assert_allclose(answers(model, {"X": X}), fitted.predict_proba(X), atol=1e-6)  # float32


def test_a_network_is_cut_before_its_softmax():
    """softmax(scores) are scikit-learn's probabilities."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # five rounds do not converge, and need not
        fitted = MLPClassifier((4,), max_iter=5, random_state=0).fit(X, Y)
    model = exported(fitted, zipmap=True)
    assert model.kind is ScoreKind.LOGIT
    exp = np.exp(answers(model, {"X": X}).astype(np.float64))
    np.testing.assert_allclose(exp / exp.sum(axis=1, keepdims=True), fitted.predict_proba(X), atol=1e-6)


def test_a_regression_is_a_value():
    """One output in the model's own unit, no classes."""
    fitted = LinearRegression().fit(X[:, :3], X[:, 3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = load(to_onnx(fitted, X[:1, :3], target_opset=17).SerializeToString())
    assert (model.kind, model.columns, model.labels) == (ScoreKind.VALUE, 1, ("0",))
    np.testing.assert_allclose(answers(model, {"X": X[:, :3]})[:, 0], fitted.predict(X[:, :3]), atol=1e-5)


def test_a_pipeline_of_strings_and_numbers_is_one_table():
    """Every column is an input of its own; the categories are encoded inside the graph."""
    table = {"size": X[:, 2:3], "shade": np.where(X[:, :1] > X[:, :1].mean(), "dark", "pale").astype(object)}
    both = np.hstack([table["size"].astype(object), table["shade"]])  # (n, 2)
    encode = ColumnTransformer([("shade", OneHotEncoder(), [1])], remainder="passthrough")
    fitted = make_pipeline(encode, LogisticRegression(max_iter=1000)).fit(both, Y)
    kinds = [("size", FloatTensorType([None, 1])), ("shade", StringTensorType([None, 1]))]
    model = exported(fitted, zipmap=True, kinds=kinds)
    assert model.spec.modality is Modality.TABULAR
    assert isinstance(model.spec.details, TabularSpec)
    assert model.spec.details.feature_names == ("size", "shade")
    np.testing.assert_allclose(answers(model, table), fitted.decision_function(both), atol=1e-5)


@pytest.mark.parametrize("zipmap", [True, False])
def test_predict_says_what_scikit_learn_says(zipmap):
    """Predict returns the model's own outputs: labels and probabilities, not the cut graph's logits."""
    fitted = LogisticRegression(max_iter=1000).fit(X, NAMES)
    label, shares = exported(fitted, zipmap=zipmap).predict({"": X}).values()
    assert label.tolist() == fitted.predict(X).tolist()
    np.testing.assert_allclose(shares, fitted.predict_proba(X), atol=1e-6)  # float32
