"""Gradients of models that skl2onnx wrote; oracle: differences of scikit-learn's own scores, in float64."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.decomposition import PCA, KernelPCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis, QuadraticDiscriminantAnalysis
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, Matern, WhiteKernel
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    MinMaxScaler,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, LinearSVC, NuSVR, OneClassSVM

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.notes import notes_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what importing skl2onnx warns of is its own affair
    from skl2onnx import to_onnx

X, Y = load_iris(return_X_y=True)
ROWS = (X[[3, 60, 77, 120]] + np.random.default_rng(3).normal(size=(4, 4)) * 0.05).astype(np.float32)
TWO = Y > 0
STEP = 1e-5


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def exported(
    model: Any, labels: np.ndarray, dtype: type = np.float32, **options: object
) -> tuple[Any, ModelProto]:
    """Fitted, and as a file; without ZipMap where there would be one."""
    x = X.astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few rounds do not converge, and need not
        fitted = clone(model).fit(x, labels)
        if hasattr(fitted, "classes_") and not options:
            options = {"zipmap": False}
        proto = to_onnx(fitted, x[:1], target_opset=18, options={id(fitted): options} if options else None)
    return fitted, proto


def scores_of(fitted: Any, x: np.ndarray) -> np.ndarray:
    """What the file's scores are, (n, k), as scikit-learn says it."""
    for name in ("predict_proba", "decision_function", "predict"):
        if hasattr(fitted, name):
            return np.asarray(getattr(fitted, name)(x)).reshape(len(x), -1)
    raise AssertionError(fitted)


