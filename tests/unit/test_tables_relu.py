"""Guided backpropagation, deconvnet and the registry of tables; oracle: the papers' formulas in numpy."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from tests.models.nets import cnn, net, normal
from tests.oracles.reference import run

import whybox_server
from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate
from whybox_server.graph.gradient.tables import RELEVANCE, TABLES, available, composite

SERVER = Path(whybox_server.__file__).parent
LRP = "whybox_server.graph.lrp"


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def relu(x):
    return np.maximum(x, 0)


GATES = {  # what passes the rectifier h -> y, given the forward h and the backward r
    "gradient": lambda h, r: r * (h > 0),
    "guided_backprop": lambda h, r: relu(r) * (h > 0),  # Springenberg et al. 2015, figure 1
    "deconvnet": lambda h, r: relu(r),  # Zeiler and Fergus 2014, section 2.1
}
RECTIFIERS = {
    "relu": ("Relu(h)", np.inf),
    "relu6": ("Clip(h, zero, six)", 6.0),
    "max": ("Max(zero, h)", np.inf),
}


def back(table, model, x, seed):
    return run(differentiate(model, rules=composite(table)), {"x": x, SEED: seed})[RESULT]


@pytest.mark.parametrize("table", GATES)
@pytest.mark.parametrize("rectifier", RECTIFIERS)
def test_a_rectifier_lets_through_what_the_paper_says(rectifier, table, rng):
    """Two dense layers; the linear ones transpose as for the gradient. Above 6 nothing passes a ReLU6,
    but a deconvnet does not look at the forward pass."""
    op, ceiling = RECTIFIERS[rectifier]
    weights = {"w": normal(5, 6) * 3, "v": normal(6, 4), "zero": np.array(0.0), "six": np.array(6.0)}
    model = net(f"h = MatMul(x, w) p = {op} y = MatMul(p, v)", {"x": ("n", 5)}, weights)
    x, seed = rng.normal(size=(8, 5)) * 2, rng.normal(size=(8, 4))
    h, r = x @ weights["w"], seed @ weights["v"].T
    assert (h > 6).any()
    passed = GATES[table](h, r)
    if table != "deconvnet":
        passed = passed * (h < ceiling)
    np.testing.assert_allclose(back(table, model, x, seed), passed @ weights["w"].T, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("table", ["guided_backprop", "deconvnet"])
@pytest.mark.parametrize(
    "op", ["LeakyRelu(x)", "Gelu(x)", "Clip(x, low, six)", "Max(x, low)", "Max(x, t)", 'Clip(x, "", six)']
)
def test_what_lets_negative_numbers_pass_keeps_its_gradient(op, table, rng):
    """No paper says otherwise, and other libraries do the same."""
    weights = {"low": np.array(-1.0), "six": np.array(6.0)}
    model = net(f"t = Tanh(x) y = {op}", {"x": ("n", 5)}, weights, opset=20)
    x, seed = rng.normal(size=(3, 5)), rng.normal(size=(3, 5))
    np.testing.assert_array_equal(back(table, model, x, seed), back("gradient", model, x, seed))


@pytest.mark.parametrize("table", ["guided_backprop", "deconvnet"])
def test_a_batch_is_explained_as_its_rows_are_one_by_one(table, rng):
    """Through convolutions, pools and a residual."""
    x, seed = rng.normal(size=(3, 2, 9, 8)), rng.normal(size=(3, 3))
    together = back(table, cnn(), x, seed)
    alone = [back(table, cnn(), x[i : i + 1], seed[i : i + 1]) for i in range(3)]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-12, atol=1e-14)
    assert not np.allclose(together, back("gradient", cnn(), x, seed))


def test_unknown_tables_and_options_are_named():
    """With the nearest names."""
    with pytest.raises(
        InvalidRequest, match="table: there is no table 'guided'; did you mean guided_backprop"
    ):
        composite("guided")
    with pytest.raises(InvalidRequest, match="epsilon: this table has no options"):
        composite("deconvnet", {"epsilon": 1.0})


def test_relevance_can_be_switched_off():
    """Then it is neither listed nor made, and the rest is."""
    assert set(available()) == set(TABLES)
    assert set(available(lrp=False)) == set(TABLES) - RELEVANCE
    for name in RELEVANCE:
        with pytest.raises(MethodUnsupported, match=f"{name} needs LRP, which is left out of this build"):
            composite(name, lrp=False)
    composite("guided_backprop", lrp=False)


def test_a_build_without_relevance_works(monkeypatch):
    """As if the folder were not there: importing it fails, and nobody else imports it."""
    monkeypatch.setitem(sys.modules, LRP, None)
    assert set(available()) == set(TABLES) - RELEVANCE
    with pytest.raises(MethodUnsupported, match="left out of this build"):
        composite("lrp")
    with pytest.raises(InvalidRequest, match="there is no table 'lr'"):
        composite("lr")


def test_nothing_but_the_registry_imports_relevance():
    """And that only inside of functions: there the lines are indented."""
    folder = SERVER / "graph" / "lrp"
    files = (path for path in SERVER.rglob("*.py") if folder not in path.parents)
    lines = {path: [line for line in path.read_text().splitlines() if LRP in line] for path in files}
    users = {path: found for path, found in lines.items() if found}
    assert users.keys() == {SERVER / "graph" / "gradient" / "tables" / "__init__.py"}
    assert all(line.startswith(" ") for found in users.values() for line in found)
