"""Products with a vector, said as products with a matrix of one column.

onnxruntime 1.31 joins a Transpose with the MatMul behind it, and forgets to when the right operand is a
vector: the result is that of the matrix not transposed. What a graph of gradients shares with its
forward pass brings such pairs together where the model had none.
"""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites


@rewrites("", "MatMul")
def matrix_times_vector(e: Emit, node: Node) -> list[Value] | None:
    a, b = node.inputs
    if e.rank(b) != 1:
        return None
    return [e.Squeeze(e.MatMul(a, e.Unsqueeze(b, [1])), [-1])]
