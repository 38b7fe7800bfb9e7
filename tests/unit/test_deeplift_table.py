"""DeepLIFT's multipliers; oracles: completeness, the paper's formulas unit by unit, and algebra.

Completeness: sum of m (x - r) equals seed . (f(x) - f(r)). It holds to rounding for every rule that is
not named as approximate, whatever the instance and its reference.
"""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, parser
from tests.contract.test_rules import cases_of, feeds_of, model_of, opset_of
from tests.models.nets import attention, cnn, embedded, mlp, net, normal
from tests.oracles.deeplift import Dense, multipliers
from tests.oracles.deeplift import score as slow_score
from tests.oracles.reference import run

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import composite
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT, RULE_NAMES
from whybox_server.graph.gradient.tables.deeplift.composite import APPROXIMATE, TABLE
from whybox_server.graph.gradient.twin import REFERENCE, REFERENCE_SCORE

QUADRATURE = {"GlobalLpPool", "LRN", "LpPool", "ReduceProd"}
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3


def gated(dtype: type = np.float64) -> ModelProto:
    """Squeeze and excitation, as exporters write it, SiLU, and a log-softmax: (n, 2, 6, 6) -> (n, 3)."""
    body = """
      c = Conv<pads=[1, 1, 1, 1]>(x, w1, b1) s = Sigmoid(c) a = Mul(c, s)
      g = GlobalAveragePool(a) g1 = Conv(g, w2) g2 = Relu(g1) g3 = Conv(g2, w3) gate = HardSigmoid(g3)
      h = Mul(a, gate) r = Relu(h) p = MaxPool<kernel_shape=[3, 3], strides=[2, 2]>(r)
      f = Flatten(p) z = Gemm(f, w4, b4) y = LogSoftmax(z)
    """
    weights = {
        "w1": normal(4, 2, 3, 3),
        "b1": normal(4),
        "w2": normal(2, 4, 1, 1),
        "w3": normal(4, 2, 1, 1),
        "w4": normal(16, 3),
        "b4": normal(3),
    }
    return net(body, {"x": ("n", 2, 6, 6)}, weights, dtype=dtype)


NETS = {
    "mlp": (mlp, (3, 5)),
    "cnn": (cnn, (3, 2, 9, 8)),
    "attention": (attention, (3, 4, 6)),
    "gated": (gated, (3, 2, 6, 6)),
}


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in whatever order tests run."""
    return np.random.default_rng(5)


nets = pytest.mark.parametrize("name", NETS)
rules = pytest.mark.parametrize("rule", RULE_NAMES)


def session(model: ModelProto) -> ort.InferenceSession:
    return ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])


def single(model: ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a float32 model by name, from onnxruntime."""
    runtime = session(model)
    names = [entry.name for entry in runtime.get_outputs()]
    return dict(
        zip(names, runtime.run(names, {k: v.astype(np.float32) for k, v in feeds.items()}), strict=True)
    )


def sums(values: np.ndarray) -> np.ndarray:
    """Row by row."""
    return values.reshape(len(values), -1).sum(axis=1)


def gaps_of(op: str, rng: np.random.Generator) -> list[tuple[float, float, str]]:
    """What contributions leave out, what they amount to, and the case, for every input that is taken."""
    found = []
    for version, case in (
        (version, case) for o, version in TABLE if o == op for case in cases_of(op, version)
    ):
        model, feeds = model_of(case, opset_of(op, version)), feeds_of(case)
        now = run(model, feeds)["y"]
        seed = rng.normal(size=now.shape)
        for name in sorted(feeds.keys() - {*case.frozen.split()}):
            try:
                explained = differentiate(model, name, rules=DEEPLIFT())
            except MethodUnsupported:
                continue
            x = feeds[name]
            reference = rng.permutation(x.reshape(-1)).reshape(x.shape) * rng.choice([1, 0.9], x.shape)
            before = run(model, {**feeds, name: reference})["y"]
            out = run(explained, {**feeds, REFERENCE: reference, SEED: seed})
            np.testing.assert_allclose(out[REFERENCE_SCORE], before, rtol=1e-12, atol=1e-12)
            parts = out[RESULT] * (x - reference)
            found.append((parts.sum() - np.vdot(seed, now - before), np.abs(parts).sum(), case.body))
    assert found, "no case is taken"
    return found


