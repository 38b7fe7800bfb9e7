"""The gradient rules as data: (operator, schema version) -> rule.

A rule is registered for the exact versions it was checked against; a pair that is not here is refused
by name. Another table (guided, for instance) is this one with some entries replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node

if TYPE_CHECKING:
    from whybox_server.graph.gradient.path import Path

Gradients: TypeAlias = Sequence[Value | None]
Rule: TypeAlias = Callable[[Emit, Node, Value], Gradients]
Refusal: TypeAlias = Callable[[Facts, Node], str]
Key: TypeAlias = tuple[str, int]


def accepts(facts: Facts, node: Node) -> str:
    """A rule that takes every node of its operator."""
    return ""


@dataclass(frozen=True, slots=True)
class Entry:
    """A rule and what it asks for.

    broadcasts: its gradients have the output's shape; the walk sums them down to each input's.
    outputs: how many outputs may carry a gradient; None: any. refuses: says why a node is not taken.
    divides: what it passes on may be arbitrarily large, so that its size is worth knowing.
    """

    rule: Rule
    broadcasts: bool = False
    outputs: int | None = 1
    refuses: Refusal = accepts
    divides: bool = False


Table: TypeAlias = Mapping[Key, Entry]
Test: TypeAlias = "Callable[[Facts, Node, Path], bool]"


@dataclass(frozen=True, slots=True)
class Layer:
    """Entries for the nodes that a test picks, instead of those of the table.

    pattern: the caller named the nodes; it is an error if none on the path has such a name and an entry.
    """

    picks: Test
    table: Table
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class Composite:
    """Which entry each node follows: that of the first layer that picks it and has one, else the table's.

    relevance: the walk begins with seed * output, not with the seed: what is led back is the score itself.
    twin: the graph runs on a reference too, and rules see there what each value is compared with.
    title: of its rules, in a sentence about one that is missing.
    """

    table: Table
    layers: tuple[Layer, ...] = ()
    relevance: bool = False
    twin: bool = False
    title: str = "gradient"

    def entry(self, facts: Facts, node: Node, version: int, path: Path) -> Entry | None:
        """None: there is no rule for this operator at this version."""
        key = (node.proto.op_type, version)
        chosen = (one.table for one in self.layers if key in one.table and one.picks(facts, node, path))
        return next(chosen, self.table).get(key)

    def knows(self, key: Key) -> bool:
        """True if some entry is for this operator at this version."""
        return key in self.table or any(key in one.table for one in self.layers)


GRADIENT: dict[Key, Entry] = {}

# Constant wherever they have a derivative: a gradient stops here. What yields no real numbers (Shape,
# ArgMax, comparisons) needs no entry: gradients follow floating values only.
PIECEWISE_CONSTANT = frozenset(
    {
        "Bernoulli",
        "Binarizer",
        "Ceil",
        "ConstantOfShape",
        "EyeLike",
        "Floor",
        "Hardmax",
        "LabelEncoder",
        "OneHot",
        "OneHotEncoder",
        "RandomNormalLike",
        "RandomUniformLike",
        "Range",
        "Round",
        "Sign",
    }
)

# Rewritten in real numbers before anything else; what is left of them would cut a gradient off unseen.
WHOLE_NUMBERS = frozenset({"ConvInteger", "MatMulInteger", "QLinearConv", "QLinearMatMul"})

# Their steps are ignored: a gradient passes as if numbers were not rounded.
STRAIGHT_THROUGH = frozenset({"DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear"})


def vjp(
    op: str, *versions: int, broadcasts: bool = False, outputs: int | None = 1, refuses: Refusal = accepts
) -> Callable[[Rule], Rule]:
    """Register a rule: from the gradient of a node's first output to one gradient per input.

    None, or an input left out at the end, has no gradient.
    """

    def enter(rule: Rule) -> Rule:
        for version in versions:
            assert (op, version) not in GRADIENT, f"two rules for {op}-{version}"
            GRADIENT[op, version] = Entry(rule, broadcasts, outputs, refuses)
        return rule

    return enter
