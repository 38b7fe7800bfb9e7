"""Gradients of quantised models; oracle: differences of the same graph with its roundings held fixed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper
from tests.models.nets import cnn, mlp, net, normal
from tests.oracles.reference import run
from tests.oracles.straight_through import slope

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.notes import STRAIGHT, notes_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what it warns of is its own affair
    from onnxruntime import quantization as tool

RNG = np.random.default_rng(13)


def pooled(dtype: type) -> ModelProto:
    """A net whose pools take means: the largest of equal bytes is a kink."""
    body = """
      c1 = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w1, b1) n1 = BatchNormalization(c1, s, b, m, v)
      r1 = Relu(n1) c2 = Conv<pads=[1, 1, 1, 1], group=2>(r1, w2) t2 = Sigmoid(c2) sum = Add(t2, r1)
      p2 = AveragePool<kernel_shape=[2, 2]>(sum) p3 = GlobalAveragePool(p2) f = Flatten(p3) y = Gemm(f, w3, b3)
    """
    weights = {
        "w1": normal(4, 2, 3, 3),
        "b1": normal(4),
        "s": 1 + normal(4) ** 2,
        "b": normal(4),
        "m": normal(4),
    }
    weights |= {"v": 0.5 + normal(4) ** 2, "w2": normal(4, 2, 3, 3), "w3": normal(4, 3), "b3": normal(3)}
    return net(body, {"x": ("n", 2, 9, 8)}, weights, dtype=dtype)


NETS = {"mlp": (mlp, (3, 5)), "cnn": (cnn, (3, 2, 9, 8)), "pooled": (pooled, (3, 2, 9, 8))}
nets = pytest.mark.parametrize("name", NETS)


def session(model: ModelProto, *, plain: bool = False) -> ort.InferenceSession:
    """plain: nothing is fused, so that numbers are those of the specification."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 3
    if plain:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Calibration(tool.CalibrationDataReader):
    """Random inputs that the ranges of all tensors are read from."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        rng = np.random.default_rng(0)
        self.feeds: Iterator[dict[str, np.ndarray]] = iter(
            [{"x": rng.normal(size=shape).astype(np.float32)} for _ in range(4)]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def quantised(name: str, folder: Path, form: str, **options: object) -> ModelProto:
    """The net as onnxruntime's own tool quantises it."""
    build, shape = NETS[name]
    source, target = folder / "float.onnx", folder / "quantised.onnx"
    onnx.save(build(np.float32), source)
    if form == "dynamic":
        tool.quantize_dynamic(source, target)
    else:
        kinds = {"activation_type": tool.QuantType.QInt8, "weight_type": tool.QuantType.QInt8}
        form = tool.QuantFormat[form]
        tool.quantize_static(source, target, Calibration(shape), quant_format=form, **(kinds | options))
    return onnx.load(target)


@nets
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
@pytest.mark.parametrize("per_channel", [False, True])
def test_the_gradient_of_a_quantised_net_is_near_that_of_the_net(name, form, per_channel, tmp_path):
    """In the runtime, for all that its tool can write: what eight bits leave, correlates above 0.9."""
    build, shape = NETS[name]
    model = quantised(name, tmp_path, form, **({} if form == "dynamic" else {"per_channel": per_channel}))
    x, v = next(Calibration(shape).feeds)["x"], np.eye(3, dtype=np.float32)
    gradient = differentiate(model)
    (found,) = session(gradient).run([RESULT], {"x": x, SEED: v})
    (real,) = session(differentiate(build(np.float32))).run([RESULT], {"x": x, SEED: v})
    assert np.corrcoef(found.ravel(), real.ravel())[0, 1] > 0.9
    assert notes_of(gradient) == STRAIGHT


@pytest.mark.parametrize("name", ["mlp", "pooled"])
@pytest.mark.parametrize("activation", [tool.QuantType.QInt8, tool.QuantType.QUInt8])
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradients_pass_roundings_and_stop_where_numbers_saturate(name, activation, per_channel, tmp_path):
    """<v, J u> against the slope of the graph whose roundings are held; x is wide, so that some saturate."""
    model = quantised(name, tmp_path, "QDQ", activation_type=activation, per_channel=per_channel)
    rng = np.random.default_rng(2)
    x, v = 3 * rng.normal(size=NETS[name][1]).astype(np.float32), rng.normal(size=(3, 3)).astype(np.float32)
    (found,) = session(differentiate(model), plain=True).run([RESULT], {"x": x, SEED: v})
    assert (found == 0).any(), "something saturates"
    for u in rng.normal(size=(3, *x.shape)):
        expected = slope(model, x.astype(np.float64), v, u)
        assert np.vdot(found, u) == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.linalg.norm(found)))


