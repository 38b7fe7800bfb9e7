"""Matrix products."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp


@vjp("MatMul", 13)
def matmul(e: Emit, node: Node, dy: Value) -> Gradients:
    """Over the last two axes dA = dY B^T, dB = A^T dY; vectors are matrices of one row or column."""
    a, b = node.inputs
    row, column = e.rank(a) == 1, e.rank(b) == 1
    out = e.shape(node.output)
    batch = out[: len(out) - (not row) - (not column)]
    wide, tall = (e.Unsqueeze(a, [0]) if row else a), (e.Unsqueeze(b, [1]) if column else b)
    dy = e.Unsqueeze(dy, [-1]) if column else dy
    dy = e.Unsqueeze(dy, [-2]) if row else dy
    da = e.MatMul(dy, e.swapped(tall, max(e.rank(b), 2)))  # (*batch, n, k)
    db = e.MatMul(e.swapped(wide, max(e.rank(a), 2)), dy)  # (*batch, k, m)
    db = e.Squeeze(db, [-1]) if column else db
    return [
        e.sum_to(da, (*batch, *((1,) if row else ()), *e.shape(a)[-2:]), a),
        e.sum_to(db, (*batch, *e.shape(b)[-2:]), b),
    ]


@vjp("Gemm", 13)
def gemm(e: Emit, node: Node, dy: Value) -> Gradients:
    """For alpha A' B' + beta C, where A' or B' may be transposed; Gemm transposes back by itself."""
    a, b = node.inputs[:2]
    flip_a, flip_b, alpha = node.attr("transA", 0), node.attr("transB", 0), node.attr("alpha", 1.0)
    da = (
        e.Gemm(b, dy, alpha=alpha, transA=flip_b, transB=1)
        if flip_a
        else e.Gemm(dy, b, alpha=alpha, transB=1 - flip_b)
    )
    db = (
        e.Gemm(dy, a, alpha=alpha, transA=1, transB=flip_a)
        if flip_b
        else e.Gemm(a, dy, alpha=alpha, transA=1 - flip_a)
    )
    if not node.wants(2):
        return [da, db]
    dc = e.sum_to(dy, e.shape(node.output), node.inputs[2])
    beta = node.attr("beta", 1.0)
    return [da, db, dc if beta == 1 else e.Mul(dc, beta)]