def explained(
    proto: ModelProto, x: np.ndarray, v: np.ndarray | None = None, near: float = 2e-5
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (n, k), a seed, and the gradient; after a look at all outputs, which stay what they were."""
    name = next(out.name for out in proto.graph.output if out.type.tensor_type.elem_type in (1, 11))
    names, before = [out.name for out in proto.graph.output], session(proto).run(None, {"X": x})
    said = before[names.index(name)]
    v = np.random.default_rng(4).normal(size=said.shape).astype(said.dtype) if v is None else v
    *after, gradient = session(differentiate(proto)).run([*names, RESULT], {"X": x, SEED: v})
    for was, now in zip(before, after, strict=True):
        largest = 1 if was.dtype.kind == "i" else max(float(np.abs(was).max()), 1.0)
        np.testing.assert_allclose(now, was, atol=near * largest)  # float32, summed in another order
    return said.reshape(len(x), -1), v.reshape(len(x), -1), gradient


def differences(fitted: Any, v: np.ndarray, x: np.ndarray = ROWS) -> np.ndarray:
    """d sum(v score) / d x of scikit-learn."""

    def total(at: np.ndarray) -> np.ndarray:
        scores = scores_of(fitted, at)
        return (v * (scores if scores.shape == v.shape else np.hstack([-scores, scores]))).sum(axis=1)

    x = x.astype(np.float64)
    steps = np.eye(x.shape[1]) * STEP
    return np.stack([(total(x + step) - total(x - step)) / (2 * STEP) for step in steps], axis=1)


MODELS = {
    "logistic regression": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), PCA(3), LogisticRegression()),
    "robust": make_pipeline(MinMaxScaler(), RobustScaler(), LogisticRegression()),
    "polynomial": make_pipeline(PolynomialFeatures(2), LogisticRegression()),
    "length 2": make_pipeline(Normalizer("l2"), LogisticRegression()),
    "length 1": make_pipeline(Normalizer("l1"), LogisticRegression()),
    "largest": make_pipeline(Normalizer("max"), LogisticRegression()),
    "imputed": make_pipeline(SimpleImputer(), LogisticRegression()),
    "power": make_pipeline(PowerTransformer(), LogisticRegression()),
    "kernel components": make_pipeline(KernelPCA(3, kernel="rbf"), LogisticRegression()),
    "one versus rest": OneVsRestClassifier(LogisticRegression()),
    "stochastic descent": SGDClassifier(loss="log_loss", random_state=0),
    "calibrated": CalibratedClassifierCV(LinearSVC(), cv=2),
    "naive Bayes": GaussianNB(),
    "linear discriminants": LinearDiscriminantAnalysis(),
    "quadratic discriminants": QuadraticDiscriminantAnalysis(),
    "network": MLPClassifier((5,), max_iter=20, random_state=0, activation="tanh"),
    "network with two layers": MLPClassifier((5, 4), max_iter=20, random_state=0, activation="logistic"),
    "machines": SVC(),
    "linear machines": SVC(kernel="linear", decision_function_shape="ovo"),
    "polynomial machines": SVC(kernel="poly", coef0=1, gamma=0.05, decision_function_shape="ovo"),
    "regression": LinearRegression(),
    "network regression": MLPRegressor(
        hidden_layer_sizes=(5,), max_iter=20, random_state=0, activation="tanh"
    ),
    "machine regression": SVR(),
    "polynomial machine regression": SVR(kernel="poly", gamma=0.05),
    "sigmoid machine regression": NuSVR(kernel="sigmoid", gamma=0.01),
    "one class": OneClassSVM(),
    "Gaussian process": GaussianProcessRegressor(RBF() + WhiteKernel(), optimizer=None),
    "rough Gaussian process": GaussianProcessRegressor(Matern(nu=1.5), alpha=0.1, optimizer=None),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_gradient_is_that_of_scikit_learn(name):
    """Of three classes or of a value; float32 keeps 2e-4 of the largest slope."""
    fitted, proto = exported(MODELS[name], Y)
    said, v, gradient = explained(proto, ROWS)
    np.testing.assert_allclose(said, scores_of(fitted, ROWS), rtol=1e-3, atol=1e-3)
    expected = differences(fitted, v)
    np.testing.assert_allclose(gradient, expected, atol=2e-4 * np.abs(expected).max())


@pytest.mark.parametrize("name", ["logistic regression", "network", "one versus rest"])
def test_the_gradient_of_two_classes_is_that_of_scikit_learn(name):
    """Two shares of one score."""
    fitted, proto = exported(MODELS[name], TWO.astype(int))
    _, v, gradient = explained(proto, ROWS)
    expected = differences(fitted, v)
    np.testing.assert_allclose(gradient, expected, atol=2e-4 * np.abs(expected).max())


def test_a_machine_of_two_classes_says_its_margin_twice():
    """Which sign is which is the file's business: the columns are each other's opposite, and so are slopes."""
    fitted, proto = exported(SVC(), TWO.astype(int))
    said, _, gradient = explained(proto, ROWS, np.tile(np.float32([1, 0]), (4, 1)))
    sign = np.sign(said[0, 0] * fitted.decision_function(ROWS)[0])
    np.testing.assert_allclose(said, sign * np.outer(fitted.decision_function(ROWS), [1, -1]), atol=1e-5)
    expected = sign * differences(fitted, np.ones((4, 1)))
    np.testing.assert_allclose(gradient, expected, atol=2e-4 * np.abs(expected).max())


def platt(proto: ModelProto, x: np.ndarray) -> np.ndarray:
    """Probabilities of a machine with a Gaussian kernel, (k,), at one point: Wu, Lin and Weng's equation 21.

    Slow and exact: the minimum is found by solving its linear equations, in float64.
    """
    given = {entry.name: helper.get_attribute_value(entry) for entry in proto.graph.node[0].attribute}
    counts = given["vectors_per_class"]
    k, ends = len(counts), np.cumsum(counts)
    near = np.exp(
        -given["kernel_params"][0] * ((np.reshape(given["support_vectors"], (-1, 4)) - x) ** 2).sum(axis=1)
    )
    weights, r, pair = np.reshape(given["coefficients"], (k - 1, -1)), np.zeros((k, k)), 0
    for i in range(k):
        for j in range(i + 1, k):
            margin = given["rho"][pair]
            margin += sum(weights[j - 1, m] * near[m] for m in range(ends[i] - counts[i], ends[i]))
            margin += sum(weights[i, m] * near[m] for m in range(ends[j] - counts[j], ends[j]))
            r[i, j] = 1 / (1 + np.exp(given["prob_a"][pair] * margin + given["prob_b"][pair]))
            r[j, i], pair = 1 - r[i, j], pair + 1
    q = np.array(
        [[(r[:, i] ** 2).sum() if i == j else -r[j, i] * r[i, j] for j in range(k)] for i in range(k)]
    )
    system = np.block([[q, np.ones((k, 1))], [np.ones((1, k)), np.zeros((1, 1))]])
    return np.linalg.solve(system, [0] * k + [1])[:k]


@pytest.mark.parametrize("classes", [2, 3])
def test_probabilities_of_machines_are_the_runtimes_and_their_slopes_those_of_the_minimum(classes):
    """onnxruntime stops coupling pairs 0.005 / k before the minimum: scores are its own, slopes exact."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn would rather calibrate
        _, proto = exported(SVC(probability=True, random_state=0), Y if classes == 3 else TWO.astype(int))
    said, v, gradient = explained(proto, ROWS)
    for row, at in enumerate(ROWS.astype(np.float64)):
        np.testing.assert_allclose(said[row], platt(proto, at), atol=0.005)
        steps = np.eye(4) * STEP
        slopes = [v[row] @ (platt(proto, at + step) - platt(proto, at - step)) / (2 * STEP) for step in steps]
        np.testing.assert_allclose(gradient[row], slopes, atol=1e-3 * np.abs(slopes).max())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_of_gaussian_processes_have_a_gradient(dtype):
    """Written as an operator of onnxruntime's own; in the precision of the file."""
    model = GaussianProcessRegressor(RBF(2.0) + WhiteKernel(0.1), optimizer=None)
    fitted, proto = exported(model, Y, dtype, optim="cdist")
    assert "CDist" in {node.op_type for node in proto.graph.node}
    _, v, gradient = explained(proto, ROWS.astype(dtype), near=1e-4)  # large weights nearly cancel
    expected = differences(fitted, v)
    np.testing.assert_allclose(
        gradient, expected, atol=(1e-3 if dtype is np.float32 else 1e-6) * np.abs(expected).max()
    )
    assert gradient.dtype == dtype


def test_columns_that_are_constant_in_steps_have_no_gradient_and_a_note():
    """The other columns keep theirs."""
    split = ColumnTransformer([("real", StandardScaler(), [0, 1]), ("steps", Binarizer(threshold=1.0), [3])])
    fitted, proto = exported(make_pipeline(split, LogisticRegression()), Y)
    _, v, gradient = explained(proto, ROWS)
    np.testing.assert_allclose(gradient, differences(fitted, v), atol=1e-5)
    assert not gradient[:, 2:].any()
    assert notes_of(differentiate(proto)).startswith("What the score owes to Binarizer is constant in steps")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            RandomForestClassifier(2, random_state=0),
            "TreeEnsembleClassifier is constant between its thresholds",
        ),
        (
            GradientBoostingClassifier(n_estimators=2),
            "TreeEnsembleClassifier is constant between its thresholds",
        ),
        (KNeighborsClassifier(3), "only through what has no derivative: TopK"),
        (make_pipeline(Binarizer(threshold=2), LogisticRegression()), "no derivative: Binarizer"),
    ],
)
def test_models_that_are_constant_in_steps_are_refused_by_name(model, said):
    """With the methods that still work."""
    with pytest.raises(MethodUnsupported, match=said) as refused:
        differentiate(exported(model, Y)[1])
    assert "kernel_shap" in refused.value.details["alternatives"]


def test_outputs_that_are_declared_wrongly_do_not_matter():
    """skl2onnx says (n, 1) of two columns."""
    fitted, proto = exported(LinearSVC(), TWO.astype(int), raw_scores=True)
    _, v, gradient = explained(proto, ROWS)
    np.testing.assert_allclose(gradient, differences(fitted, v), rtol=1e-4)
