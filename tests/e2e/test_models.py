"""Models as people have them: pipelines with a column per input, strings, fixed batches, regressors."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder
from tests.e2e.serving import INPUTS

import whybox


@pytest.fixture(scope="module")
def mixed() -> bytes:
    """A column of numbers and one of words: "yes" decides, age does nothing."""
    rng = np.random.default_rng(0)
    age = rng.normal(40, 10, 400).astype(np.float32)
    word = rng.choice(["yes", "no"], 400)
    rows = np.empty((400, 2), object)
    rows[:, 0], rows[:, 1] = age, word
    columns = ColumnTransformer([("word", OneHotEncoder(), [1])], remainder="passthrough")
    pipe = Pipeline([("columns", columns), ("model", LogisticRegression(C=10))]).fit(rows, word == "yes")
    types = [("age", FloatTensorType([None, 1])), ("word", StringTensorType([None, 1]))]
    return bytes(to_onnx(pipe, initial_types=types).SerializeToString())


def test_a_pipeline_with_numbers_and_words(client: whybox.Client, mixed: bytes) -> None:
    """Given as scalars by column name; the word is the evidence."""
    spec = whybox.ModelSpec.tabular(
        feature_names=["age", "word"],
        background=np.array([[30.0, "no"], [40.0, "yes"], [50.0, "no"], [60.0, "yes"]], object),
    )
    for method in ("lime", "occlusion"):
        e = client.explain(mixed, {"age": 35.0, "word": "yes"}, method, target=1, spec=spec)
        by_name = dict(e.as_list())
        word = next(value for name, value in by_name.items() if "word" in name)
        age = next(value for name, value in by_name.items() if "age" in name)
        assert word > 1
        assert abs(age) < 0.2 * word


def test_a_regressor_is_explained_in_its_own_unit(client: whybox.Client) -> None:
    """Occlusion's drops are in units of the value, and there is no probability."""
    e = client.explain("models/diabetes", INPUTS / "diabetic.csv", "occlusion")
    assert e.target.space == "value"
    assert e.target.probability is None
    assert np.abs(e.values).max() > 1


def fixed_batch(rows: int) -> bytes:
    """y = x . (1, 2, 3), for exactly so many rows a call."""
    weights = numpy_helper.from_array(np.array([[1.0], [2.0], [3.0]], np.float32), "w")
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 1])
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize("rows", [1, 4])
def test_a_fixed_batch_is_filled_up(client: whybox.Client, rows: int) -> None:
    """The drop of a linear model is weight times value, whatever the batch."""
    spec = whybox.ModelSpec.tabular()
    e = client.explain(fixed_batch(rows), np.array([1.0, 1.0, 1.0]), "occlusion", spec=spec, baseline=0.0)
    np.testing.assert_allclose(e.values, [1.0, 2.0, 3.0], rtol=1e-6)


def test_the_models_own_outputs_can_be_asked_for(client: whybox.Client, server) -> None:  # type: ignore[no-untyped-def]
    """Predict gives label and ZipMap probabilities as arrays, untouched."""
    import grpc

    from whybox.tensors import from_tensor, to_tensor
    from whybox.v1 import model_pb2, model_pb2_grpc, tensor_pb2

    row = np.loadtxt(INPUTS / "patient.csv", delimiter=",", skiprows=1, dtype=np.float32)[None]
    with grpc.insecure_channel(server.address) as channel:
        stub = model_pb2_grpc.ModelServiceStub(channel)
        inputs = tensor_pb2.Tensors(by_name={"X": to_tensor(np.repeat(row, 3, axis=0), "x")})
        answer = stub.Predict(model_pb2.PredictRequest(model="models/breast_cancer", inputs=inputs))
    outputs = {name: from_tensor(tensor) for name, tensor in answer.outputs.by_name.items()}
    assert outputs["output_label"].tolist() == [0, 0, 0]
    assert outputs["output_probability"].shape == (3, 2)
    np.testing.assert_allclose(outputs["output_probability"].sum(axis=1), 1, rtol=1e-5)
