"""The activation functions that LSTM, GRU and RNN may be given, in operators that have gradient rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node

Activation: TypeAlias = Callable[[Emit, Value], Value]

OUTPUT = 2  # the place of an LSTM's function of the cell, whose input onnxruntime does not clip


@dataclass(frozen=True, slots=True)
class Function:
    """defaults: of alpha, or of alpha and beta. None: the runtime has another one than the specification."""

    says: Callable[..., Value]
    defaults: tuple[float | None, ...] = ()


FUNCTIONS = {
    "Affine": Function(lambda e, x, alpha, beta: e.Add(e.Mul(x, alpha), beta), (None, None)),
    "Elu": Function(lambda e, x, alpha: e.Elu(x, alpha=alpha), (1.0,)),
    "HardSigmoid": Function(lambda e, x, alpha, beta: e.HardSigmoid(x, alpha=alpha, beta=beta), (0.2, 0.5)),
    "LeakyRelu": Function(lambda e, x, alpha: e.LeakyRelu(x, alpha=alpha), (0.01,)),
    "Relu": Function(lambda e, x: e.Relu(x)),
    "ScaledTanh": Function(lambda e, x, alpha, beta: e.Mul(e.Tanh(e.Mul(x, beta)), alpha), (None, None)),
    "Sigmoid": Function(lambda e, x: e.Sigmoid(x)),
    "Softplus": Function(lambda e, x: e.Softplus(x)),
    "Softsign": Function(lambda e, x: e.Div(x, e.Add(e.Abs(x), 1.0))),
    "Tanh": Function(lambda e, x: e.Tanh(x)),
    "ThresholdedRelu": Function(lambda e, x, alpha: e.Where(e.GreaterOrEqual(x, alpha), x, 0.0), (None,)),
}


def activations(node: Node, names: Sequence[str], ways: int) -> list[list[Activation]]:
    """For each direction those of the node, or else those of these names; empty if one is not known.

    Functions that have an alpha or a beta take the next one given.
    """
    numbers = (iter(node.attr("activation_alpha", ())), iter(node.attr("activation_beta", ())))
    given = [name.decode() for name in node.attr("activations", ())] or [*names] * ways
    found: list[Activation] = []
    for place, name in enumerate(given):
        function = FUNCTIONS.get(name)
        if function is None:
            return []
        values = [next(*one) for one in zip(numbers, function.defaults, strict=False)]
        if None in values:
            return []
        bound = 0.0 if place % len(names) == OUTPUT else node.attr("clip", 0.0)
        found.append(partial(_clipped, function, values, bound))
    return [found[at * len(names) : (at + 1) * len(names)] for at in range(ways)]


def _clipped(function: Function, values: Sequence[float | None], bound: float, e: Emit, x: Value) -> Value:
    """The clip is on what goes in; 0: none."""
    return function.says(e, e.Clip(x, -bound, bound) if bound else x, *values)
