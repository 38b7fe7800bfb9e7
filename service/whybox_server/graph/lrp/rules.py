"""The rules of layer-wise relevance propagation for linear layers.

Notation: z = L(x, w) + b is a linear layer, r the relevance of z; p+ = max(p, 0), p- = min(p, 0). Every
rule is one formula with other terms (Montavon et al. 2019, "Layer-wise relevance propagation: an
overview", section 10.2.3): forwards with changed inputs and weights, a stabilised quotient, back by the
transpose with the changed weights, times the changed inputs:

    share((x_k, w_k, b_k), r) = sum_k x_k * L'(r / stab(sum_k L(x_k, w_k) + b_k), w_k)

Each keeps the sum of relevance if b = 0.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeAlias

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.graph.gradient.emit import HALF, Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.lrp.linear import CONVOLUTIONS, Linear
from whybox_server.graph.lrp.signs import nonnegative

HALF_EPSILON = 2.0**-10

Bound: TypeAlias = float | tuple[float, ...]
Term: TypeAlias = tuple[Value, Value, Value | None]


@dataclass(frozen=True, slots=True)
class Params:
    """epsilon: of the rule of that name. gamma: how much more positive weights count. alpha - beta = 1.

    low, high: the smallest and largest numbers that the layer's input may hold, one for all or one per
    channel (feature of a dense layer). zero_bias: biases take no relevance. stabilizer: epsilon of other rules.
    """

    epsilon: float = 1e-6
    gamma: float = 0.25
    alpha: float = 2.0
    beta: float = 1.0
    low: Bound | None = None
    high: Bound | None = None
    zero_bias: bool = False
    stabilizer: float = 1e-6


LinearRule: TypeAlias = Callable[[Linear, Value, Params], Value]


def stable(e: Emit, z: Value, epsilon: float) -> Value:
    """The sum z + epsilon sign(z), the sign of 0 being +1; if epsilon is 0, only zeros are replaced.

    In half precision epsilon is at least 2^-10: what is divided by less may be too large for it.
    """
    if not epsilon:
        return e.Where(e.Equal(z, 0.0), 1.0, z)
    least = max(epsilon, HALF_EPSILON) if e.kind in HALF else epsilon
    return e.Add(z, e.Where(e.Less(z, 0.0), -least, least))


def epsilon(layer: Linear, r: Value, params: Params) -> Value:
    """Bach et al. 2015, equation 58; with epsilon = 0 their equation 56, LRP-0."""
    q = layer.e.Div(r, stable(layer.e, layer.z, params.epsilon))
    return layer.e.Mul(layer.x, layer.back(q, layer.w))


def z_plus(layer: Linear, r: Value, params: Params) -> Value:
    """Montavon et al. 2017, section 4.1.2: what is positive alone counts; alpha = 1, beta = 0."""
    terms = _split(layer, _above(layer, 0), _below(layer, 0), _positive(layer))
    return _share(layer, terms, r, params)


def alpha_beta(layer: Linear, r: Value, params: Params) -> Value:
    """Bach et al. 2015, equation 60: alpha times what is positive less beta times what is negative."""
    above, below = _above(layer, 0), _below(layer, 0)
    positive = _share(layer, _split(layer, above, below, _positive(layer)), r, params)
    negative = _share(layer, _split(layer, below, above, _negative(layer)), r, params)
    return layer.e.Sub(layer.e.Mul(positive, params.alpha), layer.e.Mul(negative, params.beta))


def gamma(layer: Linear, r: Value, params: Params) -> Value:
    """Andeol et al. 2021, appendix: favours what has the sign of z, so that x may be negative too."""
    e, g, b = layer.e, params.gamma, layer.b
    above, below = _above(layer, g), _below(layer, g)
    negative = e.Less(layer.z, 0.0)
    more = None if b is None else e.Add(b, e.Mul(e.Relu(b), g))
    less = None if b is None else e.Add(b, e.Mul(e.Min(b, 0.0), g))
    up = _share(layer, _split(layer, above, below, more), e.Where(negative, 0.0, r), params)
    down = _share(layer, _split(layer, below, above, less), e.Where(negative, r, 0.0), params)
    return e.Add(up, down)


def z_box(layer: Linear, r: Value, params: Params) -> Value:
    """Montavon et al. 2017, equation 15: for inputs between low and high; the bias cancels."""
    e, above, below = layer.e, _above(layer, 0), _below(layer, 0)
    low, high = _bound(layer, "low", params.low), _bound(layer, "high", params.high)
    z = e.Sub(e.Sub(layer.unbiased, layer.of(low, above)), layer.of(high, below))
    q = e.Div(r, stable(e, z, params.stabilizer))
    taken = e.Add(e.Mul(low, layer.back(q, above)), e.Mul(high, layer.back(q, below)))
    return e.Sub(e.Mul(layer.x, layer.back(q, layer.w)), taken)


def flat(layer: Linear, r: Value, params: Params) -> Value:
    """Lapuschkin et al. 2019, supplement: as if all inputs and weights were 1."""
    ones = layer.changed(layer.e.Expand(1.0, layer.e.dims(layer.w)))
    q = layer.e.Div(r, stable(layer.e, layer.of(_ones(layer), ones), params.stabilizer))
    return layer.back(q, ones)


def w_square(layer: Linear, r: Value, params: Params) -> Value:
    """Montavon et al. 2017, equation 13: by the squares of the weights, as if all inputs were 1."""
    e = layer.e
    squares = layer.changed(e.Mul(layer.w, layer.w))
    b = None if layer.b is None else e.Mul(layer.b, layer.b)
    q = e.Div(r, stable(e, layer.of(_ones(layer), squares, b), params.stabilizer))
    return layer.back(q, squares)


RULES: dict[str, LinearRule] = {
    "epsilon": epsilon,
    "z_plus": z_plus,
    "alpha_beta": alpha_beta,
    "gamma": gamma,
    "z_box": z_box,
    "flat": flat,
    "w_square": w_square,
}


def _share(layer: Linear, terms: Sequence[Term], r: Value, params: Params) -> Value:
    """The formula on top."""
    e = layer.e
    z = reduce(e.Add, [layer.of(*term) for term in terms])
    q = e.Div(r, stable(e, z, params.stabilizer))
    return reduce(e.Add, [e.Mul(x, layer.back(q, w)) for x, w, _ in terms])


def _split(layer: Linear, above: Value, below: Value, b: Value | None) -> list[Term]:
    """(x+, above, b) and (x-, below, 0); the second is left out if x is known to have no negative part."""
    e, x = layer.e, layer.x
    if nonnegative(e.facts, x):
        return [(x, above, b)]
    return [(e.Relu(x), above, b), (e.Min(x, 0.0), below, None)]


def _above(layer: Linear, g: float) -> Value:
    """The weights w + g w+, or w+ for g = 0."""
    return _leaning(layer, layer.e.Relu(layer.w), g)


def _below(layer: Linear, g: float) -> Value:
    """The weights w + g w-, or w- for g = 0."""
    return _leaning(layer, layer.e.Min(layer.w, 0.0), g)


def _leaning(layer: Linear, part: Value, g: float) -> Value:
    return layer.changed(layer.e.Add(layer.w, layer.e.Mul(part, g)) if g else part)


def _positive(layer: Linear) -> Value | None:
    return None if layer.b is None else layer.e.Relu(layer.b)


def _negative(layer: Linear) -> Value | None:
    return None if layer.b is None else layer.e.Min(layer.b, 0.0)


def _bound(layer: Linear, name: str, bound: Bound | None) -> Value:
    """Shaped like x, or like one row of it."""
    e = layer.e
    images = layer.node.proto.op_type in CONVOLUTIONS
    channels = e.shape(layer.x)[1 if images else -1]
    numbers = np.asarray(bound, np.float64)
    if numbers.ndim and isinstance(channels, int) and len(numbers) != channels:
        raise InvalidRequest.of(
            name, f"{len(numbers)} numbers for {channels} channels; give one, or {channels}"
        )
    if images and numbers.ndim:
        numbers = numbers.reshape(-1, *[1] * (e.rank(layer.x) - 2))
    return e.Expand(e.constant(numbers), _frame(layer))


def _ones(layer: Linear) -> Value:
    return layer.e.Expand(1.0, _frame(layer))


def _frame(layer: Linear) -> Value | list[int]:
    """The shape of x. Of images one row is enough, whose shape is known more often."""
    e, x = layer.e, layer.x
    if layer.node.proto.op_type not in CONVOLUTIONS:
        return e.dims(x)
    lengths = [length for length in e.shape(x)[1:] if isinstance(length, int)]
    whole = len(lengths) == e.rank(x) - 1
    return [1, *lengths] if whole else e.Concat([1], e.Shape(x, start=1), axis=0)
