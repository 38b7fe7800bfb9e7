"""Slopes and ways through a real server: graphs whose gradients are known, of every kind of input."""

from __future__ import annotations

import numpy as np
import pytest
from tests.e2e.serving import INPUTS
from tests.models import nets
from tests.models.graph import FLOAT, f32, model, node

import whybox

METHODS = (
    "gradient",
    "saliency",
    "gradient_x_input",
    "smooth_grad",
    "integrated_gradients",
    "gradient_shap",
)
TEXT = whybox.ModelSpec.text(mask_id=7)


def linear() -> bytes:
    """y = x W, W (3, 2)."""
    w = f32([[1, -2], [0.5, 4], [-3, 0]])
    return model([node("MatMul", "x w", "y")], {"x": (FLOAT, ["n", 3])}, {"y": (FLOAT, ["n", 2])}, {"w": w})


def joined() -> bytes:
    """Three columns as inputs of their own, joined: y = a b + c."""
    nodes = [
        node("Concat", "a b c", "row", axis=1),
        node("Split", "row", "p q r", axis=1),
        node("Mul", "p q", "pq"),
        node("Add", "pq r", "y"),
    ]
    nodes[1].output[:] = ["p", "q", "r"]
    return model(nodes, {name: (FLOAT, ["n", 1]) for name in "abc"}, {"y": (FLOAT, ["n", 1])}, {})


def net(proto: object) -> bytes:
    return proto.SerializeToString()  # type: ignore[attr-defined, no-any-return]


def test_the_gradient_of_a_linear_model_is_its_weights(client: whybox.Client) -> None:
    """All targets in one pass: 1 row for the instance, 1 for each of 2 targets."""
    spec = whybox.ModelSpec.tensor(score="value")
    e = client.explain(linear(), np.array([1.0, 2.0, -1.0]), "gradient", target=[0, 1], spec=spec)
    assert np.allclose(e[0].values, [1, 0.5, -3])
    assert np.allclose(e[1].values, [-2, 4, 0])
    assert e.usage.rows_asked == 3
    product = client.explain(linear(), np.array([1.0, 2.0, -1.0]), "gradient_x_input", target=1, spec=spec)
    assert np.allclose(product.values, [-2, 8, 0])
    assert product.quality["conservation_gap"] < 1e-6


def test_token_ids_are_explained_by_token_and_sum_to_the_score(client: whybox.Client) -> None:
    """A transformer behind a table of vectors: names per token, and completeness below a percent."""
    ids = np.array([2, 5, 2, 8])
    e = client.explain(net(nets.embedded(np.float32)), ids, "integrated_gradients", target=1, spec=TEXT)
    assert [name for name, _ in sorted(e.as_list())] == ["token 2", "token 2 (2)", "token 5", "token 8"]
    assert e.quality["relative_gap"] <= 0.01
    assert e.values.sum() + e.base_value == pytest.approx(
        e.target.score, abs=0.011 * abs(e.target.score - e.base_value)
    )
    assert e.provenance.baseline == "mask token, id 7"


def test_token_ids_may_be_named(client: whybox.Client) -> None:
    """The vectors are meant, as without a name."""
    given = [net(nets.embedded(np.float32)), np.array([2, 5, 2, 8]), "gradient_x_input"]
    named, unnamed = (client.explain(*given, spec=TEXT, input=name) for name in ("ids", None))
    assert np.array_equal(named.values, unnamed.values)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_explains_token_ids(client: whybox.Client, method: str) -> None:
    """One finite number per token, not all zero."""
    e = client.explain(net(nets.embedded(np.float32)), np.array([2, 5, 2, 8]), method, spec=TEXT)
    assert e.values.shape == (4,)
    assert np.isfinite(e.values).all()
    assert np.abs(e.values).max() > 0


def test_columns_that_are_inputs_of_their_own_are_explained_where_they_are_joined(
    client: whybox.Client,
) -> None:
    """a b + c at (2, 3, 5) from 0: a b in halves, and c."""
    row = {"a": np.array([2.0]), "b": np.array([3.0]), "c": np.array([5.0])}
    spec = whybox.ModelSpec.tabular(feature_names=["a", "b", "c"], score="value")
    e = client.explain(joined(), row, "integrated_gradients", spec=spec, baselines=0)
    assert dict(e.as_list()) == pytest.approx({"a": 3.0, "b": 3.0, "c": 5.0}, abs=1e-4)
    slopes = client.explain(joined(), row, "gradient", spec=spec)
    assert dict(slopes.as_list()) == pytest.approx({"a": 3.0, "b": 2.0, "c": 1.0}, abs=1e-5)


