"""DeepLIFT's rule for every operator; oracles: completeness, and the same numbers in float64.

Completeness: the sum of m (x - r) equals seed . (f(x) - f(r)). It holds to rounding for every rule that
is not named as approximate, whatever the instance and its reference.
"""

from __future__ import annotations

import numpy as np
import pytest
from tests.contract.test_rules import cases_of, feeds_of, model_of, opset_of
from tests.models.nets import net, normal
from tests.models.runtime import single
from tests.oracles.reference import run

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT
from whybox_server.graph.gradient.tables.deeplift.composite import APPROXIMATE, TABLE
from whybox_server.graph.gradient.twin import REFERENCE_SCORE

QUADRATURE = {"GlobalLpPool", "LRN", "LpPool", "ReduceProd"}


@pytest.fixture
def rng() -> np.random.Generator:
    """The same numbers in whatever order tests run."""
    return np.random.default_rng(5)


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


@pytest.mark.parametrize(
    "op", ["Relu(x)", "HardSigmoid<alpha=1.0, beta=0.0>(x)", "Clip(x, zero)", "Max(x, zero)"]
)
def test_a_kink_is_seen_from_close_by(op):
    """From -t/2 to t a rectifier rises by 2/3 of the way, also for a t of 1e-5 in float32."""
    t = np.geomspace(1e-5, 0.9, 50)
    model = net(f"y = {op}", {"x": ("n",)}, {"zero": np.array(0.0)}, dtype=np.float32)
    found = single(differentiate(model, rules=DEEPLIFT()), {"x": t, REFERENCE: -t / 2, SEED: np.ones(50)})
    np.testing.assert_allclose(found[RESULT], 2 / 3, rtol=1e-5)


@pytest.mark.parametrize(
    "body", ["y = Div(a, b)", "i = Reciprocal(b) y = Mul(a, i)", "i = Reciprocal(b) y = Mul(i, a)"]
)
def test_a_denominator_may_change_its_sign(body, rng):
    """Its mean is 0 where it becomes its opposite, and nothing is divided by that."""
    model = net(f"a = Cos(x) b = Sin(x) {body}", {"x": ("n",)}, {})
    x = rng.uniform(0.2, 1.2, size=20)
    found = run(differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: -x, SEED: np.ones(20)})
    np.testing.assert_allclose(found[RESULT] * 2 * x, 2 / np.tan(x), rtol=1e-12)


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


BOTH = [
    "a = Tanh(x) b = Sin(x) y = Mul(a, b)",
    "a = Mul(x, x) b = Exp(x) y = Div(a, b)",
    "a = Tanh(x) b = Sin(x) c = Mul(b, four) y = Div(a, c)",
    "b = Exp(x) i = Reciprocal(b) a = Sin(x) y = Mul(a, i)",
    "b = Exp(x) i = Div(four, b) a = Sin(x) y = Mul(i, a)",
    "b = Sin(x) i = Reciprocal(b) y = Mul(x, i)",
    "a = Sin(x) b = Exp(x) t = Transpose(b) y = MatMul(a, t)",
    "a = Sin(x) b = Exp(x) c = Tanh(x) s = Slice(c, zero, three, one) y = Gemm<alpha=0.5, beta=2.0, transB=1>(a, b, s)",
    'a = Sin(x) b = Exp(x) y = Einsum<equation="ij,kj->ik">(a, b)',
    "a = Sin(x) b = Cos(x) i = Unsqueeze(a, zero) k = Unsqueeze(b, zero) y = Conv<pads=[1, 1]>(i, k)",
    "a = Sin(x) b = Exp(x) y = Max(a, b, half)",
    "a = Sin(x) b = Exp(x) y = Min(a, b, half)",
    "a = Sin(x) b = Exp(x) c = Less(x, half) y = Where(c, a, b)",
    "a = Sin(x) y = Sum(a, x, a)",
]


@pytest.mark.parametrize("body", BOTH)
def test_operands_that_both_depend_on_the_instance_share_exactly(body, rng):
    """Denominators that change their sign included: 1e-10 of what is shared."""
    constants = {"four": np.array(4.0), "half": np.array(0.5)}
    constants |= {name: np.array([at]) for name, at in (("zero", 0), ("one", 1), ("three", 3))}
    model = net(body, {"x": (3, 3)}, constants)
    x, reference = rng.normal(size=(2, 3, 3))
    now, before = (run(model, {"x": each})["y"] for each in (x, reference))
    seed = rng.normal(size=now.shape)
    found = run(differentiate(model, rules=DEEPLIFT()), {"x": x, REFERENCE: reference, SEED: seed})
    parts = found[RESULT] * (x - reference)
    assert parts.sum() == pytest.approx(np.vdot(seed, now - before), abs=1e-10 * np.abs(parts).sum())


NORMALISED = {
    "one operator": "y = LayerNormalization<epsilon=0.000001>(x, ones)",
    "divided": "m = ReduceMean(x, last) c = Sub(x, m) q = Pow(c, two) v = ReduceMean(q, last) w = Add(v, tiny) "
    "b = Sqrt(w) y = Div(c, b)",
    "multiplied": "m = ReduceMean(x, last) c = Sub(x, m) q = Mul(c, c) v = ReduceMean(q, last) w = Add(v, tiny) "
    "b = Sqrt(w) i = Reciprocal(b) y = Mul(c, i)",
}


def test_however_a_norm_is_written_a_flat_reference_does_not_blow_it_up(rng):
    """The three spellings agree, and shares are of the size of what they share: at most 10 times of it.

    As a product with 1 / sigma, which is 1e3 on the reference and 1 on the instance, they would be 1e3.
    """
    weights = {"ones": np.ones(64), "last": np.array([-1]), "two": np.array(2.0), "tiny": np.array(1e-6)}
    x, reference = rng.normal(size=(2, 4, 64))
    reference, seed = reference * 1e-3, rng.normal(size=(4, 64))
    feeds = {"x": x, REFERENCE: reference, SEED: seed}
    found = []
    for body in NORMALISED.values():
        out = run(differentiate(net(body, {"x": ("n", 64)}, weights), rules=DEEPLIFT()), feeds)
        parts = out[RESULT] * (x - reference)
        expected = (seed * (out["y"] - out[REFERENCE_SCORE])).sum(axis=1)
        np.testing.assert_allclose(parts.sum(axis=1), expected, rtol=1e-9)
        assert np.abs(parts).sum() <= 10 * np.abs(seed * (out["y"] - out[REFERENCE_SCORE])).sum()
        found.append(out[RESULT])
    np.testing.assert_allclose(found[1], found[0], atol=1e-6 * np.abs(found[0]).max())
    np.testing.assert_allclose(found[2], found[0], atol=1e-6 * np.abs(found[0]).max())