@pytest.mark.parametrize("op", sorted({op for op, _ in TABLE} - APPROXIMATE - QUADRATURE))
def test_contributions_of_every_operator_sum_to_its_difference(op, rng):
    """Every input of every case of the gradient's rules: 1e-6, by float32 inside onnx's own expansions."""
    for gap, size, body in gaps_of(op, rng):
        assert abs(gap) <= 1e-6 * max(size, 1), body


@pytest.mark.parametrize(("op", "most"), [("ReduceProd", 1e-9), ("LRN", 1e-4), ("LpPool", 0.3)])
def test_operators_without_a_closed_form_leave_little(op, most, rng):
    """A product is a polynomial and left exact; norms have a kink on the way to a reference behind 0."""
    for gap, size, body in gaps_of(op, rng):
        assert abs(gap) <= most * max(size, 1), body


@nets
@rules
def test_contributions_of_a_net_sum_to_the_difference_of_its_scores(name, rule, rng):
    """Rectified pools, a residual, batch normalisation, gates, attention: 1e-9 of the difference, row by row."""
    build, shape = NETS[name]
    x, reference, seed = rng.normal(size=shape) * 2, rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    found = run(differentiate(build(), rules=DEEPLIFT(rule)), {"x": x, REFERENCE: reference, SEED: seed})
    np.testing.assert_allclose(found[REFERENCE_SCORE], run(build(), {"x": reference})["y"], rtol=1e-12)
    expected = sums(seed * (found["y"] - found[REFERENCE_SCORE]))
    np.testing.assert_allclose(sums(found[RESULT] * (x - reference)), expected, rtol=1e-9, atol=1e-11)


@nets
@rules
def test_the_runtime_computes_the_same(name, rule, rng):
    """In float32: multipliers to 1e-4 of the largest, completeness to 1e-4 of the scores."""
    build, shape = NETS[name]
    feeds = {
        "x": rng.normal(size=shape),
        REFERENCE: rng.normal(size=shape),
        SEED: rng.normal(size=(shape[0], 3)),
    }
    exact = run(differentiate(build(), rules=DEEPLIFT(rule)), feeds)[RESULT]
    found = single(differentiate(build(np.float32), rules=DEEPLIFT(rule)), feeds)
    np.testing.assert_allclose(found[RESULT], exact, atol=1e-4 * np.abs(exact).max())
    given = sums(found[RESULT] * (feeds["x"] - feeds[REFERENCE]))
    expected = sums(feeds[SEED] * (found["y"] - found[REFERENCE_SCORE]))
    np.testing.assert_allclose(given, expected, atol=1e-4 * np.abs(expected).max())


@nets
@rules
def test_an_instance_that_is_its_own_reference_has_its_gradient(name, rule, rng):
    """dy / dx becomes the derivative, and nothing is divided by 0."""
    build, shape = NETS[name]
    x, seed = rng.normal(size=shape), rng.normal(size=(shape[0], 3))
    found = single(differentiate(build(np.float32), rules=DEEPLIFT(rule)), {"x": x, REFERENCE: x, SEED: seed})
    expected = run(differentiate(build()), {"x": x, SEED: seed})[RESULT]
    np.testing.assert_allclose(found[RESULT], expected, atol=1e-5 * np.abs(expected).max())


@nets
@rules
def test_rows_do_not_know_each_other(name, rule, rng):
    """Each has its own reference; explained together they are what they are alone."""
    build, shape = NETS[name]
    model = differentiate(build(), rules=DEEPLIFT(rule))
    feeds = {
        "x": rng.normal(size=shape),
        REFERENCE: rng.normal(size=shape),
        SEED: rng.normal(size=(shape[0], 3)),
    }
    together = run(model, feeds)[RESULT]
    for row in range(shape[0]):
        alone = run(model, {key: value[row : row + 1] for key, value in feeds.items()})[RESULT]
        np.testing.assert_allclose(alone[0], together[row], rtol=1e-10, atol=1e-13)


