"""What multiplies and shifts channels is taken into the layer before; oracle: the graph as it was, in float64."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from tests.models.nets import attention, cnn, mlp, net, normal
from tests.oracles.reference import run

from whybox_server.graph.gradient import RESULT, SEED, differentiate

RNG = np.random.default_rng(12)
STEP = 1e-6
NORM = {"s": 1 + normal(4) ** 2, "b": normal(4), "m": normal(4) * 2, "v": 0.5 + normal(4) ** 2}
BEHIND = "n = BatchNormalization<epsilon=0.01>(c, s, b, m, v)"
LAYERS = {
    "convolution": ("c = Conv<strides=[2, 1], pads=[1, 0, 1, 2]>(x, w, o)", (4, 2, 3, 3), (2, 2, 6, 5)),
    "convolution in groups": ("c = Conv<group=2>(x, w)", (4, 1, 3, 3), (2, 2, 6, 5)),
    "convolution of sequences": ("c = Conv(x, w, o)", (4, 2, 3), (2, 2, 6)),
    "transposed convolution": ("c = ConvTranspose<strides=[2, 2]>(x, w, o)", (2, 4, 3, 3), (2, 2, 3, 3)),
    "transposed in groups": ("c = ConvTranspose<group=2>(x, w)", (4, 2, 3, 3), (2, 4, 3, 3)),
    "dense": ("c = Gemm<alpha=0.5, beta=2.0>(x, w, o)", (3, 4), (2, 3)),
    "dense, turned": ("c = Gemm<transB=1>(x, w)", (4, 3), (2, 3)),
}
NETS = {"mlp": (mlp, (3, 5)), "cnn": (cnn, (3, 2, 9, 8)), "attention": (attention, (3, 4, 6))}


def ops(model: ModelProto) -> Counter[str]:
    """Of the forward pass, which comes first."""
    end = next(i for i, node in enumerate(model.graph.node) if node.output[0] == "y")
    return Counter(node.op_type for node in model.graph.node[: end + 1])


def check(model: ModelProto, shape: tuple[int, ...]) -> ModelProto:
    """The differentiated model, after comparing its scores and its gradient with the original's."""
    x = RNG.normal(size=shape)
    y = run(model, {"x": x})["y"]
    v, u = RNG.normal(size=y.shape), RNG.normal(size=shape)
    gradient = differentiate(model)
    found = run(gradient, {"x": x, SEED: v})
    np.testing.assert_allclose(found["y"], y, rtol=1e-12, atol=1e-12)  # rounding
    up, down = (run(model, {"x": x + sign * STEP * u})["y"] for sign in (1, -1))
    assert np.vdot(found[RESULT], u) == pytest.approx(np.vdot(v, up - down) / (2 * STEP), rel=1e-6, abs=1e-6)
    return gradient


@pytest.mark.parametrize("layer", LAYERS)
def test_a_normalisation_disappears_into_the_layer_before(layer):
    """With the Mul and Add of old files behind it, too; the scores stay what they were."""
    body, kernel, shape = LAYERS[layer]
    rank = len(shape)
    weights = NORM | {"w": normal(*kernel), "o": normal(4), "k": normal(4, *[1] * (rank - 2)), "t": normal(1)}
    model = net(f"{body} {BEHIND} p = Mul(k, n) q = Add(p, t) y = Tanh(q)", {"x": shape}, weights)
    assert ops(check(model, shape)) == Counter(
        [body.split("=")[1].strip().split("<")[0].split("(")[0], "Tanh"]
    )


@pytest.mark.parametrize(
    ("body", "stays"),
    [
        ("n = BatchNormalization(x, s, b, m, v) y = Conv(n, w)", "BatchNormalization"),  # it comes before
        (f"c = Conv(x, w) {BEHIND} y = Add(n, c)", "BatchNormalization"),  # c is read twice
        (f"c = Conv(x, w) {BEHIND} y = Mul(n, full)", "Mul"),  # a number per place
        ("c = Conv(x, w) n = Tanh(c) y = Mul(n, k)", "Mul"),  # a nonlinearity is between
        ("c = Conv(x, w) y = Mul(c, c)", "Mul"),  # no constant
        ("c = Conv(x, w) y = Mul(c, row)", "Mul"),  # a number per column
        ("c = Conv(x, w) y = Add(c, more)", "Add"),  # of a higher rank
    ],
)
def test_what_cannot_be_merged_exactly_stays(body, stays):
    """And is differentiated as it is."""
    weights = NORM | {"w": normal(4, 4, 1, 1), "k": normal(4, 1, 1), "full": normal(4, 3, 4)}
    weights |= {"row": normal(4), "more": normal(1, 1, 1, 1, 1)}
    assert ops(check(net(body, {"x": (2, 4, 3, 4)}, weights), (2, 4, 3, 4)))[stays] == 1


def test_a_bias_per_row_stays():
    """A Gemm's C may be a column, which is not one number per channel, even if the lengths agree."""
    weights = {"w": normal(3, 4), "o": normal(4, 1), "k": normal(4)}
    gradient = check(net("c = Gemm(x, w, o) y = Mul(c, k)", {"x": (4, 3)}, weights), (4, 3))
    assert ops(gradient) == Counter(["Gemm", "Mul"])


@pytest.mark.parametrize(("wrt", "of"), [("c", None), ("x", "c")])
def test_a_tensor_that_is_asked_for_by_name_keeps_its_value(wrt, of):
    """Or a gradient with respect to it would be that of another tensor."""
    model = net(f"c = Conv(x, w) {BEHIND} y = Relu(n)", {"x": (1, 2, 3, 3)}, NORM | {"w": normal(4, 2, 1, 1)})
    gradient = differentiate(model, wrt, of)
    end = gradient.graph.node[0]
    assert (end.op_type, end.output[0], end.input[1]) == ("Conv", "c", "w")


def test_large_weights_are_merged_too():
    """They are set aside while the graph is worked on, and only the product is in the file."""
    weights = NORM | {"w": normal(4, 300, 3, 3)}
    gradient = check(
        net(f"c = Conv(x, w) {BEHIND} y = Relu(n)", {"x": (1, 300, 4, 4)}, weights), (1, 300, 4, 4)
    )
    large = [tensor for tensor in gradient.graph.initializer if len(tensor.raw_data) > 9000]
    assert [tensor.name for tensor in large] == ["n/weight"]
    assert {entry.name for entry in gradient.graph.input} == {"x", SEED}


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("name", NETS)
def test_the_scores_of_the_gradient_model_are_the_models(name, dtype):
    """Both in the runtime, with all of its optimisations: a few roundings of the largest score apart."""
    build, shape = NETS[name]
    model, x = build(dtype), RNG.normal(size=shape).astype(dtype)
    (y,) = session(model).run(["y"], {"x": x})
    (said,) = session(differentiate(model)).run(["y"], {"x": x, SEED: np.zeros_like(y)})
    np.testing.assert_allclose(said, y, atol=4 * np.finfo(dtype).eps * np.abs(y).max())


def session(model: ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
