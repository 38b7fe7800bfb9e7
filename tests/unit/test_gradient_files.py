"""What kinds of files are differentiated: half precision, weights elsewhere, weights without end."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.models.nets import attention, cnn, embedded, mlp, net, normal
from tests.oracles.reference import run

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.weights import LARGEST_FILE

HALF_ERROR = 2e-3  # of the largest gradient: two of 2^-11, and a few roundings of sums
NETS = {"mlp": (mlp, (3, 5)), "cnn": (cnn, (3, 2, 9, 8)), "attention": (attention, (3, 4, 6))}


def in_double(model: ModelProto, like: ModelProto) -> ModelProto:
    """The float64 net with the very weights of the half precision one."""
    for mine, theirs in zip(model.graph.initializer, like.graph.initializer, strict=True):
        if theirs.data_type == TensorProto.FLOAT16:
            mine.CopyFrom(
                numpy_helper.from_array(numpy_helper.to_array(theirs).astype(np.float64), mine.name)
            )
    return model


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("seed_size", [1.0, 1e-3])
@pytest.mark.parametrize("name", NETS)
def test_half_precision_is_as_good_as_its_numbers(name, seed_size):
    """The runtime's half precision graph against float64 with the same weights; nothing vanishes."""
    build, shape = NETS[name]
    rng = np.random.default_rng(5)
    x, v = rng.normal(size=shape).astype(np.float16), (np.eye(3) * seed_size).astype(np.float16)
    (found,) = session(differentiate(build(np.float16))).run([RESULT], {"x": x, SEED: v})
    exact = run(
        differentiate(in_double(build(), build(np.float16))), {"x": x.astype(float), SEED: v.astype(float)}
    )
    np.testing.assert_allclose(found, exact[RESULT], atol=HALF_ERROR * np.abs(exact[RESULT]).max())
    assert found.dtype == np.float16


def test_half_precision_gradients_of_what_was_read_twice_add_up():
    """The runtime has no such kernel; three readings of one row are three times its gradient."""
    model = net("y = GatherND(x, i)", {"x": (2, 3)}, {"i": np.array([[1], [1], [1]])}, dtype=np.float16)
    seed = np.float16([[1, 2, 3]] * 3)
    (found,) = session(differentiate(model)).run([RESULT], {"x": np.zeros((2, 3), np.float16), SEED: seed})
    assert found.tolist() == [[0, 0, 0], [3, 6, 9]]


def test_weights_in_another_file_are_refused_before_anything_is_read(tmp_path: Path):
    """The remedy works: loaded by its path, the same model has its weights with it."""
    path = tmp_path / "model.onnx"
    onnx.save(mlp(), path, save_as_external_data=True, size_threshold=0, location="weights")
    elsewhere = onnx.load(path, load_external_data=False)
    with pytest.raises(MethodUnsupported, match=r"the numbers of 'w1' are in another file.*onnx\.save"):
        differentiate(elsewhere)
    assert differentiate(onnx.load(path)).graph.output[-1].name == RESULT


def test_more_weights_than_a_file_holds_are_refused_before_they_cost_memory():
    """The sizes alone are asked for: these tensors say that they are large and hold nothing."""
    model = net("y = MatMul(x, w)", {"x": ("n", 40)}, {"w": normal(40, 50)})
    claims = [
        TensorProto(name=f"w{i}", dims=[1000, 1000, 100], data_type=TensorProto.FLOAT) for i in range(6)
    ]
    model.graph.initializer.extend(claims)
    with pytest.raises(MethodUnsupported, match=r"2\.2 GB.*at most 2 GB.*float16.*kernel_shap"):
        differentiate(model)
    assert LARGEST_FILE < onnx.checker.MAXIMUM_PROTOBUF


def test_what_an_unknown_operator_makes_beside_the_path_does_not_matter():
    """Its type is not known either; on the path it is named."""
    model = net("a = Relu(x) y = MatMul(a, w)", {"x": ("n", 3)}, {"w": normal(3, 2)})
    model.opset_import.append(helper.make_opsetid("nobody.knows", 1))
    model.graph.node.extend(
        [
            helper.make_node("Secret", ["x"], ["s"], domain="nobody.knows"),
            helper.make_node("Identity", ["s"], ["side"]),
        ]
    )
    model.graph.output.append(helper.make_tensor_value_info("side", TensorProto.DOUBLE, ["n", 3]))
    names = [entry.name for entry in differentiate(model).graph.output]
    assert names == ["y", "side", RESULT]
    with pytest.raises(
        MethodUnsupported, match=r"node 's': there is no gradient rule for nobody\.knows\.Secret"
    ):
        differentiate(model, "x", "side")


@pytest.mark.parametrize("build", [mlp, cnn, attention, embedded])
def test_the_callers_model_stays_what_it_was(build):
    """Byte for byte, whatever is merged, rewritten or folded in the copy."""
    model = build()
    before = model.SerializeToString(deterministic=True)
    differentiate(model, "x")
    assert model.SerializeToString(deterministic=True) == before


def test_a_logistic_function_that_overflows_has_no_gradient_and_no_nan():
    """1 / (1 + e^z) at z = 200 in float32, as skl2onnx writes it: e^z is infinite, the slope 0."""
    model = net(
        "e = Exp(x) s = Add(e, one) y = Reciprocal(s)", {"x": (3,)}, {"one": np.array(1.0)}, dtype=np.float32
    )
    x, ones = np.float32([200, 0, -200]), np.ones(3, np.float32)
    (found,) = session(differentiate(model)).run([RESULT], {"x": x, SEED: ones})
    np.testing.assert_allclose(found, [0, -0.25, 0])


def test_a_power_of_what_is_negative_does_not_spoil_the_branch_that_is_taken():
    """x^0.7 is not a number at -2, and masked there; nothing times no slope is nothing."""
    body = "p = Pow(x, e) m = Less(x, zero) y = Where(m, x, p)"
    model = net(body, {"x": (2,)}, {"e": np.array(0.7), "zero": np.array(0.0)}, dtype=np.float32)
    (found,) = session(differentiate(model)).run(
        [RESULT], {"x": np.float32([-2, 1]), SEED: np.ones(2, np.float32)}
    )
    np.testing.assert_allclose(found, [1, 0.7], rtol=1e-6)


def test_a_product_with_a_vector_behind_a_transpose_is_right_in_the_runtime():
    """onnxruntime 1.31 forgets that Transpose; the oracle is numpy."""
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["t", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [3], [1, 2, 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    y, gradient = session(differentiate(model)).run(["y", RESULT], {"x": x, SEED: np.ones(4, np.float32)})
    assert y.tolist() == (x.T @ [1, 2, 3]).tolist()
    assert gradient.tolist() == [[1] * 4, [2] * 4, [3] * 4]
