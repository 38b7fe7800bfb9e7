"""What is emitted is what runs fast, and stays finite where a faster form might not."""

from __future__ import annotations

import numpy as np
import pytest
from tests.models.nets import net, normal
from tests.oracles.reference import run

from whybox_server.graph.gradient import RESULT, SEED, differentiate


@pytest.mark.parametrize(
    "body",
    ["h = Relu(x) y = Sqrt(h)", "h = Clip(x, zero) y = Sqrt(h)", "h = Relu(x) y = Pow(h, half)"],
)
def test_a_closed_gate_holds_back_an_infinite_slope(body):
    """sqrt(max(x, 0)), as in distances: 1 / (2 sqrt(x)) where x is positive, else 0, as torch has it."""
    model = net(body, {"x": (4,)}, {"zero": np.array(0.0), "half": np.array(0.5)})
    found = run(differentiate(model), {"x": np.array([-1.0, 0.0, 4.0, 0.25]), SEED: np.ones(4)})
    np.testing.assert_allclose(found[RESULT], [0, 0, 0.25, 1])


def test_a_clip_is_flat_at_its_bounds():
    """As torch's ReLU6 has it; it is looked for in y, which is all that a fused Conv leaves."""
    model = net("y = Clip(x, a, b)", {"x": (5,)}, {"a": np.array(0.0), "b": np.array(6.0)})
    gradient = differentiate(model)
    found = run(gradient, {"x": np.array([-1.0, 0.0, 3.0, 6.0, 7.0]), SEED: np.ones(5)})
    np.testing.assert_array_equal(found[RESULT], [0, 0, 1, 0, 0])
    assert [node.op_type for node in gradient.graph.node if "x" in node.input] == ["Clip"]


def test_the_moments_of_a_layer_normalization_are_not_computed_again():
    """The forward node gives them away: two means are left, of dy and along x."""
    model = net("y = LayerNormalization(x, s, b)", {"x": ("n", 7, 6)}, {"s": normal(6), "b": normal(6)})
    ops = [node.op_type for node in differentiate(model).graph.node]
    assert ops.count("ReduceMean") == 2
    assert "Sqrt" not in ops


def test_nothing_is_summed_where_nothing_was_broadcast():
    """Rows are folded into heads and out of them again, as exporters do, and their number is unknown."""
    body = """
      a = Reshape(x, heads) b = Mul(a, scale) c = Reshape(b, rows) d = Add(c, x) e = Add(d, bias) y = Mul(e, c)
    """
    constants = {
        "heads": np.array([-1, 3]),
        "rows": np.array([-1, 4, 6]),
        "scale": np.array(0.5),
        "bias": normal(6),
    }
    gradient = differentiate(net(body, {"x": ("n", 4, 6)}, constants))
    assert not {"ReduceSum", "NonZero"} & {node.op_type for node in gradient.graph.node}
