"""Activations that exporters write as products: SiLU as x Sigmoid(x), Gelu with Erf, HardSwish with Clip.

Their pattern is a product of a tensor and an elementwise function of the same tensor, whatever that is.
"""

from __future__ import annotations

from collections.abc import Iterator

from onnx import NodeProto

from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node

ELEMENTWISE = frozenset(
    {
        "Abs",
        "Add",
        "Clip",
        "Div",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "LeakyRelu",
        "Log",
        "Max",
        "Min",
        "Mul",
        "Neg",
        "Pow",
        "Reciprocal",
        "Relu",
        "Sigmoid",
        "Softplus",
        "Sqrt",
        "Sub",
        "Sum",
        "Tanh",
    }
)
LONGEST = 8  # nodes from a product back to its tensor; the longest of the known exports has 6


def carrier(facts: Facts, product: Node) -> int | None:
    """Which factor is the tensor itself, or a function of it alone; None: the factors are independent."""
    for place in (0, 1):
        for source in _chain(facts, product, product.inputs[place]):
            if _rests_on(facts, product, product.inputs[1 - place], source, LONGEST):
                return place
    return None


def _chain(facts: Facts, product: Node, x: Value) -> Iterator[Value]:
    """x, what it is an elementwise function of, and so on, as long as that is one tensor."""
    for _ in range(LONGEST):
        yield x
        operands = _operands(facts.makers.get(x), product)
        if len(operands) != 1:
            return
        (x,) = operands


def _rests_on(facts: Facts, product: Node, x: Value, source: Value, longest: int) -> bool:
    """True if x is an elementwise function of this source and of constants."""
    if x == source:
        return True
    operands = _operands(facts.makers.get(x), product) if longest else ()
    return bool(operands) and all(
        _rests_on(facts, product, operand, source, longest - 1) for operand in operands
    )


def _operands(node: NodeProto | None, product: Node) -> tuple[Value, ...]:
    """What is on the path of an elementwise node's inputs; none of any other node's."""
    if node is None or node.op_type not in ELEMENTWISE:
        return ()
    return tuple(dict.fromkeys(name for name in node.input if name in product.wanted))
