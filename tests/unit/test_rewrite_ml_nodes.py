"""Operators of ai.onnx.ml one by one; oracle: the operator itself in onnxruntime, and its differences."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate

ML = "ai.onnx.ml"


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def node_model(op: str, kind: int = TensorProto.FLOAT, **attributes: Any) -> ModelProto:
    """One operator from X, (n, 3), to its scores."""
    outputs = ["label", "scores"] if "Classifier" in op else ["scores"]
    graph = helper.make_graph(
        [helper.make_node(op, ["X"], outputs, domain=ML, name=op, **attributes)],
        "one",
        [helper.make_tensor_value_info("X", kind, [None, 3])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, None)],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid(ML, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


SMALL = np.float32([[0.2, -0.1, 0.3], [0.1, 0.15, -0.05], [0.05, 0.2, 0.1]])
TRANSFORMS = ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"]
LINEAR = [0.3, 0.1, -0.2, 0.2, 0.4, 0.1, -0.1, 0.2, 0.3]
PAIRS = {"support_vectors": [0.1, 0.3, 0.2, -0.2, 0.1, 0.4, 0.5, 0.1, -0.3], "vectors_per_class": [1, 1, 1]}
KERNELS = {"kernel_params": [0.5, 0.25, 2.0], "rho": [0.6, 0.55, 0.5]}
NODES = {
    "one score for two classes": (
        "LinearClassifier",
        {"coefficients": LINEAR[:3], "intercepts": [0.5], "classlabels_ints": [0, 1]},
    ),
    "three scores": (
        "LinearClassifier",
        {"coefficients": LINEAR, "intercepts": [0.5, 0.4, 0.6], "classlabels_ints": [0, 1, 2]},
    ),
    "a score that is zero": (
        "LinearClassifier",
        {"coefficients": [*LINEAR[:6], 0, 0, 0], "intercepts": [0.5, 0.4, 0], "classlabels_ints": [0, 1, 2]},
    ),
    "one value": ("LinearRegressor", {"coefficients": LINEAR[:3], "intercepts": [0.5]}),
    "two values": ("LinearRegressor", {"coefficients": LINEAR[:6], "intercepts": [0.5, 0.4], "targets": 2}),
    "a machine in linear mode": (
        "SVMClassifier",
        {"coefficients": LINEAR, "classlabels_ints": [0, 1, 2], **KERNELS},
    ),
    "three machines": (
        "SVMClassifier",
        {"coefficients": LINEAR[:6], "classlabels_ints": [0, 1, 2], **PAIRS, **KERNELS},
    ),
    "a machine": (
        "SVMClassifier",
        {
            "coefficients": [0.3, -0.2],
            "classlabels_ints": [0, 1],
            "support_vectors": PAIRS["support_vectors"][:6],
            "vectors_per_class": [1, 1],
            "kernel_params": KERNELS["kernel_params"],
            "rho": [0.5],
        },
    ),
}


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("name", NODES)
def test_every_transform_is_what_the_runtime_makes_of_it(name, transform):
    """Oracle: the operator itself in onnxruntime, and its differences with a step of 1/64, good to 1e-3."""
    op, attributes = NODES[name]
    model = node_model(op, post_transform=transform, **attributes)
    ask, step = session(model), 1 / 64
    (said,) = ask.run(["scores"], {"X": SMALL})
    v = (1 + np.arange(said.size).reshape(said.shape)).astype(np.float32)
    found, gradient = session(differentiate(model)).run(["scores", RESULT], {"X": SMALL, SEED: v})
    np.testing.assert_allclose(found, said, atol=1e-5)
    for column, move in enumerate(np.eye(3, dtype=np.float32) * step):
        up, down = (ask.run(["scores"], {"X": SMALL + sign * move})[0] for sign in (1, -1))
        expected = (v * (up - down)).sum(axis=1) / (2 * step)
        np.testing.assert_allclose(gradient[:, column], expected, atol=2e-3 * max(np.abs(expected).max(), 1))


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Scaler", {"offset": [1.0, 2.0, 3.0], "scale": [2.0, 3.0, 4.0]}),
        ("Scaler", {"offset": [1.0], "scale": [2.0]}),
        *[("Normalizer", {"norm": norm}) for norm in ("MAX", "L1", "L2")],
    ],
)
def test_preparations_take_numbers_of_any_type(op, attributes, kind):
    """Rows of zeros too; a gradient has the type of the input, the scores that of the domain."""
    model = node_model(op, kind, **attributes)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    x = np.array([[1, -3, 2], [-1, -2, -3], [0, 0, 0]], dtype)
    (said,) = session(model).run(None, {"X": x})
    found, gradient = session(differentiate(model)).run(
        ["scores", RESULT], {"X": x, SEED: np.ones_like(said)}
    )
    np.testing.assert_allclose(found, said, rtol=1e-6)
    assert gradient.dtype == dtype
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(("mark", "filled"), [(float("nan"), [9.0, 0, 9.0]), (-1.0, [9.0, 9.0, 0])])
def test_what_is_filled_in_has_no_gradient(mark, filled):
    """A missing number is the same whatever stands beside it."""
    model = node_model("Imputer", imputed_value_floats=[4.0, 5.0, 6.0], replaced_value_float=mark)
    x = np.float32([[2.0, np.nan, -1.0]])
    gradient = session(differentiate(model)).run([RESULT], {"X": x, SEED: np.full((1, 3), 9, np.float32)})[0]
    assert gradient.tolist() == [filled]


@pytest.mark.parametrize("op", ["LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"])
def test_a_probit_is_refused_by_name(op):
    """Nobody writes it, and the runtime's own answers are mixed up."""
    attributes = {"coefficients": LINEAR[:3], "post_transform": "PROBIT", "classlabels_ints": [0, 1, 2]}
    model = node_model(
        op, **(attributes if "Classifier" in op else {"coefficients": LINEAR[:3], "post_transform": "PROBIT"})
    )
    with pytest.raises(MethodUnsupported, match=f"no gradient rule for ai.onnx.ml.{op}"):
        differentiate(model)


def test_a_one_class_answer_of_signs_has_no_gradient():
    """Its score has one; what the operator says with this attribute is 1 or -1."""
    model = node_model("SVMRegressor", coefficients=LINEAR[:3], rho=[0.1], one_class=1)
    with pytest.raises(MethodUnsupported, match="no derivative: Greater"):
        differentiate(model)
