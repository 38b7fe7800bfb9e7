"""Relevance at the nodes that have no weights.

Where each number that comes out depends on one number that went in, all relevance goes there. Where
numbers are moved or selected, the gradient moves it back. Sums and averages share it by what each
summand gave; a product of two tensors shares it evenly.
"""

from __future__ import annotations

from dataclasses import replace

from onnx import defs

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Entry, Gradients, Key, Rule, Table
from whybox_server.graph.gradient.versions import NEWEST, OLDEST
from whybox_server.graph.lrp.gates import carrier
from whybox_server.graph.lrp.rules import stable

MOVES = frozenset(
    {
        "Cast",
        "CastLike",
        "Concat",
        "DepthToSpace",
        "DequantizeLinear",
        "Dropout",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "GlobalMaxPool",
        "Identity",
        "Max",
        "MaxPool",
        "Min",
        "Pad",
        "QuantizeLinear",
        "ReduceMax",
        "ReduceMin",
        "Reshape",
        "ReverseSequence",
        "ScatterElements",
        "ScatterND",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "TopK",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    }
)

# Elementwise functions, and normalisations, whose statistics count as constants (Achtibat et al. 2024,
# section 3.3.2; a batch normalisation that was not merged into a convolution is one too).
PASSES = frozenset(
    {
        "Abs",
        "Acos",
        "Acosh",
        "Asin",
        "Asinh",
        "Atan",
        "Atanh",
        "BatchNormalization",
        "Celu",
        "Clip",
        "Cos",
        "Cosh",
        "Elu",
        "Erf",
        "Exp",
        "Gelu",
        "GroupNormalization",
        "HardSigmoid",
        "HardSwish",
        "InstanceNormalization",
        "LRN",
        "LayerNormalization",
        "LeakyRelu",
        "Log",
        "MeanVarianceNormalization",
        "Mish",
        "Neg",
        "PRelu",
        "Pow",
        "Reciprocal",
        "Relu",
        "Selu",
        "Shrink",
        "Sigmoid",
        "Sin",
        "Sinh",
        "Softplus",
        "Softsign",
        "Sqrt",
        "Tan",
        "Tanh",
        "ThresholdedRelu",
    }
)

SUMS = frozenset({"AveragePool", "CumSum", "GlobalAveragePool", "Mean", "ReduceMean", "ReduceSum", "Resize"})


def versions(*ops: str) -> list[Key]:
    """The keys of these operators at the opsets that graphs are normalised to."""
    keys = {}
    for op in sorted(ops):
        for opset in range(OLDEST, NEWEST + 1):
            try:
                keys[op, defs.get_schema(op, opset).since_version] = True
            except defs.SchemaError:  # newer than this opset
                continue
    return [*keys]


def moves() -> Table:
    """As the gradient does: of a MaxPool, the winner takes all."""
    return {key: entry for key, entry in GRADIENT.items() if key[0] in MOVES}


def _pass(e: Emit, node: Node, r: Value) -> Gradients:
    return [r]


def _first_alone(facts: Facts, node: Node) -> str:
    more = [name for name in node.inputs[1:] if name in node.wanted]
    return f"its {more[0]!r} depends on what is explained" if more else ""


def passes() -> Table:
    return {key: Entry(_pass, key[0] == "Pow", refuses=_first_alone) for key in versions(*PASSES)}


def sums(epsilon: float) -> Table:
    """Shares by what each summand gave to the sum."""

    def shared(gradient: Rule) -> Rule:
        def rule(e: Emit, node: Node, r: Value) -> Gradients:
            given = gradient(e, node, e.Div(r, stable(e, node.output, epsilon)))
            pairs = zip(node.inputs, given, strict=False)
            return [e.Mul(x, dx) if dx is not None and x in node.wanted else None for x, dx in pairs]

        return rule

    def alone_or(rule: Rule) -> Rule:
        """A constant that is added to one tensor takes nothing."""

        def either(e: Emit, node: Node, r: Value) -> Gradients:
            places = [place for place in range(len(node.inputs)) if node.wants(place)]
            return rule(e, node, r) if len(places) > 1 else _to(places[0], r)

        return either

    table = {}
    for key, entry in GRADIENT.items():
        if key[0] in SUMS:
            table[key] = replace(entry, rule=shared(entry.rule), divides=True)
        elif key[0] in ("Add", "Sub", "Sum"):
            table[key] = replace(entry, rule=alone_or(shared(entry.rule)), divides=True)
    return table


def _to(place: int, r: Value) -> Gradients:
    return [*[None] * place, r]


def _product(e: Emit, node: Node, r: Value) -> Gradients:
    """Half to each factor (Achtibat et al. 2024, proposition 3.3); a constant factor takes nothing.

    x g(x) is an activation, such as SiLU, that was exported as a product: then all goes to x.
    """
    places = [place for place in (0, 1) if node.wants(place)]
    if len(places) == 1:
        return _to(places[0], r)
    place = carrier(e.facts, node)
    if place is not None:
        return _to(place, r)
    half = e.Mul(r, 0.5)
    return [half, half]


def _quotient(e: Emit, node: Node, r: Value) -> Gradients:
    """All to what is divided: a divisor counts as a constant, as in normalisations."""
    return [r]


def _divides_only(facts: Facts, node: Node) -> str:
    return "" if node.wants(0) else "what is explained only divides"


def _softmax(e: Emit, node: Node, r: Value) -> Gradients:
    """Achtibat et al. 2024, proposition 3.1: x (r - y sum(r)); what is masked out has none."""
    x, y = node.input, node.output
    total = e.ReduceSum(r, [node.attr("axis", -1)], keepdims=1)
    return [e.Mul(e.Where(e.Greater(y, 0.0), x, 0.0), e.Sub(r, e.Mul(y, total)))]


def _is_score(facts: Facts, node: Node) -> str:
    return "relevance begins at a score; name the tensor before it as what is explained"


def mixed() -> Table:
    """Products, quotients and softmax."""
    table: dict[Key, Entry] = {}
    table |= {key: Entry(_product, broadcasts=True) for key in versions("Mul")}
    table |= {key: Entry(_quotient, broadcasts=True, refuses=_divides_only) for key in versions("Div")}
    table |= {key: Entry(_softmax, divides=True) for key in versions("Softmax")}
    return table | {key: Entry(_softmax, refuses=_is_score) for key in versions("LogSoftmax")}