@rules
def test_a_linear_net_has_its_weights_for_multipliers(rule, rng):
    """m = W1 W2, wherever instance and reference are."""
    model = net("h = MatMul(x, v) b1 = Add(h, b) y = Gemm(b1, w)", {"x": ("n", 4)}, LINEAR)
    x, reference = rng.normal(size=(2, 5, 4))
    found = run(
        differentiate(model, rules=DEEPLIFT(rule)), {"x": x, REFERENCE: reference, SEED: np.eye(5, 2)}
    )
    np.testing.assert_allclose(found[RESULT], (LINEAR["v"] @ LINEAR["w"] @ np.eye(2, 5)).T, atol=1e-14)


LINEAR = {"v": normal(4, 3), "b": normal(3), "w": normal(3, 2)}


DENSE = {
    "gemm": "a = Gemm(x, w1, b1) h = Relu(a) c = Gemm(h, w2, b2) i = Relu(c) y = Gemm(i, w3, b3)",
    "matmul": "a0 = MatMul(x, w1) a = Add(b1, a0) h = Relu(a) c0 = MatMul(h, w2) c = Add(c0, b2) i = Relu(c) "
    "y0 = MatMul(i, w3) y = Add(y0, b3)",
    "turned": "a = Gemm<transB=1>(x, v1, b1) h = Relu(a) t = Transpose(h) c0 = MatMul(v2, t) c1 = Transpose(c0) "
    "c = Add(c1, b2) i = Relu(c) y = Gemm(i, w3, b3)",
}
SIZES = (4, 6, 5, 3)


@pytest.mark.parametrize("reveals", [False, True])
@pytest.mark.parametrize("body", ["gemm", "matmul"])
def test_dense_nets_follow_the_paper_unit_by_unit(body, reveals, rng):
    """Rescale and RevealCancel, for every output; one feature is the same in instance and reference."""
    weights = {f"w{i}": rng.normal(size=SIZES[i - 1 : i + 1]) for i in (1, 2, 3)}
    weights |= {f"b{i}": rng.normal(size=SIZES[i]) * 0.3 for i in (1, 2, 3)}
    layers = [Dense(weights[f"w{i}"], weights[f"b{i}"], i < 3, reveals) for i in (1, 2, 3)]
    model = net(DENSE[body], {"x": ("n", 4)}, weights)
    x, reference = rng.normal(size=(2, 3, 4))
    x[:, 1] = reference[:, 1]
    explained = differentiate(model, rules=DEEPLIFT("genomics" if reveals else "rescale"))
    for unit in range(3):
        seed = np.tile(np.eye(3)[unit], (3, 1))
        found = run(explained, {"x": x, REFERENCE: reference, SEED: seed})
        np.testing.assert_allclose(found["y"], [slow_score(layers, row) for row in x], atol=1e-12)
        expected = [multipliers(layers, *rows, unit) for rows in zip(x, reference, strict=True)]
        np.testing.assert_allclose(found[RESULT], expected, atol=1e-9)


