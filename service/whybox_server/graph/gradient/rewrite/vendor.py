"""Operators of onnxruntime's own, which it writes into models that it has optimised and saved."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites

MICROSOFT = "com.microsoft"


@rewrites(MICROSOFT, "QuickGelu")
def quick_gelu(e: Emit, node: Node) -> list[Value]:
    """The product x sigmoid(alpha x)."""
    x = node.input
    return [e.Mul(x, e.Sigmoid(e.Mul(x, node.attr("alpha", 1.702))))]
