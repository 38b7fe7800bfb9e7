"""What the rules of this package are written in: differences from the reference, and safe quotients.

Notation: x is a value, r its reference, d = x - r; y = f(x, ...); m is the multiplier of y, so that
m * (y - f(r, ...)) is its contribution. A rule returns one multiplier per input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from onnx import NodeProto, TensorProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.path import version_of
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Gradients, Rule, Table

RULES: dict[str, Rule] = {}

ULP: Mapping[int, float] = {
    TensorProto.FLOAT: 2**-23,
    TensorProto.DOUBLE: 2**-52,
    TensorProto.FLOAT16: 2**-10,
}
COARSEST = 2**-7  # bfloat16


def multipliers(*ops: str) -> Callable[[Rule], Rule]:
    """Register a rule for operators at all versions for which the gradient has one."""

    def enter(rule: Rule) -> Rule:
        RULES.update(dict.fromkeys(ops, rule))
        return rule

    return enter


def entries(rules: dict[str, Rule]) -> Table:
    """The gradient's entries of these operators, with other rules: what is refused stays refused."""
    return {key: replace(entry, rule=rules[key[0]]) for key, entry in GRADIENT.items() if key[0] in rules}


def ulp(e: Emit) -> float:
    """Distance of 1 to the next larger number."""
    return ULP.get(e.kind, COARSEST)


def delta(e: Emit, x: Value) -> Value:
    return e.Sub(x, e.reference(x))


def middle(e: Emit, x: Value) -> Value:
    """(x + r) / 2; x itself where it cannot differ from r."""
    return x if e.reference(x) == x else e.Mul(e.Add(x, e.reference(x)), 0.5)


def quotient(e: Emit, top: Value | float, bottom: Value, small: Value, instead: Value | float) -> Value:
    """Top / bottom, and something else where bottom is too small to divide by."""
    return e.Where(small, instead, e.Div(top, e.Where(small, 1.0, bottom)))


def over(e: Emit, top: Value | float, bottom: Value) -> Value:
    """Top / bottom, and 0 where bottom is 0."""
    return quotient(e, top, bottom, e.Equal(bottom, 0.0), 0.0)


def log_mean(e: Emit, a: Value, b: Value, d: Value) -> Value:
    """(a - b) / d, where d = log a - log b: (a + b) tanh(d / 2) / d, in which nothing cancels.

    What is masked by minus infinity in both passes has a d that is no number, and a mean of 0.
    """
    still = e.Not(e.Greater(e.Abs(d), 0.0))
    return e.Mul(e.Add(a, b), quotient(e, e.Tanh(e.Mul(d, 0.5)), d, still, 0.5))


def with_values(e: Emit, node: Node, inputs: Sequence[Value], output: Value = "") -> Node:
    """The node, had it read other values of the same types and shapes; output: if it is another one too."""
    proto = NodeProto()
    proto.CopyFrom(node.proto)
    proto.input[:] = inputs
    if output:
        proto.output[:] = [output]
    wanted = set(node.wanted)
    for made, known in zip((*inputs, *proto.output), (*node.inputs, *node.outputs), strict=False):
        if made != known and known in e.facts.shapes:
            e.facts.note(made, known)
        if known in node.wanted:
            wanted.add(made)
    return replace(node, proto=proto, wanted=frozenset(wanted))


def gradients(e: Emit, node: Node, m: Value) -> Gradients:
    """What the gradient's rule says of it."""
    assert node.path is not None, "a rule is asked on a walk"
    return GRADIENT[node.proto.op_type, version_of(node.proto, node.path.opset)].rule(e, node, m)


def gradient(e: Emit, node: Node, m: Value, place: int = 0) -> Value:
    """Of one input."""
    found = gradients(e, node, m)[place]
    assert found is not None, "the gradient of what is explained"
    return found