def test_a_convolution_reveals_as_the_dense_layer_that_it_is(rng):
    """The same matrix, written as a Conv: its columns are its answers to unit images."""
    w, last, bias = rng.normal(size=(3, 2, 3, 3)), rng.normal(size=(48, 2)), rng.normal(size=3)
    body = "a = Conv<pads=[1, 1, 1, 1]>(x, w, b) h = Relu(a) f = Flatten(h) y = MatMul(f, last)"
    model = net(body, {"x": ("n", 2, 4, 4)}, {"w": w, "last": last, "b": bias})
    plain = net("a = Conv<pads=[1, 1, 1, 1]>(x, w) y = Flatten(a)", {"x": ("n", 2, 4, 4)}, {"w": w})
    matrix = run(plain, {"x": np.eye(32).reshape(32, 2, 4, 4)})["y"]
    layers = [
        Dense(matrix, np.repeat(bias, 16), reveals=True),
        Dense(last, np.zeros(2), rectified=False),
    ]
    x, reference = rng.normal(size=(2, 1, 2, 4, 4))
    feeds = {"x": x, REFERENCE: reference, SEED: np.eye(1, 2)}
    expected = multipliers(layers, x.reshape(-1), reference.reshape(-1), 0)
    found = run(differentiate(model, rules=DEEPLIFT("reveal_cancel")), feeds)[RESULT]
    np.testing.assert_allclose(found.reshape(-1), expected, atol=1e-9)
    rescaled, genomics = (run(differentiate(model, rules=DEEPLIFT(r)), feeds)[RESULT] for r in RULE_NAMES[:2])
    np.testing.assert_array_equal(rescaled, genomics, err_msg="convolutions are rescaled there")
    assert np.abs(found - rescaled).max() > 0.1


def minimum() -> ModelProto:
    """The paper's figure 3: min(i1, i2) = i1 - relu(i1 - i2)."""
    weights = {"w": np.array([[1.0], [-1.0]]), "first": np.array([[1.0], [0.0]])}
    body = "d = MatMul(x, w) h = Relu(d) i = MatMul(x, first) y = Sub(i, h)"
    return net(body, {"x": ("n", 2)}, weights)


def test_reveal_cancel_shares_a_minimum_as_the_paper_does():
    """From a reference of zeros rescale gives all of it to one input, RevealCancel half to each."""
    x = np.array([[5.0, 2.0], [2.0, 5.0]])
    feeds = {"x": x, REFERENCE: np.zeros((2, 2)), SEED: np.ones((2, 1))}
    shares = [run(differentiate(minimum(), rules=DEEPLIFT(rule)), feeds)[RESULT] * x for rule in RULE_NAMES]
    np.testing.assert_allclose(shares[0], [[0, 2], [2, 0]], atol=1e-12)
    np.testing.assert_allclose(shares[1], [[1, 1], [1, 1]], atol=1e-12)
    np.testing.assert_allclose(shares[2], [[1, 1], [1, 1]], atol=1e-12)


def test_a_saturated_unit_still_says_what_saturates_it():
    """The paper's figure 1: y = min(i1 + i2, 1) at (1, 1) has no gradient; each input is worth 1/2."""
    body = "s = ReduceSum<keepdims=1>(x, axes) d = Sub(one, s) h = Relu(d) y = Sub(one, h)"
    model = net(body, {"x": ("n", 2)}, {"axes": np.array([1]), "one": np.array(1.0)})
    feeds = {"x": np.ones((1, 2)), REFERENCE: np.zeros((1, 2)), SEED: np.ones((1, 1))}
    assert run(differentiate(model), feeds | {})[RESULT].tolist() == [[0, 0]]
    np.testing.assert_allclose(run(differentiate(model, rules=DEEPLIFT()), feeds)[RESULT], [[0.5, 0.5]])


@pytest.mark.parametrize(
    "body",
    [
        "a = Gemm(x, w) h = Relu(a) r = Mul(a, h) y = ReduceSum<keepdims=0>(r, axes)",
        "a = Gemm(x, w) h = Relu(a) b = Add(h, x) c = Relu(b) y = ReduceSum<keepdims=0>(c, axes)",
        "a = Gemm(x, w) n = Add(a, x) h = Relu(n) y = ReduceSum<keepdims=0>(h, axes)",
    ],
    ids=["read twice", "residual behind", "residual between"],
)
def test_only_a_layer_that_a_rectifier_alone_reads_is_revealed(body, rng):
    """Where another reads it too, or another term joins, both rules fall back to rescale for that layer."""
    model = net(body, {"x": ("n", 4)}, {"w": normal(4, 4), "axes": np.array([1])})
    x, reference = rng.normal(size=(2, 3, 4))
    feeds = {"x": x, REFERENCE: reference, SEED: np.ones(3)}
    rescaled, revealed = (
        run(differentiate(model, rules=DEEPLIFT(r)), feeds) for r in ("rescale", "reveal_cancel")
    )
    expected = rescaled["y"] - rescaled[REFERENCE_SCORE]
    np.testing.assert_allclose((revealed[RESULT] * (x - reference)).sum(1), expected, atol=1e-11)
    alike = np.allclose(revealed[RESULT], rescaled[RESULT])
    assert alike == ("b = Add" not in body)


