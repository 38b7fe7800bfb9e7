"""Relevance: each rule against its formula unit by unit, and the axioms that hold for whole nets."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from tests.models.nets import attention, cnn, mlp, net, normal
from tests.oracles import lrp as oracle
from tests.oracles.reference import evaluator, run

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient import LARGEST, RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import composite
from whybox_server.graph.lrp import COMPOSITES

LRP_0 = {"composite": "epsilon", "epsilon": 0.0, "stabilizer": 0.0}
BOX = {"low": -4.0, "high": 4.0}
OPTIONS = {
    name: {"composite": name, **(BOX if "box" in name or "bounded" in name else {})} for name in COMPOSITES
}


@pytest.fixture
def rng():
    return np.random.default_rng(5)


composites = pytest.mark.parametrize("name", COMPOSITES)


def relevance(model, x, seed, options, of="y", wrt="x"):
    """Of the scores that the seed picks, for every number of x."""
    return run(differentiate(model, wrt, of, composite("lrp", options)), {"x": x, SEED: seed})


def picked(rows, classes):
    """Each row's seed: a class after the other."""
    return np.eye(classes)[np.arange(rows) % classes]


# One linear layer: body, shape of x, weights.
LAYERS = {
    "conv": (
        "y = Conv<pads=[1, 0, 1, 1], strides=[2, 1], group=2>(x, w, b)",
        (4, 5, 4),
        {"w": normal(6, 2, 3, 2), "b": normal(6)},
    ),
    "conv_without_bias": ("y = Conv<dilations=[2, 1]>(x, w)", (2, 5, 4), {"w": normal(3, 2, 2, 2)}),
    "conv_transpose": (
        "y = ConvTranspose<strides=[2, 2], output_padding=[1, 0]>(x, w, b)",
        (3, 3, 2),
        {"w": normal(3, 2, 2, 3), "b": normal(2)},
    ),
    "gemm": (
        "y = Gemm<transB=1, alpha=-0.5, beta=2.0>(x, w, b)",
        (5,),
        {"w": normal(4, 5), "b": normal(4)},
    ),
    "matmul_add": ("m = MatMul(x, w) y = Add(b, m)", (2, 5), {"w": normal(5, 4), "b": normal(4)}),
    "from_the_left": ("y = MatMul(w, x)", (5, 3), {"w": normal(4, 5)}),
    "einsum": ('y = Einsum<equation="nij,kj->nik">(x, w)', (2, 5), {"w": normal(4, 5)}),
}
RULES = {
    "epsilon:0.1": lambda x, w, b, r: oracle.epsilon(x, w, b, r, 0.1),
    "z_plus": oracle.z_plus,
    "alpha_beta:1.5": lambda x, w, b, r: oracle.alpha_beta(x, w, b, r, 1.5),
    "gamma:0.3": lambda x, w, b, r: oracle.gamma(x, w, b, r, 0.3),
    "z_box": lambda x, w, b, r: oracle.z_box(x, w, b, r, np.full(x.shape, -4.0), np.full(x.shape, 4.0)),
    "flat": oracle.flat,
    "w_square": oracle.w_square,
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("layer", LAYERS)
def test_a_rule_shares_as_its_formula_says(layer, rule, rng):
    """Signed inputs, weights and biases; the layer as a matrix is the oracle's, the operator ours."""
    body, shape, weights = LAYERS[layer]
    model = net(body, {"x": ("n", *shape)}, weights)
    x = rng.normal(size=(2, *shape))
    y = run(model, {"x": x})["y"]
    seed = rng.normal(size=y.shape)
    found = relevance(model, x, seed, {"layers": (("y" if "m =" not in body else "m", rule),), **BOX})[RESULT]
    w, b = oracle.matrix(lambda row: run(model, {"x": row})["y"], shape)
    for row in range(len(x)):
        r = (seed * y)[row].reshape(-1)
        expected = RULES[rule](x[row].reshape(-1), w, b, r).reshape(shape)
        np.testing.assert_allclose(found[row], expected, rtol=1e-9, atol=1e-12)


BEFORE = {
    "signed": "Gelu(x)",
    "rectified": "Relu(x)",
    "cut_off": "Clip(x, half, six)",
    "cut_off_below_zero": "Clip(x, less, six)",
    "sum_of_both": "Add(r, x)",
    "sum_of_rectified": "Add(r, six)",
    "linear": "MatMul(r, w)",
}


@pytest.mark.parametrize("rule", ["z_plus", "alpha_beta:1.5", "gamma:0.3"])
@pytest.mark.parametrize("before", BEFORE)
def test_negative_inputs_are_left_out_only_where_there_are_none(before, rule, rng):
    """What is known of signs saves work and changes nothing."""
    numbers = {"half": np.array(0.5), "six": np.array(6.0), "less": np.array(-0.5)}
    weights = {"w": normal(5, 5), "v": normal(5, 4), **numbers}
    model = net(f"r = Relu(x) h = {BEFORE[before]} y = MatMul(h, v)", {"x": ("n", 5)}, weights, opset=20)
    model.graph.output.add(name="h").type.tensor_type.elem_type = 11
    x, seed = rng.normal(size=(2, 5)), rng.normal(size=(2, 4))
    found = relevance(model, x, seed, {"layers": (("y", rule),)}, wrt="h")
    for row in range(2):
        r = seed[row] * found["y"][row]
        expected = RULES[rule](found["h"][row], weights["v"], np.zeros(4), r)
        np.testing.assert_allclose(found[RESULT][row], expected, rtol=1e-9, atol=1e-12)


def test_a_bias_behind_what_is_explained_takes_no_part(rng):
    """The score is that of the product, before the bias is added; and of a sum that two read."""
    weights = {"w": normal(5, 4), "b": normal(4)}
    model = net("m = MatMul(x, w) y = Add(b, m)", {"x": ("n", 5)}, weights)
    x, seed = rng.normal(size=(1, 5)), rng.normal(size=(1, 4))
    found = relevance(model, x, seed, {"composite": "epsilon"}, of="m")
    expected = oracle.epsilon(x[0], weights["w"], np.zeros(4), (seed * found["m"])[0])
    np.testing.assert_allclose(found[RESULT][0], expected, rtol=1e-9)


def test_what_comes_before_the_first_layer_does_not_hide_it(rng):
    """A graph may normalise its input itself."""
    body = "s = Sub(x, mean) d = Div(s, deviation) c = Conv(d, w) r = Relu(c) y = Conv(r, v)"
    weights = {"mean": normal(2, 1, 1), "deviation": 1 + normal(2, 1, 1) ** 2, "w": normal(3, 2, 2, 2)}
    model = net(body, {"x": ("n", 2, 4, 4)}, {**weights, "v": normal(2, 3, 2, 2)})
    x, seed = rng.normal(size=(1, 2, 4, 4)), rng.normal(size=(1, 2, 2, 2))
    found = relevance(model, x, seed, {"composite": "epsilon_plus_flat"})[RESULT]
    named = relevance(model, x, seed, {"composite": "epsilon_plus", "layers": (("c", "flat"),)})[RESULT]
    np.testing.assert_array_equal(found, named)


def chain():
    """Two convolutions, a pool, two dense layers: (n, 2, 6, 6) -> (n, 3)."""
    body = """
      c1 = Conv<pads=[1, 1, 1, 1]>(x, w1, b1) r1 = Relu(c1) p1 = MaxPool<kernel_shape=[2, 2], strides=[2, 2]>(r1)
      c2 = Conv(p1, w2, b2) r2 = Relu(c2) f = Flatten(r2) y = Gemm(f, w3, b3)
    """
    weights = {
        "w1": normal(4, 2, 3, 3),
        "b1": normal(4),
        "w2": normal(3, 4, 2, 2),
        "b2": normal(3),
        "w3": normal(12, 3),
        "b3": normal(3),
    }
    return net(
        body, {"x": ("n", 2, 6, 6)}, weights, outputs=("c1", "r1", "p1", "c2", "r2", "f", "y")
    ), weights


EXPECTED = {  # rules of the first convolution, the second, and the dense layer
    "epsilon": ("epsilon", "epsilon", "epsilon"),
    "epsilon_plus": ("z_plus", "z_plus", "epsilon"),
    "epsilon_plus_flat": ("flat", "z_plus", "epsilon"),
    "epsilon_alpha2_beta1": ("alpha_beta", "alpha_beta", "epsilon"),
    "epsilon_alpha2_beta1_flat": ("flat", "alpha_beta", "epsilon"),
    "epsilon_gamma_box": ("z_box", "gamma", "epsilon"),
    "alpha1_beta0": ("z_plus", "z_plus", "z_plus"),
    "excitation_backprop": ("z_plus", "z_plus", "z_plus"),
    "deep_taylor": ("w_square", "z_plus", "z_plus"),
    "deep_taylor_bounded": ("z_box", "z_plus", "z_plus"),
}


@composites
def test_a_composite_gives_each_layer_its_rule(name, rng):
    """Layer by layer with the slow formulas, from the score back to the pixels."""
    model, weights = chain()
    x = rng.normal(size=(1, 2, 6, 6))
    values = {"x": x, **run(model, {"x": x})}
    seed = picked(1, 3)
    r = (seed * values["y"])[0]
    dense, second, first = ("f", "y", "w3", "b3"), ("p1", "c2", "w2", "b2"), ("x", "c1", "w1", "b1")
    for (source, made, w, b), rule in zip((dense, second, first), reversed(EXPECTED[name]), strict=True):
        shape = values[source].shape[1:]
        op = "Gemm(q, w, b)" if made == "y" else f"Conv<pads={[int(made == 'c1')] * 4}>(q, w, b)"
        bias = weights[b] * (not name.startswith("deep_taylor"))
        layer = net(f"y = {op}", {"q": ("n", *shape)}, {"w": weights[w], "b": bias})
        matrix = oracle.matrix(lambda row, layer=layer: run(layer, {"q": row})["y"], shape)
        bounds = [np.full(int(np.prod(shape)), bound) for bound in (-4.0, 4.0)] if rule == "z_box" else ()
        r = getattr(oracle, rule)(values[source].reshape(-1), *matrix, r.reshape(-1), *bounds).reshape(shape)
        if made == "c2":
            r = oracle.winner(values["r1"][0], r, 2)
    found = relevance(model, x, seed, OPTIONS[name])[RESULT]
    np.testing.assert_allclose(found[0], r, rtol=1e-8, atol=1e-11)


def unbiased():
    """A residual net without biases, so wide that every unit has positive and negative contributions."""
    body = """
      c1 = Conv(x, w1) r1 = Relu(c1) p1 = MaxPool<kernel_shape=[2, 2], strides=[1, 1]>(r1)
      c2 = Conv<pads=[1, 1, 1, 1]>(p1, w2) s = Add(c2, p1) r2 = Relu(s) p2 = AveragePool<kernel_shape=[2, 2]>(r2)
      f = Flatten(p2) h = MatMul(f, w3) g = Gelu(h) y = MatMul(g, w4)
    """
    weights = {"w1": normal(8, 4, 3, 3), "w2": normal(8, 8, 3, 3), "w3": normal(32, 40), "w4": normal(40, 3)}
    return net(body, {"x": ("n", 4, 6, 6)}, weights, opset=20)


@composites
def test_without_biases_relevance_is_conserved(name, rng):
    """Per row, through pools, a residual and an activation; 1e-4 for the stabilizers."""
    x = rng.normal(size=(4, 4, 6, 6))
    scores = run(unbiased(), {"x": x})["y"]
    assert scores.max(axis=1).min() > 0, "a negative score has no positive part to be shared by"
    seed = np.eye(3)[scores.argmax(axis=1)]
    found = relevance(unbiased(), x, seed, OPTIONS[name])[RESULT]
    np.testing.assert_allclose(found.reshape(4, -1).sum(axis=1), scores.max(axis=1), rtol=1e-4)


@pytest.mark.parametrize("name", ["epsilon", "epsilon_plus", "epsilon_plus_flat", "epsilon_gamma_box"])
def test_biases_can_be_left_out(name, rng):
    """Then what they gave to the score is shared by the inputs, in convolutions and dense layers."""
    model, _ = chain()
    x, seed = rng.normal(size=(2, 2, 6, 6)), picked(2, 3)
    found = relevance(model, x, seed, {**OPTIONS[name], "zero_bias": True})
    total = found[RESULT].reshape(2, -1).sum(axis=1)
    np.testing.assert_allclose(total, (found["y"] * seed).sum(axis=1), rtol=1e-3)


def test_with_epsilon_zero_it_is_gradient_times_input(rng):
    """On a piecewise linear net without biases (Shrikumar et al. 2016)."""
    body = "a = MatMul(x, w1) h = Relu(a) b = MatMul(h, w2) s = Add(b, h) p = Relu(s) y = MatMul(p, w3)"
    model = net(body, {"x": ("n", 5)}, {"w1": normal(5, 6), "w2": normal(6, 6), "w3": normal(6, 3)})
    x, seed = rng.normal(size=(4, 5)), picked(4, 3)
    found = relevance(model, x, seed, LRP_0)[RESULT]
    gradient = run(differentiate(model), {"x": x, SEED: seed})[RESULT]
    np.testing.assert_allclose(found, x * gradient, rtol=1e-9, atol=1e-12)


def test_a_score_of_zero_has_no_relevance():
    """Whatever the stabilizers, zero included."""
    model = net(
        "h = MatMul(x, w) a = Relu(h) y = MatMul(a, v)",
        {"x": ("n", 3)},
        {"w": normal(3, 3), "v": normal(3, 2)},
    )
    for options in ({"composite": "epsilon"}, LRP_0):
        found = relevance(model, np.zeros((1, 3)), np.ones((1, 2)), options)[RESULT]
        assert found.tolist() == [[0, 0, 0]]


@pytest.mark.parametrize(
    "name", ["alpha1_beta0", "excitation_backprop", "deep_taylor", "deep_taylor_bounded"]
)
@pytest.mark.parametrize(("build", "shape", "of"), [(mlp, (9, 5), "z"), (cnn, (9, 2, 9, 8), "y")])
def test_positive_rules_keep_positive_scores_positive(build, shape, of, name, rng):
    """Montavon et al. 2017, definition 2."""
    x = rng.normal(size=shape)
    scores = run(differentiate(build(), None, of), {"x": x, SEED: picked(9, 3)})[of]
    found = relevance(build(), x, (scores > 0).astype(float), OPTIONS[name], of)[RESULT]
    assert found.min() >= 0
    assert found.max() > 0


@composites
@pytest.mark.parametrize(
    ("build", "shape", "of"), [(mlp, (3, 5), "z"), (cnn, (3, 2, 9, 8), "y"), (attention, (3, 4, 6), "y")]
)
def test_a_batch_is_explained_as_its_rows_are_one_by_one(build, shape, of, name, rng):
    """And so is the largest relevance on the way."""
    x, seed = rng.normal(size=shape), picked(shape[0], 3)
    ask = evaluator(differentiate(build(), None, of, composite("lrp", OPTIONS[name])))
    together = ask({"x": x, SEED: seed})
    for row in range(len(x)):
        alone = ask({"x": x[row : row + 1], SEED: seed[row : row + 1]})
        for output in (RESULT, LARGEST):
            np.testing.assert_allclose(alone[output][0], together[output][row], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ["epsilon_alpha2_beta1_flat", "epsilon_gamma_box", "deep_taylor"])
def test_the_runtime_computes_the_same(name, rng):
    """In float32, with all of its optimisations: 1e-5 of the largest relevance."""
    x, seed = rng.normal(size=(3, 2, 9, 8)), picked(3, 3)
    exact = relevance(cnn(), x, seed, OPTIONS[name])[RESULT]
    graph = differentiate(cnn(np.float32), rules=composite("lrp", OPTIONS[name]))
    session = ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    (single,) = session.run([RESULT], {"x": x.astype(np.float32), SEED: seed.astype(np.float32)})
    np.testing.assert_allclose(single, exact, atol=1e-5 * np.abs(exact).max())


def test_half_precision_stays_finite():
    """A negative score has no positive part: in float16 it divided by 1e-6 is infinite, and times 0 no number.

    In numpy, which keeps to float16; the runtime computes in float32 on a CPU, and not on a GPU.
    """
    model = net("y = MatMul(x, w)", {"x": ("n", 3)}, {"w": -np.ones((3, 2))}, dtype=np.float16)
    graph = differentiate(model, rules=composite("lrp", {"composite": "alpha1_beta0"}))
    found = run(graph, {"x": np.ones((1, 3), np.float16), SEED: np.ones((1, 2), np.float16)})
    assert found[RESULT].tolist() == [[0, 0, 0]]


def test_the_first_of_equal_maxima_takes_all():
    """As torch does, and nothing is lost."""
    model = net("y = MaxPool<kernel_shape=[2]>(x)", {"x": ("n", 1, 3)}, {})
    found = relevance(model, np.array([[[2.0, 2.0, 1.0]]]), np.ones((1, 1, 2)), {})[RESULT]
    assert found.tolist() == [[[2, 2, 0]]]


def test_summands_share_by_what_they_gave():
    """A difference from a mean: the second with its sign, the mean by its own summands."""
    body = "a = Tanh(x) b = ReduceMean<keepdims=1>(x, axes) y = Sub(a, b)"
    model = net(body, {"x": ("n", 3)}, {"axes": np.array([1])})
    x, seed = np.array([[1.0, 2.0, 4.0]]), np.array([[1.0, -1.0, 2.0]])
    found = relevance(model, x, seed, {})
    a, b = np.tanh(x[0]), np.full(3, x.mean())
    first, second = oracle.norm([a, -b], seed[0] * (a - b))
    expected = first + np.array(oracle.norm([*(x[0] / 3)], second.sum()))
    np.testing.assert_allclose(found[RESULT][0], expected, rtol=1e-9)


ACTIVATIONS = {
    "silu": "g = Sigmoid(h) y = Mul(h, g)",
    "hard_swish": "a = Add(h, three) c = Clip(a, zero, six) m = Mul(h, c) y = Div(m, six)",
    "gelu_with_erf": "d = Div(h, six) e = Erf(d) a = Add(e, three) m = Mul(h, a) y = Mul(m, six)",
    "gelu_halved_first": "d = Div(h, six) e = Erf(d) a = Add(e, three) m = Mul(h, six) y = Mul(m, a)",
    "gelu_with_tanh": """c = Pow(h, three) k = Mul(c, six) s = Add(h, k) t = Tanh(s) a = Add(three, t)
        m = Mul(h, a) y = Mul(m, six)""",
    "mish": "y = Mish(h)",
    "leaky": "y = LeakyRelu(h)",
    "softplus_of_shifted": "a = Sub(h, three) y = Softplus(a)",
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_an_activation_passes_relevance_on_as_it_is(name, rng):
    """Also one that exporters write as a product of a tensor and a function of it."""
    body = f"a0 = MatMul(x, w) b0 = MatMul(x, v) h = Add(a0, b0) {ACTIVATIONS[name]}"
    numbers = {"three": np.array(3.0), "six": np.array(6.0), "zero": np.array(0.0)}
    model = net(body, {"x": ("n", 3)}, {"w": normal(3, 4), "v": normal(3, 4) * 2, **numbers})
    x, seed = rng.normal(size=(2, 3)), rng.normal(size=(2, 4))
    found = relevance(model, x, seed, {}, wrt="h")
    np.testing.assert_allclose(found[RESULT], seed * found["y"], rtol=1e-12)


@pytest.mark.parametrize(
    "gate",
    ["g = Sigmoid(s)", "a = Sub(s, three) c = Clip(a, low, six) d = Div(c, six) e = Exp(d) g = Tanh(e)"],
)
def test_factors_that_both_depend_on_the_input_get_half_each(gate, rng):
    """A gate that reads all channels, as in squeeze and excitation; nothing is lost."""
    numbers = {"three": np.array(3.0), "six": np.array(6.0), "low": np.array(-6.0)}
    body = f"s = MatMul(x, w) {gate} t = Tanh(x) y = Mul(t, g)"
    model = net(body, {"x": ("n", 3)}, {"w": normal(3, 3), **numbers})
    x, seed = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    found = relevance(model, x, seed, {"composite": "epsilon"})
    for row in range(2):
        half = (seed * found["y"])[row] / 2
        expected = half + oracle.epsilon(x[row], normal(3, 3), np.zeros(3), half)
        np.testing.assert_allclose(found[RESULT][row], expected, rtol=1e-9)
    alone = relevance(model, x, seed, {}, wrt="g")
    np.testing.assert_allclose(alone[RESULT], seed * alone["y"], rtol=1e-12, err_msg="t counts as constant")


def test_a_product_of_matrices_shares_by_its_summands(rng):
    """Achtibat et al. 2024, proposition 3.3: r_ij = sum_k a_ij v_jk r_ik / (2 z_ik), and so for v."""
    model = net("a = Tanh(x) v = Sin(x) y = MatMul(a, v)", {"x": ("n", 3, 3)}, {})
    x, seed = rng.normal(size=(1, 3, 3)), rng.normal(size=(1, 3, 3))
    found = relevance(model, x, seed, {"stabilizer": 0.0})
    a, v, z = np.tanh(x[0]), np.sin(x[0]), found["y"][0]
    parts = a[:, :, None] * v[None, :, :] / z[:, None, :] * (seed[0] * z)[:, None, :] / 2  # (i, j, k)
    np.testing.assert_allclose(found[RESULT][0], parts.sum(axis=2) + parts.sum(axis=0), rtol=1e-9)


def test_softmax_takes_off_what_all_have_in_common(rng):
    """Achtibat et al. 2024, proposition 3.1: x (r - y sum(r)); what is masked out by -inf has none."""
    model = net("m = Add(x, mask) y = Softmax(m)", {"x": ("n", 3)}, {"mask": np.array([0.0, 0.0, -np.inf])})
    x, seed = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    found = relevance(model, x, seed, {})
    y = found["y"]
    expected = x * (seed * y - y * (seed * y).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found[RESULT], np.where([True, True, False], expected, 0), rtol=1e-12)


def test_normalisations_pass_relevance_on(rng):
    """Their statistics count as constants; so do an affine map and a division behind them."""
    body = "n = LayerNormalization(x, s, o) m = Mul(n, s) a = Add(m, o) y = Div(a, s)"
    model = net(body, {"x": ("n", 4)}, {"s": 1 + normal(4) ** 2, "o": normal(4)})
    x, seed = rng.normal(size=(2, 4)), rng.normal(size=(2, 4))
    found = relevance(model, x, seed, {})
    np.testing.assert_allclose(found[RESULT], seed * found["y"], rtol=1e-12)


def test_a_small_denominator_shows_in_the_largest_relevance():
    """1 - 0.999 shares its 0.001 as 1 and -0.999: a thousandfold. A row without that is not blamed."""
    model = net("y = MatMul(x, w)", {"x": ("n", 2)}, {"w": np.array([[1.0], [-0.999]])})
    found = relevance(model, np.array([[1.0, 1.0], [0.0, 1.0]]), np.ones((2, 1)), LRP_0)
    np.testing.assert_allclose(found["y"], [[0.001], [-0.999]], rtol=1e-9)
    np.testing.assert_allclose(found[LARGEST], [1.0, 0.999], rtol=1e-9)


def test_the_largest_relevance_may_lie_between_input_and_score():
    """Two paths that cancel each other on the way: the input sees nothing of it."""
    body = "h = MatMul(x, w) a = Add(h, zero) y = MatMul(a, v)"
    weights = {"w": np.array([[1.0, 1.0]]), "zero": np.zeros(2), "v": np.array([[1.0], [-0.99]])}
    found = relevance(net(body, {"x": ("n", 1)}, weights), np.ones((1, 1)), np.ones((1, 1)), LRP_0)
    np.testing.assert_allclose(found[RESULT], [[0.01]], rtol=1e-9)
    np.testing.assert_allclose(found[LARGEST], [1.0], rtol=1e-9)


def test_tensors_whose_first_axis_is_no_row_are_not_looked_at(rng):
    """Their largest numbers belong to no row in particular."""
    body = "t = Transpose<perm=[1, 0]>(x) h = MatMul(w, t) b = Transpose<perm=[1, 0]>(h) y = MatMul(b, v)"
    model = net(body, {"x": ("n", 2)}, {"w": normal(3, 2), "v": normal(3, 4)})
    x, seed = rng.normal(size=(5, 2)), np.ones((5, 4))
    found = relevance(model, x, seed, {"composite": "epsilon"})
    at_b = relevance(model, x, seed, {"composite": "epsilon"}, wrt="b")
    sizes = np.concatenate([np.abs(found["y"]), np.abs(at_b[RESULT])], axis=1)
    np.testing.assert_allclose(found[LARGEST], sizes.max(axis=1), rtol=1e-9)


def test_callers_name_layers_by_node_output_or_weight(rng):
    """Patterns; the first that matches counts; the rest follow the composite."""
    model, _ = chain()
    x, seed = rng.normal(size=(1, 2, 6, 6)), picked(1, 3)
    flat = relevance(model, x, seed, {"composite": "epsilon_plus_flat"})[RESULT]
    plus = {"composite": "epsilon_plus"}
    for pattern in ("c1", "w1", "?1"):
        named = relevance(model, x, seed, {**plus, "layers": ((pattern, "flat"), ("*", "z_plus"))})[RESULT]
        assert not np.allclose(named, flat), "the dense layer follows z_plus"
        named = relevance(model, x, seed, {**plus, "layers": ((pattern, "flat"), ("y", "epsilon"))})[RESULT]
        np.testing.assert_array_equal(named, flat)


def test_a_layer_that_is_not_there_gets_the_nearest_names():
    """A name that is there, but of a node that takes no such rule, counts as not there."""
    model, _ = chain()
    for pattern, rule in (("conv1", "gamma"), ("r1", "gamma"), ("c1", "norm")):
        with pytest.raises(InvalidRequest, match=f"named '{pattern}'") as refused:
            differentiate(model, rules=composite("lrp", {"layers": ((pattern, rule),)}))
        assert refused.value.violations[0].field == "layers"
    with pytest.raises(InvalidRequest, match=r"named 'c11'; did you mean c1 or"):
        differentiate(model, rules=composite("lrp", {"layers": (("c11", "gamma"),)}))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epsilonn": 1.0}, "epsilonn: there is no such option; did you mean epsilon"),
        ({"composite": "epsilon_flat"}, "did you mean epsilon_plus_flat"),
        ({"epsilon": -1.0}, "epsilon: must be a number that is not negative"),
        ({"gamma": float("nan")}, "gamma: must be"),
        ({"zero_bias": "no"}, "zero_bias: must be 0 or 1"),
        ({"alpha": 2.0, "beta": 0.5}, "beta: must be alpha - 1"),
        ({"alpha": 0.5}, "alpha: must be at least 1"),
        ({"composite": "epsilon_gamma_box"}, "low: z_box needs it.*high: z_box needs it"),
        ({"low": 1.0, "high": 0.0}, "high: must be above low"),
        ({"low": (0.0, 0.0), "high": (1.0, 1.0, 1.0)}, "high: must be above low"),
        ({"layers": (("c", "zplus"),)}, r"layers\[0\]: there is no rule 'zplus'; did you mean z_plus"),
        ({"layers": (("c", "flat:2"),)}, "flat takes no number"),
        ({"layers": (("c", "gamma:x"),)}, "'x' is no number that gamma takes"),
        ({"layers": (("c", "alpha_beta:0.5"),)}, "'0.5' is no number that alpha_beta takes"),
    ],
)
def test_wrong_options_are_named(options, said):
    """All at once, with what would have been right."""
    with pytest.raises(InvalidRequest, match=said):
        composite("lrp", options)


