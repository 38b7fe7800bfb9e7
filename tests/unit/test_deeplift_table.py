"""DeepLIFT's rules as the paper states them; oracles: its formulas unit by unit, its examples, algebra."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto
from tests.models.nets import net, normal
from tests.oracles.deeplift import Dense, multipliers
from tests.oracles.deeplift import score as slow_score
from tests.oracles.reference import run

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import composite
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT, RULE_NAMES
from whybox_server.graph.gradient.twin import REFERENCE_SCORE

rules = pytest.mark.parametrize("rule", RULE_NAMES)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in whatever order tests run."""
    return np.random.default_rng(5)


LINEAR = {"v": normal(4, 3), "b": normal(3), "w": normal(3, 2)}


@rules
def test_a_linear_net_has_its_weights_for_multipliers(rule, rng):
    """m = W1 W2, wherever instance and reference are."""
    model = net("h = MatMul(x, v) b1 = Add(h, b) y = Gemm(b1, w)", {"x": ("n", 4)}, LINEAR)
    x, reference = rng.normal(size=(2, 5, 4))
    found = run(
        differentiate(model, rules=DEEPLIFT(rule)), {"x": x, REFERENCE: reference, SEED: np.eye(5, 2)}
    )
    np.testing.assert_allclose(found[RESULT], (LINEAR["v"] @ LINEAR["w"] @ np.eye(2, 5)).T, atol=1e-14)


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


def test_tables_are_found_by_name():
    """With the rule as an option; another one gets the nearest names."""
    assert composite("deeplift", {"rule": "genomics"}) == DEEPLIFT("genomics")
    assert composite("deeplift") == DEEPLIFT("rescale")
    with pytest.raises(InvalidRequest, match="did you mean reveal_cancel"):
        composite("deeplift", {"rule": "revealcancel"})
    with pytest.raises(InvalidRequest, match="deeplift has one option, rule"):
        composite("deeplift", {"epsilon": 1.0})
