"""One linear layer as the rules of relevance see it: forwards with any numbers, and back.

Every rule needs the layer's own operator with other inputs or weights, and that operator's transpose.
The transposes are the gradient's rules. A bias may stand behind the layer: exporters write a dense layer
as MatMul and Add.
"""

from __future__ import annotations

from dataclasses import dataclass

from onnx import NodeProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Rule

CONVOLUTIONS = ("Conv", "ConvTranspose")
PRODUCTS = ("Gemm", "MatMul", "Einsum")
BIAS = 2  # its place among the inputs of those that have one


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """z = L(x, w) + b.

    place: of x among the node's inputs, 0 or 1. b: as an operand of Add, shaped to fit z; None: there is
    none, or it is ignored. z: that of the forward pass, with b. gradient: the rule of the transpose.
    """

    e: Emit
    node: Node
    gradient: Rule
    place: int
    x: Value
    w: Value
    b: Value | None
    z: Value
    unbiased: Value

    def of(self, x: Value, w: Value, b: Value | None = None) -> Value:
        """L(x, w) + b."""
        operands = (w, x) if self.place else (x, w)
        scaled = ("alpha", "beta")  # Gemm's are in w and b
        attributes = {key: value for key, value in self.node.attributes.items() if key not in scaled}
        z = self.e.several(self.node.proto.op_type, 1, *operands, **attributes)[0]
        return z if b is None else self.e.Add(z, b)

    def back(self, q: Value, w: Value) -> Value:
        """The transpose of L(., w), applied to q; shaped like x."""
        proto = NodeProto()
        proto.CopyFrom(self.node.proto)
        proto.input[:] = [w, self.x] if self.place else [self.x, w]
        kept = [entry for entry in proto.attribute if entry.name not in ("alpha", "beta")]
        del proto.attribute[:]
        proto.attribute.extend(kept)
        found = self.gradient(self.e, Node(proto, wanted=frozenset({self.x})), q)[self.place]
        assert found is not None, "x is wanted"
        return found

    def changed(self, w: Value) -> Value:
        """Weights that were made from w."""
        return self.e.facts.note(w, self.w)


def linear(e: Emit, node: Node, gradient: Rule, *, zero_bias: bool) -> Linear:
    """A node with one input on the path. zero_bias: relevance is led back as if b were 0."""
    place = 0 if node.wants(0) else 1
    x, w = node.inputs[place], node.inputs[1 - place]
    if node.attr("alpha", 1.0) != 1:
        w = e.facts.note(e.Mul(w, node.attr("alpha", 1.0)), w)
    y, own = node.output, _own_bias(e, node)
    behind = None if own else bias_behind(e.facts, node)
    unbiased = e.Sub(y, own) if own else y
    if zero_bias:
        return Linear(e, node, gradient, place, x, w, None, unbiased, unbiased)
    if behind is None:
        return Linear(e, node, gradient, place, x, w, own, y, unbiased)
    added = next(name for name in behind.input if name != y)
    return Linear(e, node, gradient, place, x, w, added, behind.output[0], unbiased)


def _own_bias(e: Emit, node: Node) -> Value | None:
    op, b = node.proto.op_type, node.optional(BIAS)
    if not b or op not in (*CONVOLUTIONS, "Gemm"):
        return None
    if op in CONVOLUTIONS:
        return e.Unsqueeze(b, [*range(1, e.rank(node.output) - 1)])  # (c, 1, 1)
    return b if node.attr("beta", 1.0) == 1 else e.Mul(b, node.attr("beta", 1.0))


def bias_behind(facts: Facts, node: Node) -> NodeProto | None:
    """The Add that alone reads this node, adds what is not on the path, and changes no shape."""
    y, readers = node.output, facts.readers.get(node.output, ())
    if len(readers) != 1 or readers[0].op_type != "Add" or readers[0].output[0] not in node.wanted:
        return None
    (add,) = readers
    others = [name for name in add.input if name != y]
    fits = facts.shapes[add.output[0]] == facts.shapes[y]
    return add if fits and len(others) == 1 and others[0] not in node.wanted else None
