"""Which rule for which layer, by the names that the literature and zennit use.

The first layers are those with no linear layer before them: what is explained may have been moved, scaled,
normalised or rectified on the way there. Bounds of the input are those of what they read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite, Layer, Table
from whybox_server.graph.lrp.linear import CONVOLUTIONS, PRODUCTS
from whybox_server.graph.lrp.nodes import MOVES, PASSES, passes, sums
from whybox_server.graph.lrp.rules import RULES, Params
from whybox_server.graph.lrp.tables import base, layers


@dataclass(frozen=True, slots=True)
class Plan:
    """Names of rules: for convolutions, for dense layers, and for the first of either; "": as the others.

    first_of: operators whose first has that rule. zero_bias: the method knows no biases.
    """

    convolution: str
    dense: str
    first: str = ""
    first_of: tuple[str, ...] = (*CONVOLUTIONS, *PRODUCTS)
    zero_bias: bool = False


COMPOSITES = {
    "epsilon": Plan("epsilon", "epsilon"),
    "epsilon_plus": Plan("z_plus", "epsilon"),
    "epsilon_plus_flat": Plan("z_plus", "epsilon", "flat"),
    "epsilon_alpha2_beta1": Plan("alpha_beta", "epsilon"),
    "epsilon_alpha2_beta1_flat": Plan("alpha_beta", "epsilon", "flat"),
    "epsilon_gamma_box": Plan("gamma", "epsilon", "z_box", CONVOLUTIONS),
    "alpha1_beta0": Plan("z_plus", "z_plus"),
    "excitation_backprop": Plan("z_plus", "z_plus"),  # Zhang et al. 2018: defined for rectified activations
    "deep_taylor": Plan("z_plus", "z_plus", "w_square", zero_bias=True),
    "deep_taylor_bounded": Plan("z_plus", "z_plus", "z_box", zero_bias=True),
}
BEFORE_FIRST = MOVES | PASSES | {"Add", "Div", "Mul", "Sub"}
NAMED = (*RULES, "norm", "pass", "gradient")


def planned(name: str, params: Params, named: Sequence[tuple[str, str, Params]]) -> Composite:
    """A composite by its name; before it, the layers that the caller names: pattern, rule, parameters."""
    plan = COMPOSITES[name]
    params = replace(params, zero_bias=params.zero_bias or plan.zero_bias)
    table = {
        **base(params),
        **layers(RULES[plan.convolution], params, *CONVOLUTIONS),
        **layers(RULES[plan.dense], params, *PRODUCTS),
    }
    first = (Layer(is_first, layers(RULES[plan.first], params, *plan.first_of)),) if plan.first else ()
    return Composite(table, (*map(_named, named), *first), relevance=True, title="relevance")


def is_first(facts: Facts, node: Node, path: Path) -> bool:
    """True if no linear layer lies between what is explained and this node."""
    return all(_untouched(facts, name, path) for name in node.inputs if name in path.values)


def _untouched(facts: Facts, x: Value, path: Path) -> bool:
    if x == path.wrt:
        return True
    maker = facts.makers.get(x)
    if maker is None or maker.op_type not in BEFORE_FIRST:
        return False
    return all(_untouched(facts, name, path) for name in maker.input if name in path.values)


def _named(layer: tuple[str, str, Params]) -> Layer:
    pattern, rule, params = layer

    def picks(facts: Facts, node: Node, path: Path) -> bool:
        return any(fnmatchcase(name, pattern) for name in node.names)

    return Layer(picks, _rule(rule, params), pattern)


def _rule(name: str, params: Params) -> Table:
    if name in RULES:
        return layers(RULES[name], params)
    return {"norm": sums(params.stabilizer), "pass": passes(), "gradient": GRADIENT}[name]
