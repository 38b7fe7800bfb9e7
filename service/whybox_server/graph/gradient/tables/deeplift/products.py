"""Products of values that both depend on what is explained: gates, attention.

d(a b) = mean(b) da + mean(a) db exactly, mean being that of a value and its reference: the gradient of
any bilinear operator, taken half way between the two passes.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import (
    gradients,
    middle,
    multipliers,
    with_values,
)

BILINEAR = ("Conv", "ConvTranspose", "Einsum", "Gemm", "MatMul", "Mul")


@multipliers(*BILINEAR)
def product(e: Emit, node: Node, m: Value) -> Gradients:
    """With one factor only that depends on what is explained, this is the gradient."""
    if sum(e.reference(x) != x for x in node.inputs) < 2:
        return gradients(e, node, m)
    return gradients(e, with_values(e, node, [middle(e, x) for x in node.inputs]), m)
