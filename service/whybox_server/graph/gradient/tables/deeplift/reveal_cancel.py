"""RevealCancel (Shrikumar et al. 2017, section 3.5.3): what supports and what opposes, kept apart.

A rectifier gives the positive and the negative part of its input's difference multipliers of their own,
averaged over the order in which they come. The two parts are known only from the linear layer before it,
and the two multipliers matter only to that layer: so the layer's rule does both steps, and the
rectifier's lets m through.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import Path
from whybox_server.graph.gradient.table import Gradients, Layer
from whybox_server.graph.gradient.tables.deeplift.difference import (
    delta,
    entries,
    gradient,
    quotient,
    ulp,
    with_values,
)
from whybox_server.graph.gradient.tables.deeplift.elementwise import ROUNDING_ULPS

WEIGHTED = ([True, False], [False, True], [True, False, False], [False, True, False])  # one factor, no bias


def rectified(*ops: str) -> tuple[Layer, ...]:
    """Layers of a composite for these linear operators where a rectifier alone reads them."""

    def linear(facts: Facts, node: Node, path: Path) -> bool:
        return _input_of_relu(facts, node, path) is not None

    def relu(facts: Facts, node: Node, path: Path) -> bool:
        maker = facts.makers.get(node.input)
        while maker is not None and maker.op_type == "Add":
            maker = next((facts.makers.get(x) for x in maker.input if x in path.values), None)
        return maker is not None and maker.op_type in ops and linear(facts, Node(maker), path)

    return (
        Layer(relu, entries({"Relu": lambda e, node, m: [m]})),
        Layer(linear, entries(dict.fromkeys(ops, _both))),
    )


def _input_of_relu(facts: Facts, node: Node, path: Path) -> Value | None:
    """What a rectifier reads of a linear operator, a bias added; None if another reads it too."""
    if [x in path.values for x in node.inputs] not in WEIGHTED:
        return None
    value = node.output
    while value != path.of:
        readers = [each for each in facts.readers[value] if path.values.intersection(each.output)]
        if len(readers) != 1 or sum(x in path.values for x in readers[0].input) > 1:
            return None
        if readers[0].op_type != "Add":
            return value if readers[0].op_type == "Relu" else None
        value = readers[0].output[0]
    return None


def _both(e: Emit, node: Node, m: Value) -> Gradients:
    """From the multiplier of the rectifier's output to that of the linear operator's input.

    Each sign of an input's difference, through weights of each sign, adds to one part of z's; where
    there is no difference, either sign would do, and their mean is taken.
    """
    z = node.path and _input_of_relu(e.facts, node, node.path)
    assert z, "the layer was picked for it"
    at = next(place for place, x in enumerate(node.inputs) if x in node.wanted)
    dx, emit = delta(e, node.inputs[at]), getattr(e, node.proto.op_type)
    (up, down), (plus, minus) = _parts(e, dx), _parts(e, node.inputs[1 - at])

    def forth(part: Value, weights: Value) -> Value:
        return str(emit(*((part, weights) if at == 0 else (weights, part)), **node.attributes))

    def back(multiplier: Value, weights: Value) -> Value:
        inputs = [*node.inputs]
        inputs[1 - at] = weights
        return gradient(e, with_values(e, node, inputs), multiplier, at)

    supports = e.Add(forth(up, plus), forth(down, minus))
    opposes = e.Add(forth(up, minus), forth(down, plus))
    more, less = _through_relu(e, z, supports, opposes, m)
    rising = e.Add(back(more, plus), back(less, minus))
    falling = e.Add(back(less, plus), back(more, minus))
    still = e.Mul(e.Add(rising, falling), 0.5)
    found = e.Where(e.Greater(dx, 0.0), rising, e.Where(e.Less(dx, 0.0), falling, still))
    return [found if place == at else None for place in range(2)]


def _parts(e: Emit, x: Value) -> tuple[Value, Value]:
    """max(x, 0) and min(x, 0)."""
    return e.Relu(x), e.Neg(e.Relu(e.Neg(x)))


def _through_relu(e: Emit, z: Value, up: Value, down: Value, m: Value) -> tuple[Value, Value]:
    """Multipliers of the two parts of dz = up + down, for y = max(z, 0).

    dy+ = ((f(r + up) - f(r)) + (f(z) - f(r + down))) / 2, and dy- likewise: their sum is dy.
    """
    r = e.reference(z)
    start, end, risen, fallen = e.Relu(r), e.Relu(z), e.Relu(e.Add(r, up)), e.Relu(e.Add(r, down))
    slopes = (e.Cast(e.Greater(each, 0.0), to=e.kind) for each in (z, r))
    slope = e.Mul(e.Add(*slopes), 0.5)

    def multiplier(first: Value, second: Value, part: Value) -> Value:
        change = e.Mul(e.Add(e.Sub(first, start), e.Sub(end, second)), 0.5)
        small = e.Less(e.Abs(part), ROUNDING_ULPS * ulp(e))
        return e.Mul(m, quotient(e, change, part, small, slope))

    return multiplier(risen, fallen, up), multiplier(fallen, risen, down)