def test_a_gradient_of_a_probability_is_the_chain_rule_over_those_of_the_logits(
    client: whybox.Client,
) -> None:
    """dp_k = p_k (dz_k - sum_j p_j dz_j) of a softmax over three classes."""
    proto, x = net(nets.mlp(np.float32)), np.array([0.3, -1.0, 0.5, 2.0, 0.1])
    logits = client.explain(proto, x, "gradient", target=[0, 1, 2])
    probabilities = client.explain(proto, x, "gradient", target=[0, 1, 2], space="probability")
    p = np.array([one.target.probability for one in logits])
    slopes = np.stack([one.values for one in logits])
    for k, one in enumerate(probabilities):
        assert one.target.space == "probability"
        assert np.allclose(one.values, p[k] * (slopes[k] - p @ slopes), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_instances_of_one_call_are_explained_as_if_alone(client: whybox.Client, method: str) -> None:
    """A small convolutional net, REPRODUCIBLE: the same bytes one by one and all at once."""
    pictures = list(np.random.default_rng(8).random((3, 2, 9, 8)))
    given = {"mode": "reproducible", "seed": 3, "target": [0, 2]}
    if method in ("smooth_grad", "gradient_shap"):
        given["num_samples"] = 12
    spec = whybox.ModelSpec.image(layout="CHW")
    proto = net(nets.cnn(np.float32))
    many = client.explain_many(proto, pictures, method, spec=spec, **given)
    for picture, found in zip(pictures, many, strict=True):
        alone = client.explain(proto, picture, method, spec=spec, **given)
        for one, other in zip(alone, found, strict=True):
            assert one.values.tobytes() == other.values.tobytes()


def test_the_brick_half_speaks_for_brick(client: whybox.Client) -> None:
    """The picture is brick on the left and grass on the right; the sum is the difference of the scores."""
    e = client.explain(
        "models/texture", INPUTS / "brick_and_grass.png", "integrated_gradients", target="brick"
    )
    heat = e.heatmap()
    assert heat[:, :112].sum() > heat[:, 112:].sum()
    assert e.quality["relative_gap"] <= 0.01


def test_a_forest_has_no_gradient_and_black_box_methods_are_named(client: whybox.Client) -> None:
    """The node, and what explains this model all the same."""
    with pytest.raises(whybox.ExplainError, match=r"TreeEnsemble.*lime") as caught:
        client.explain("models/diabetes", INPUTS / "diabetic.csv", "integrated_gradients")
    assert caught.value.reason == "METHOD_UNSUPPORTED_FOR_MODEL"


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"baselines": [{"given": np.ones((2, 2))}]}, r"integrated_gradients\.baselines\[0\]\.given: shape"),
        ({"baselines": ["delete"]}, r"integrated_gradients\.baselines\[0\]\.kind: DELETE does not apply"),
        ({"steps": 0}, r"integrated_gradients\.steps: must be in"),
        ({"rule": "trapezoid", "steps": 1}, r"integrated_gradients\.steps: TRAPEZOID"),
        ({"input": "pixels"}, r"integrated_gradients\.input: .*image"),
        ({"rule": "simpson"}, r"integrated_gradients\.rule: no choice"),
        ({"target": 77}, r"targets\[0\]: must be in"),
    ],
    ids=lambda value: str(value)[:24] if isinstance(value, dict) else "",
)
def test_what_is_wrong_is_said_under_its_own_name(
    client: whybox.Client, params: dict[str, object], message: str
) -> None:
    """The caller's fields, and what to do."""
    with pytest.raises(whybox.ExplainError, match=message):
        client.explain("models/texture", INPUTS / "brick_and_grass.png", "integrated_gradients", **params)


def test_baselines_can_be_typed_in_a_shell() -> None:
    """One word, a number, or a list of either."""
    from whybox.params import from_text

    assert from_text("integrated_gradients", ["baselines=blur"]) == {"baselines": "blur"}
    assert from_text("integrated_gradients", ['baselines=["blur", 0]']) == {"baselines": ["blur", 0]}