@nets
@pytest.mark.parametrize("form", ["QDQ", "QOperator", "dynamic"])
def test_the_scores_stay_those_of_the_model(name, form, tmp_path):
    """Bit by bit for pairs; integer kernels may end one step of the last scale away."""
    model = quantised(name, tmp_path, form)
    x = next(Calibration(NETS[name][1]).feeds)["x"]
    (y,) = session(model, plain=True).run(["y"], {"x": x})
    (said,) = session(differentiate(model), plain=True).run(["y"], {"x": x, SEED: np.zeros_like(y)})
    step = 0.0 if form == "QDQ" else 0.02 * np.abs(y).max()
    np.testing.assert_allclose(said, y, atol=step)


def test_what_integer_products_see_is_the_real_product():
    """Dynamic quantisation of one layer: nothing saturates, so that the gradient is v (q - zero) scale."""
    w = RNG.integers(-100, 100, size=(4, 3), dtype=np.int8)
    body = """
      q, s, z = DynamicQuantizeLinear(x) p = MatMulInteger(q, w, z, zero) f = Cast<to=1>(p)
      scales = Mul(s, t) y = Mul(f, scales)
    """
    weights = {"w": w, "zero": np.array([1, 0, -2], np.int8), "t": np.array(0.02)}
    model = net(body, {"x": ("n", 4)}, weights, dtype=np.float32)
    x, v = RNG.normal(size=(2, 4)).astype(np.float32), RNG.normal(size=(2, 3)).astype(np.float32)
    (found,) = session(differentiate(model)).run([RESULT], {"x": x, SEED: v})
    np.testing.assert_allclose(
        found, v @ (0.02 * (w - weights["zero"].astype(float))).T, rtol=1e-5, atol=1e-6
    )


QUANTISED = {
    "QLinearSigmoid": ("q2 = com.microsoft.QLinearSigmoid(q, s, z, t, z)", lambda x: 1 / (1 + np.exp(-x))),
    "QLinearLeakyRelu": (
        "q2 = com.microsoft.QLinearLeakyRelu<alpha=0.1>(q, s, z, t, z)",
        lambda x: np.maximum(x, 0.1 * x),
    ),
    "QGemm": ("q2 = com.microsoft.QGemm<alpha=0.5>(q, s, z, w, r, zero, c, t, z)", None),
    "QLinearMul": ("q2 = com.microsoft.QLinearMul(q, s, z, q, s, z, t, z)", lambda x: x * x),
    "QLinearAdd": ("q2 = com.microsoft.QLinearAdd(q, s, z, q, s, z, t, z)", lambda x: x + x),
    "QLinearConcat": ("q2 = com.microsoft.QLinearConcat<axis=0>(t, z, q, s, z)", lambda x: x),
    "QLinearSoftmax": (
        "q2 = com.microsoft.QLinearSoftmax<axis=-1, opset=12>(q, s, z, t, z)",
        lambda x: np.exp(x) / np.exp(x).sum(axis=-1, keepdims=True),
    ),
    "MatMulIntegerToFloat": (
        "m = com.microsoft.MatMulIntegerToFloat(q, w, s, u, z, w0, o) q2 = QuantizeLinear(m, t, z)",
        None,
    ),
    "moves": (
        "a = Transpose(q) b = Reshape(a, shape) q2 = Unsqueeze(b, axes)",
        lambda x: x.T.reshape(2, 6)[None],
    ),
}


