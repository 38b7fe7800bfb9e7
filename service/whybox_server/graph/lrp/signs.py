"""Which tensors are known to hold no negative numbers: for them half of a rule's work is left out."""

from __future__ import annotations

from onnx import NodeProto

from whybox_server.graph.gradient.facts import Facts, Value

RECTIFIED = frozenset({"Abs", "Exp", "HardSigmoid", "Relu", "Sigmoid", "Softmax", "Softplus", "Sqrt"})
KEEPS_SIGN = frozenset(
    {
        "Add",
        "AveragePool",
        "Cast",
        "Concat",
        "Dropout",
        "Flatten",
        "Gather",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Identity",
        "MaxPool",
        "Mul",
        "ReduceMax",
        "ReduceMean",
        "ReduceSum",
        "Reshape",
        "Slice",
        "Split",
        "Squeeze",
        "Sum",
        "Transpose",
        "Unsqueeze",
    }
)
FARTHEST = 12  # nodes to look back; a chain of residual sums ends at its rectifiers


def nonnegative(facts: Facts, x: Value, farthest: int = FARTHEST) -> bool:
    """True only if it is known."""
    fixed = facts.array(x)
    if fixed is not None:
        return bool((fixed >= 0).all())
    node = facts.makers.get(x)
    if node is None or not farthest:
        return False
    if node.op_type in RECTIFIED:
        return True
    if node.op_type == "Clip":
        return _clipped(facts, node)
    if node.op_type not in KEEPS_SIGN:
        return False
    return all(nonnegative(facts, name, farthest - 1) for name in node.input if facts.floating(name))


def _clipped(facts: Facts, node: NodeProto) -> bool:
    low = facts.array(node.input[1]) if len(node.input) > 1 and node.input[1] else None
    return low is not None and bool((low >= 0).all())
