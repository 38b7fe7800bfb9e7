"""LRP, deep Taylor and DeepLIFT as methods, on real graphs through a server; oracles: algebra and conservation."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.models.graph import f32, model, node

import whybox

FLOAT = 1
W = f32([[1, -2, 0.5], [0.25, 3, -1]])  # (2, 3)
B = f32([0.5, 0, -0.25])
X = f32([2, -1])
VALUES = whybox.ModelSpec.tabular(score="value")


def drawn(*shape: int, seed: int = 5) -> np.ndarray:
    return f32(np.random.default_rng(seed).normal(size=shape))


@pytest.fixture(scope="module")
def local() -> Iterator[whybox.Client]:
    with whybox.local() as client:
        yield client


def linear(bias: bool = True) -> bytes:
    """y = x W + b."""
    nodes = [node("Gemm", "x w b" if bias else "x w", "y")]
    weights = {"w": W, "b": B} if bias else {"w": W}
    return model(nodes, {"x": (FLOAT, ["n", 2])}, {"y": (FLOAT, ["n", 3])}, weights)


def network(bias: float = 0.0) -> bytes:
    """y = relu(relu(x A) B) C, and the same bias everywhere."""
    sizes, nodes, weights, last = (6, 8, 5, 3), [], {}, "x"
    for layer, (rows, columns) in enumerate(zip(sizes, sizes[1:], strict=False)):
        weights[f"w{layer}"] = drawn(rows, columns, seed=layer)
        weights[f"b{layer}"] = np.full(columns, bias, np.float32)
        nodes.append(node("Gemm", f"{last} w{layer} b{layer}", f"z{layer}"))
        last = f"z{layer}"
        if layer < 2:
            nodes.append(node("Relu", last, f"h{layer}"))
            last = f"h{layer}"
    return model(nodes, {"x": (FLOAT, ["n", 6])}, {last: (FLOAT, ["n", 3])}, weights)


def test_relevance_of_a_linear_model_is_weight_times_input(local: whybox.Client) -> None:
    """Epsilon on one layer hands x_i w_i to feature i; the bias keeps its own, and the gap says so."""
    e = local.explain(linear(), X, "lrp", target=[0, 1], composite="epsilon", spec=VALUES)
    for k, one in enumerate(e):
        np.testing.assert_allclose(one.values, X * W[:, k], atol=1e-5)
        assert one.quality["conservation_gap"] == pytest.approx(B[k], abs=1e-5)
    assert any("biases" in warning for warning in e.warnings)


@pytest.mark.parametrize(
    "composite",
    [
        "epsilon",
        "epsilon_plus",
        "epsilon_plus_flat",
        "epsilon_alpha2_beta1",
        "epsilon_alpha2_beta1_flat",
        "alpha1_beta0",
    ],
)
def test_without_biases_no_relevance_is_lost(local: whybox.Client, composite: str) -> None:
    """The values sum to the score, to the stabilisers' 1e-6 of every layer's output."""
    x = drawn(6)
    e = local.explain(network(), x, "lrp", composite=composite, spec=VALUES)
    assert e.values.sum() == pytest.approx(e.targets[0].score, rel=1e-3)
    assert e.quality["relative_gap"] < 1e-3
    assert not any("biases" in warning for warning in e.warnings)


def test_deep_taylor_has_the_score_s_sign_everywhere(local: whybox.Client) -> None:
    """Its rules hand on non-negative shares (Montavon et al. 2017, proposition 2)."""
    x = drawn(6)
    found = local.explain(network(), x, "deep_taylor", target=[0, 1, 2], spec=VALUES)
    for one in found:
        assert (np.sign(one.target.score) * one.values >= -1e-6 * abs(one.target.score)).all()
        assert one.values.any()


@pytest.mark.parametrize("rule", ["rescale", "reveal_cancel", "genomics"])
def test_differences_from_the_reference_are_shared_out_in_full(local: whybox.Client, rule: str) -> None:
    """base + sum of values = score, biases and several references or not."""
    x, others = drawn(6), drawn(5, 6)
    spec = whybox.ModelSpec.tabular(score="value", background=others)
    for baseline in ("mean", "background"):
        e = local.explain(network(0.3), x, "deeplift", rule=rule, baseline=baseline, target=[0, 2], spec=spec)
        for one in e:
            assert one.base_value + one.values.sum() == pytest.approx(one.target.score, abs=1e-4)
            assert one.quality["relative_gap"] < 1e-3


def test_deeplift_of_a_linear_model_is_weight_times_difference(local: whybox.Client) -> None:
    given = f32([0.5, 0.5])
    e = local.explain(linear(), X, "deeplift", target=1, baseline=given, spec=VALUES)
    np.testing.assert_allclose(e.values, W[:, 1] * (X - given), atol=1e-6)
    assert e.additive


def test_an_instance_compared_with_itself_differs_in_nothing(local: whybox.Client) -> None:
    e = local.explain(network(0.1), f32(np.ones(6)), "deeplift", baseline=f32(np.ones(6)), spec=VALUES)
    assert not e.values.any()


def test_layers_can_have_rules_of_their_own(local: whybox.Client) -> None:
    """One layer under another rule changes the answer; the same rule spelt out does not."""
    x = drawn(6)
    file = network()

    def values(**params: object) -> np.ndarray:
        return local.explain(file, x, "lrp", composite="epsilon", spec=VALUES, **params).values

    plain = values()
    assert np.array_equal(values(layers=["w1=epsilon"]), plain)
    assert not np.allclose(values(layers=["w1=z_plus"]), plain)
    assert np.array_equal(values(layers=["z?=z_plus", "w1=epsilon"]), values(layers=["*=z_plus"]))


@pytest.mark.parametrize(
    ("method", "params", "message"),
    [
        ("lrp", {"layers": ["w1"]}, r"lrp\.layers\[0\].*PATTERN=RULE"),
        ("lrp", {"layers": ["w1=zplus"]}, r"lrp\.layers\[0\].*did you mean z_plus"),
        ("lrp", {"layers": ["w9=z_plus"]}, r"lrp\.layers.*did you mean w"),
        ("lrp", {"low": [0.0]}, r"lrp\.low.*leave low and high out"),
        ("lrp", {"composite": "epsilon_gamma_box", "low": [2.0], "high": [1.0]}, r"lrp\.high.*above low"),
        ("lrp", {"composite": "epsilon_gamma_box"}, r"lrp\.low.*give low and high"),
        ("lrp", {"epsilon": -1.0}, r"lrp\.epsilon"),
        ("lrp", {"input": "xx"}, r"lrp\.input.*did you mean"),
        ("deep_taylor", {"high": [1.0]}, r"deep_taylor\.low.*set bounded"),
        ("deeplift", {"baseline": f32(np.zeros(4))}, r"baseline\.given"),
        ("deeplift", {"input": "z9"}, r"deeplift\.input.*did you mean"),
    ],
)
def test_what_cannot_be_is_said_under_its_own_name(
    local: whybox.Client, method: str, params: dict[str, object], message: str
) -> None:
    """Field, cause and remedy, before the model is asked anything."""
    with pytest.raises(whybox.ExplainError, match=message):
        local.explain(network(), f32(np.ones(6)), method, spec=VALUES, **params)


def test_a_deployer_can_leave_relevance_out() -> None:
    """WHYBOX_DISABLE_LRP: LRP and deep Taylor are refused with what else there is; DeepLIFT stays."""
    with whybox.local(disable_lrp=True) as without:
        for method in ("lrp", "deep_taylor"):
            with pytest.raises(whybox.ExplainError, match="left out of this build.*integrated_gradients"):
                without.explain(linear(), X, method)
        assert without.explain(linear(), X, "deeplift", spec=VALUES).values.shape == (2,)
