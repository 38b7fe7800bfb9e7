"""Reverse-mode differentiation of ONNX graphs: a table of rules, and a walk that applies them."""

from whybox_server.core.rows_probed import SEED
from whybox_server.graph.gradient.differentiate import LARGEST, RESULT, differentiate

__all__ = ["LARGEST", "RESULT", "SEED", "differentiate"]
