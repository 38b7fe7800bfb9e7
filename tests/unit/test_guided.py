"""Scores led back through rectifiers by other rules than the gradient's; oracle: the papers' figures, by loops."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto
from tests.loaded import explained, loaded
from tests.models.nets import cnn, net, normal

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ModelSpec, ScoreKind
from whybox_server.methods.deconvnet import DECONVNET
from whybox_server.methods.gradient import GRADIENT
from whybox_server.methods.guided_backprop import GUIDED_BACKPROP

TENSOR = ModelSpec(modality=Modality.TENSOR, score=ScoreKind.LOGIT)
ROW = np.random.default_rng(3).normal(size=6).astype(np.float32)
LAYERS = (normal(6, 8, scale=1), normal(8, 8, scale=1), normal(8, 3, scale=1))
Rule = Callable[[Array, Array], Array]  # what comes back, and what went in on the way forward -> what passes

# Springenberg et al. 2015, figure 1 b: the rows of numbers, in one expression each.
RULES: dict[str, Rule] = {
    "gradient": lambda back, forward: back * (forward > 0),
    "guided_backprop": lambda back, forward: back * (forward > 0) * (back > 0),
    "deconvnet": lambda back, forward: back * (back > 0),
}
METHODS = {"gradient": GRADIENT, "guided_backprop": GUIDED_BACKPROP, "deconvnet": DECONVNET}


def rectified(bound: str) -> ModelProto:
    """Three linear layers with two rectifiers between them, written as one operator or the other."""
    body = f"a = Gemm(x, w0) h = {bound.format('a')} c = Gemm(h, w1) k = {bound.format('c')} y = Gemm(k, w2)"
    weights = {f"w{i}": one for i, one in enumerate(LAYERS)} | {"zero": np.array(0.0), "six": np.array(60.0)}
    used = {name: array for name, array in weights.items() if name in body}
    return net(body, {"x": ("n", 6)}, used, dtype=np.float32)


def by_hand(rule: Rule, output: int) -> Array:
    """One layer after the other."""
    forward, values = [], ROW.astype(np.float64)
    for weights in LAYERS[:-1]:
        forward.append(values @ weights)
        values = np.maximum(forward[-1], 0)
    back = LAYERS[-1][:, output]
    for weights, before in zip(LAYERS[-2::-1], forward[::-1], strict=True):
        back = weights @ rule(back, before)
    return back


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("rectifier", ["Relu({})", "Clip({}, zero, six)", "Max({}, zero)"])
def test_rectifiers_lead_back_what_the_figure_says(name, rectifier):
    """All three targets in one pass, however the rectifier is written."""
    found = explained(loaded(rectified(rectifier), TENSOR), {"x": ROW}, METHODS[name])
    expected = np.stack([by_hand(RULES[name], output) for output in range(3)])
    assert np.allclose(found.values, expected, atol=1e-5)
    assert found.unit == "per unit of input"
    assert not found.additive


@pytest.mark.parametrize("method", [GUIDED_BACKPROP, DECONVNET], ids=lambda method: method.name)
def test_without_rectifiers_it_is_the_gradient(method):
    """A smooth net; bit for bit."""
    body = "a = Gemm(x, w0) h = Tanh(a) y = Gemm(h, w2)"
    proto = net(body, {"x": ("n", 6)}, {"w0": LAYERS[0], "w2": LAYERS[2]}, dtype=np.float32)
    model = loaded(proto, TENSOR)
    plain, other = (explained(model, {"x": ROW}, one).values for one in (GRADIENT, method))
    assert plain.tobytes() == other.tobytes()


@pytest.mark.parametrize("method", [GUIDED_BACKPROP, DECONVNET], ids=lambda method: method.name)
def test_targets_that_are_asked_together_are_told_as_alone(method):
    """Of a residual net with pooling over a picture."""
    model = loaded(cnn(np.float32), TENSOR)
    picture = {"x": np.random.default_rng(0).normal(size=(2, 9, 8)).astype(np.float32)}
    together = explained(model, picture, method).values
    assert together.shape == (3, 2, 9, 8)
    for output in range(3):
        alone = explained(model, picture, method, output).values[0]
        assert np.allclose(together[output], alone, atol=1e-7)


@pytest.mark.parametrize("method", [GUIDED_BACKPROP, DECONVNET], ids=lambda method: method.name)
def test_an_input_that_does_not_exist_is_refused_under_its_own_name(method):
    with pytest.raises(InvalidRequest, match="did you mean x") as caught:
        explained(loaded(rectified("Relu({})"), TENSOR), {"x": ROW}, method, input="xx")
    assert caught.value.violations[0].field == "input"