def test_bounds_per_channel(rng):
    """As many as channels, else it is said; equal ones are one."""
    model, _ = chain()
    x, seed = rng.uniform(-1, 1, size=(1, 2, 6, 6)), picked(1, 3)
    one = relevance(model, x, seed, {"composite": "epsilon_gamma_box", "low": -1.0, "high": 1.0})[RESULT]
    bounds = {"low": (-1.0, -1.0), "high": (1.0, 1.0)}
    np.testing.assert_allclose(
        relevance(model, x, seed, {"composite": "epsilon_gamma_box", **bounds})[RESULT], one
    )
    with pytest.raises(InvalidRequest, match="low: 3 numbers for 2 channels; give one, or 2"):
        relevance(model, x, seed, {"composite": "epsilon_gamma_box", "low": (-1.0,) * 3, "high": 1.0})


def test_deep_taylor_is_bounded_by_what_the_caller_knows(rng):
    """Montavon et al. 2017, table 1: w^2 for any input, zB for a bounded one."""
    x, seed = rng.normal(size=(2, 2, 9, 8)), picked(2, 3)
    for given, name in (({}, "deep_taylor"), (BOX, "deep_taylor_bounded")):
        found = run(differentiate(cnn(), rules=composite("deep_taylor", given)), {"x": x, SEED: seed})[RESULT]
        np.testing.assert_array_equal(found, relevance(cnn(), x, seed, OPTIONS[name])[RESULT])
    with pytest.raises(InvalidRequest, match="high: z_box needs it"):
        composite("deep_taylor", {"low": 0.0})
    with pytest.raises(InvalidRequest, match="composite: deep_taylor is a composite itself"):
        composite("deep_taylor", {"composite": "epsilon"})


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("a = MatMul(x, w) y = ReduceProd(a)", "node 'y': there is no relevance rule for ReduceProd-18"),
        ("a = Tanh(x) y = LogSoftmax(a)", "LogSoftmax: relevance begins at a score"),
        ("a = Exp(x) y = Div(w, a)", "Div: what is explained only divides"),
        ("a = MatMul(w, x) y = Gemm(w, w, a)", "Gemm: its bias 'a' depends on what is explained"),
        ("a = Tanh(x) y = Pow(x, a)", "Pow: its 'a' depends on what is explained"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(body, said):
    """Relevance does not fall back to gradients silently."""
    with pytest.raises(MethodUnsupported, match=said):
        differentiate(net(body, {"x": (3, 3)}, {"w": normal(3, 3)}), rules=composite("lrp"))