@pytest.mark.parametrize("op", QUANTISED)
def test_every_quantised_operator_has_the_gradient_of_the_real_one(op):
    """At numbers that are whole multiples of the scale; oracle: differences of the real function."""
    body, real = QUANTISED[op]
    weights = {
        "s": np.array(0.125),
        "t": np.array(0.125 if op == "moves" else 0.03125),
        "z": np.array(3, np.int8),
        "w": RNG.integers(-5, 5, size=(4, 2), dtype=np.int8),
        "w0": np.array([1, -1], np.int8),
        "u": np.array([0.0625, 0.125]),
        "o": np.array([0.5, -0.25]),
        "shape": np.array([2, 6]),
        "axes": np.array([0]),
        "r": np.array(0.125),
        "zero": np.array(0, np.int8),
        "c": np.array([40, -30], np.int32),
    }
    if op == "MatMulIntegerToFloat":
        kernel, bias = (weights["w"] - weights["w0"].astype(float)) * weights["u"], weights["o"]
    else:  # QGemm: its bias is in units of both scales, and all is multiplied by alpha
        kernel, bias = 0.5 * weights["w"] * 0.125, 0.5 * weights["c"] * 0.125 * 0.125
    real = real or (lambda x: x @ kernel + bias)
    text = f"q = QuantizeLinear(x, s, z) {body} y = DequantizeLinear(q2, t, z)"
    model = net("y = Relu(x)", {"x": (3, 4)}, weights, dtype=np.float32)
    del model.graph.node[:]
    model.graph.node.extend(onnx.parser.parse_graph(f"g () => () {{ {text} }}").node)
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    x = RNG.permutation([*range(-7, 0), *range(1, 6)]).reshape(3, 4) / 8
    y = real(x)
    v, u = RNG.normal(size=y.shape), RNG.normal(size=x.shape)
    gradient = session(differentiate(model))
    feeds = {"x": x.astype(np.float32), SEED: v.astype(np.float32)}
    said, found = gradient.run(["y", RESULT], feeds)
    (was,) = session(model, plain=True).run(["y"], {"x": feeds["x"]})
    np.testing.assert_allclose(said, was, atol=1.01 * float(weights["t"]))  # one step
    np.testing.assert_allclose(said, y, atol=0.6 * float(weights["t"]))
    assert (np.abs(y / weights["t"] + 3) < 127).all(), "nothing saturates"
    expected = np.vdot(v, real(x + 1e-6 * u) - real(x - 1e-6 * u)) / 2e-6
    assert np.vdot(found, u) == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_a_quantised_number_is_moved_about_keeps_its_gradient():
    """A pool over bytes: the largest of each window gets it."""
    body = "q = QuantizeLinear(x, s, z) p = MaxPool<kernel_shape=[1, 2], strides=[1, 2]>(q) y = DequantizeLinear(p, s, z)"
    model = net(body, {"x": (1, 1, 1, 4)}, {"s": np.array(1.0), "z": np.array(0, np.int8)}, dtype=np.float32)
    x = np.array([1, 2, 200, 3], np.float32).reshape(1, 1, 1, 4)
    (found,) = session(differentiate(model)).run([RESULT], {"x": x, SEED: np.ones((1, 1, 1, 2), np.float32)})
    assert found.ravel().tolist() == [0, 1, 0, 0], "200 saturates"


def test_a_branch_whose_integers_cannot_be_said_in_real_numbers_is_not_left_out_in_silence():
    """A scale for every row of every matrix: the residual beside it alone would be a wrong gradient."""
    body = """
      q = QuantizeLinear(x, s, z) p = QLinearMatMul(q, many, zeros, w, s, z, s, z)
      d = DequantizeLinear(p, s, z) y = Add(x, d)
    """
    weights = {"s": np.array(0.5), "z": np.array(0, np.int8), "w": np.eye(3, dtype=np.int8)}
    weights |= {"many": np.full((2, 3, 1), 0.5), "zeros": np.zeros((2, 3, 1), np.int8)}
    with pytest.raises(MethodUnsupported, match="node 'p': this QLinearMatMul of quantised numbers"):
        differentiate(net(body, {"x": (2, 3, 3)}, weights, dtype=np.float32, opset=21))


def test_every_slice_of_an_axis_may_have_a_scale_of_its_own():
    """x / scale + zero within -128 and 127: the same number saturates in one slice and not in another."""
    body = "q = QuantizeLinear<axis=1>(x, s, z) y = DequantizeLinear<axis=1>(q, s, z)"
    weights = {"s": np.array([1.0, 0.5, 2.0]), "z": np.array([0, 0, -120], np.int8)}
    model = net(body, {"x": (1, 3, 2)}, weights, dtype=np.float32)
    x, seed = np.full((1, 3, 2), [100, -100], np.float32), np.ones((1, 3, 2), np.float32)
    (found,) = session(differentiate(model)).run([RESULT], {"x": x, SEED: seed})
    assert found.tolist() == [[[1, 1], [0, 0], [1, 0]]]


def test_scales_and_bytes_have_no_gradient():
    """They are held fixed."""
    body = "q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z)"
    model = net(body, {"x": (2,), "s": ()}, {"z": np.array(0, np.int8)}, dtype=np.float32)
    with pytest.raises(MethodUnsupported, match="'y' does not depend on 's'"):
        differentiate(model, "s")
    with pytest.raises(InvalidRequest, match="'q' holds no real numbers"):
        differentiate(model, "q")


def test_a_model_that_is_not_quantised_has_no_note():
    """Nor a property that says nothing."""
    assert not differentiate(mlp()).metadata_props
    assert run(differentiate(mlp()), {"x": normal(1, 5), SEED: np.ones((1, 3))})[RESULT].shape == (1, 5)
