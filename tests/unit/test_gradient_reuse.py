"""A Gelu is finished from what its gradient computes, and nobody notices but the clock."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from onnx import ModelProto, helper
from tests.models.nets import net, normal
from tests.models.runtime import single
from tests.oracles.reference import run

from whybox_server.core.rows_probed import REFERENCE
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite, Gradients
from whybox_server.graph.gradient.tables.deeplift import DEEPLIFT
from whybox_server.graph.gradient.tables.deeplift.difference import with_values
from whybox_server.graph.gradient.twin import REFERENCE_SCORE

TWO = "m = MatMul(x, w) z = Add({}) a = Gelu(z) n = MatMul(a, v) c = Add(n, d) y = Gelu(c)"
WEIGHTS = {"w": normal(5, 6), "b": normal(6), "v": normal(6, 3), "d": normal(3)}
ROWS = normal(4, 5, scale=2.0)


def block(sum_of: str = "m, b", dtype: type = np.float64, outputs: tuple[str, ...] = ("y",)) -> ModelProto:
    return net(TWO.format(sum_of), {"x": ("n", 5)}, WEIGHTS, opset=20, dtype=dtype, outputs=outputs)


def ops(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("sum_of", ["m, b", "b, m"])
def test_score_and_gradient_are_those_of_the_gelu(sum_of):
    """The model's own score in float64; central differences of it; one error function per layer is left."""
    model = block(sum_of)
    gradient, seed = differentiate(model), normal(4, 3)
    found = run(gradient, {"x": ROWS, SEED: seed})
    np.testing.assert_allclose(found["y"], run(model, {"x": ROWS})["y"], atol=1e-12)
    assert (ops(gradient).count("Gelu"), ops(gradient).count("Erf")) == (0, 2)
    for place in range(5):
        step = np.zeros(5)
        step[place] = 1e-6
        up, down = (run(model, {"x": ROWS + sign * step})["y"] for sign in (1, -1))
        slope = (seed * (up - down)).sum(axis=1) / 2e-6
        np.testing.assert_allclose(found[RESULT][:, place], slope, atol=1e-7)


def test_the_runtime_agrees_in_single_precision():
    """To 2e-6, a few roundings of numbers about 1."""
    model, feeds = block(dtype=np.float32), {"x": ROWS, SEED: normal(4, 3)}
    found = single(differentiate(model), feeds)
    np.testing.assert_allclose(found["y"], single(model, {"x": ROWS})["y"], atol=2e-6)
    exact = run(differentiate(block()), feeds)[RESULT]
    np.testing.assert_allclose(found[RESULT], exact, atol=2e-6)


@pytest.mark.parametrize("asked", ["m", "z"])
def test_what_else_is_read_stays(asked):
    """A tensor inside is an output too, or what the gradient is taken of: its numbers are the model's."""
    model = block(outputs=("y", asked))
    expected = run(model, {"x": ROWS})[asked]
    found = run(differentiate(model), {"x": ROWS, SEED: normal(4, 3)})[asked]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    found = run(differentiate(block(), of=asked), {"x": ROWS, SEED: normal(4, 6)})[asked]
    np.testing.assert_allclose(found, expected, atol=1e-12)
    assert asked in {name for node in differentiate(block(), asked).graph.node for name in node.output}


def test_both_passes_of_deeplift_keep_their_scores():
    """It takes slopes in the instance, in the reference and between them; scores are the model's own."""
    model, reference = block(), normal(4, 5, scale=0.3)
    feeds = {"x": ROWS, REFERENCE: reference, SEED: normal(4, 3)}
    found = run(differentiate(model, rules=DEEPLIFT()), feeds)
    np.testing.assert_allclose(found["y"], run(model, {"x": ROWS})["y"], atol=1e-12)
    np.testing.assert_allclose(found[REFERENCE_SCORE], run(model, {"x": reference})["y"], atol=1e-12)


def test_a_slope_that_is_taken_elsewhere_does_not_change_the_score():
    """A table may ask the rule for the slope at 2 x: what that computes is not the Gelu's."""
    rule = GRADIENT["Gelu", 20]

    def elsewhere(e: Emit, node: Node, dy: Value) -> Gradients:
        return rule.rule(e, with_values(e, node, [e.Mul(node.input, 2.0)]), dy)

    model = block()
    twisted = Composite({**GRADIENT, ("Gelu", 20): replace(rule, rule=elsewhere)})
    gradient = differentiate(model, rules=twisted)
    found = run(gradient, {"x": ROWS, SEED: normal(4, 3)})
    np.testing.assert_allclose(found["y"], run(model, {"x": ROWS})["y"], atol=1e-12)
    assert ops(gradient).count("Gelu") == 2


def test_a_gradient_can_be_differentiated_again():
    """d^2 y / dx^2 of one Gelu is phi(x) (2 - x^2), phi being the normal density."""
    once = differentiate(net("y = Gelu(x)", {"x": (7,)}, {}, opset=20))
    once.graph.output[-1].CopyFrom(helper.make_tensor_value_info(RESULT, 11, [7]))
    twice = differentiate(once, "x", RESULT)
    x, seed = np.linspace(-3, 3, 7), next(e.name for e in twice.graph.input if e.name not in ("x", SEED))
    result = next(e.name for e in reversed(twice.graph.output))
    found = run(twice, {"x": x, SEED: np.ones(7), seed: np.ones(7)})[result]
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    np.testing.assert_allclose(found, density * (2 - x**2), atol=1e-9)
