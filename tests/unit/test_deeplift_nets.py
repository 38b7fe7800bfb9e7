"""DeepLIFT on whole nets; oracles: completeness, the gradient, and rows alone.

Completeness: the sum of m (x - r) equals seed . (f(x) - f(r)).
"""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, parser
from tests.models.nets import attention, cnn, embedded, mlp, net, normal
from tests.models.runtime import single
from tests.oracles.reference import run

from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT, RULE_NAMES
from whybox_server.graph.gradient.twin import REFERENCE_SCORE


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


nets = pytest.mark.parametrize("name", NETS)


rules = pytest.mark.parametrize("rule", RULE_NAMES)


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in whatever order tests run."""
    return np.random.default_rng(5)


def sums(values: np.ndarray) -> np.ndarray:
    """Row by row."""
    return values.reshape(len(values), -1).sum(axis=1)


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