@pytest.mark.parametrize(
    "op", ["Tanh", "Sigmoid", "Exp", "Gelu", "Softplus", "Erf", "Sin", "Sqrt", "Log", "Reciprocal"]
)
def test_small_differences_keep_precision(op):
    """From 1e-7 to 1, in float32 they are within 1e-4 of (f(x) - f(r)) / (x - r) in float64, or 2e-5 of 1."""
    model = net(f"y = {op}(x)", {"x": ("n",)}, {}, opset=20)
    steps = np.float32(10.0) ** np.linspace(-7, 0, 200, dtype=np.float32)
    reference = np.tile(np.array([0.3, 1.1, 2.3], np.float32), 200)
    x = (reference + np.repeat(steps, 3)).astype(np.float32)
    ends = x.astype(float), reference.astype(float)
    differ = ends[0] != ends[1]
    y, r = (run(model, {"x": end})["y"] for end in ends)
    expected = (y - r)[differ] / (ends[0] - ends[1])[differ]
    model = net(f"y = {op}(x)", {"x": ("n",)}, {}, opset=20, dtype=np.float32)
    found = single(differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: reference, SEED: np.ones(600)})
    np.testing.assert_allclose(found[RESULT][differ], expected, rtol=1e-4, atol=2e-5)


def test_what_does_not_depend_on_the_explained_tensor_is_shared(rng):
    """A mask is in both passes; weights stand once; the reference of an inner tensor is that tensor's."""
    body = "e = MatMul(x, w) q = Mul(e, mask) h = Tanh(q) k = Exp(mask) z = Mul(h, k) y = ReduceSum<keepdims=0>(z, axes)"
    model = net(body, {"x": ("n", 4), "mask": ("n", 3)}, {"w": normal(4, 3), "axes": np.array([1])})
    explained = differentiate(model, "e", rules=DEEPLIFT())
    assert [entry.name for entry in explained.graph.input] == ["x", "mask", REFERENCE, SEED]
    assert [node.op_type for node in explained.graph.node].count("Exp") == 1
    x, mask, reference = rng.normal(size=(2, 4)), rng.normal(size=(2, 3)), rng.normal(size=(2, 3))
    found = run(explained, {"x": x, "mask": mask, REFERENCE: reference, SEED: np.ones(2)})
    expected = (np.tanh(reference * mask) * np.exp(mask)).sum(axis=1)
    np.testing.assert_allclose(found[REFERENCE_SCORE], expected)
    given = (found[RESULT] * (x @ normal(4, 3) - reference)).sum(axis=1)
    np.testing.assert_allclose(given, found["y"] - expected)


def test_words_are_explained_where_they_are_looked_up(rng):
    """Against a sentence of other vectors."""
    ids, reference, seed = rng.integers(9, size=(2, 4)), rng.normal(size=(2, 4, 6)), rng.normal(size=(2, 3))
    model = differentiate(embedded(), "x", rules=DEEPLIFT())
    found = run(model, {"ids": ids, REFERENCE: reference, SEED: seed})
    given = sums(found[RESULT] * (normal(9, 6)[ids] - reference))
    np.testing.assert_allclose(
        given, sums(seed * (found["y"] - found[REFERENCE_SCORE])), rtol=1e-9, atol=1e-12
    )


@pytest.mark.parametrize("hidden", [-np.inf, -1e9])
def test_masked_scores_of_a_softmax_have_no_multiplier(hidden):
    """Minus infinity in both passes has a difference that is no number."""
    body = "k = Where(seen, x, none) p = Softmax(k) y = MatMul(p, w)"
    weights = {"seen": np.array([True, True, False]), "none": np.array(hidden), "w": normal(3, 2)}
    model = net(body, {"x": ("n", 3)}, weights, dtype=np.float32)
    x, reference = (
        np.array([[1.0, 200.0, 3.0], [0.0, 0.0, 0.0]]),
        np.array([[1.0, -3.0, 0.0], [90.0, 0.0, 1.0]]),
    )
    found = single(differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: reference, SEED: np.eye(2)})
    assert (found[RESULT][:, 2] == 0).all()
    given = (found[RESULT] * (x - reference)).sum(axis=1)
    np.testing.assert_allclose(given, np.diag(found["y"] - found[REFERENCE_SCORE]), atol=1e-6)


@pytest.mark.parametrize("op", ["ReduceMax<keepdims=0>(x, axes)", "ReduceMin<keepdims=0>(x, axes)"])
def test_a_winner_that_changes_shares_without_blowing_up(op, rng):
    """Multipliers lie between 0 and 1 however little the winners have moved."""
    model = net(f"y = {op}", {"x": ("n", 5)}, {"axes": np.array([1])})
    reference = rng.normal(size=(200, 5))
    x = reference + rng.normal(size=(200, 5)) * 10.0 ** -rng.integers(0, 9, size=(200, 5))
    found = run(differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: reference, SEED: np.ones(200)})
    assert found[RESULT].min() >= 0
    assert found[RESULT].max() <= 1 + 1e-6
    given = (found[RESULT] * (x - reference)).sum(axis=1)
    np.testing.assert_allclose(given, found["y"] - found[REFERENCE_SCORE], atol=1e-12)


def test_graphs_inside_nodes_run_on_the_reference_too():
    """A scale is chosen by the instance's sum, in an If that reads it from outside."""
    text = (
        '<ir_version: 8, opset_import: ["" : 18]> g (float[n, 2] x) => (float[n, 2] y) <float zero = {0}> {'
        "s = ReduceSum<keepdims=0>(x) c = Greater(s, zero) t = Floor(s)"
        "k = If<then_branch = a () => (float q) { q = Mul(t, t) }, else_branch = b () => (float r) { r = Neg(t) }>(c)"
        "y = Mul(x, k) }"
    )
    model = parser.parse_model(text)
    x, reference = np.array([[3.5, 0.0]], np.float32), np.array([[-1.5, -1.0]], np.float32)
    found = single(
        differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: reference, SEED: np.ones((1, 2))}
    )
    np.testing.assert_array_equal(found["y"], x * 9)
    np.testing.assert_array_equal(found[REFERENCE_SCORE], reference * 3)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("s = Abs(x) y = PRelu(x, s)", "'y': PRelu: DeepLIFT has no rule for parameters that are explained"),
        (
            'y = Einsum<equation="ij,ij,ij->i">(x, x, x)',
            "'y': Einsum: DeepLIFT has no rule for three factors",
        ),
        ("y = Pow(b, x)", "'y': Pow: DeepLIFT has no rule for parameters that are explained"),
    ],
)
def test_what_has_no_exact_rule_is_refused_by_name(body, said):
    """A parameter that is explained, and products of more than two."""
    with pytest.raises(MethodUnsupported, match=said):
        differentiate(net(body, {"x": ("n", 3)}, {"b": normal(3)}), rules=DEEPLIFT())


def test_tables_are_found_by_name():
    """With the rule as an option; another one gets the nearest names."""
    assert composite("deeplift", {"rule": "genomics"}) == DEEPLIFT("genomics")
    assert composite("deeplift") == DEEPLIFT("rescale")
    with pytest.raises(InvalidRequest, match="did you mean reveal_cancel"):
        composite("deeplift", {"rule": "revealcancel"})
    with pytest.raises(InvalidRequest, match="deeplift has one option, rule"):
        composite("deeplift", {"epsilon": 1.0})
