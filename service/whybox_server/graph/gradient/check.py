"""What must hold before a gradient is built, and after.

Before: every node on the path has a rule that takes it; all that have none are named at once.
After: the graph is valid ONNX, and the gradient is shaped like what it is a gradient of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from onnx import ModelProto, NodeProto, TypeProto, checker
from onnx.shape_inference import infer_shapes

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient.facts import FLOATING, Facts, Value
from whybox_server.graph.gradient.node import STANDARD, Node
from whybox_server.graph.gradient.path import Path, between, version_of
from whybox_server.graph.gradient.table import PIECEWISE_CONSTANT, Composite
from whybox_server.graph.walk import reads

REMEDY = "methods that only ask for scores, such as lime, kernel_shap and occlusion, still explain this model"
ALTERNATIVES = "lime, kernel_shap, occlusion"
TREES = "TreeEnsemble"


def requires(path: Path, nodes: Sequence[NodeProto], facts: Facts, rules: Composite) -> None:
    """Raises MethodUnsupported naming every node that stands in the way."""
    if not path.nodes:
        raise _refusal(_unconnected(path, nodes, facts), ())
    wrong = [(node, reason) for node in path.nodes for reason in _offences(node, path, facts, rules)]
    if wrong:
        listed = "; ".join(f"node {Node(node)}: {reason}" for node, reason in wrong)
        raise _refusal(f"the gradient cannot be built: {listed}", [node for node, _ in wrong])


def ensures(model: ModelProto, gradient: Value, wrt: TypeProto) -> None:
    """Asserts what a rule that is wrong would break."""
    checker.check_model(model, full_check=True)
    inferred = infer_shapes(model, data_prop=True, strict_mode=True)
    found = next(entry.type.tensor_type for entry in inferred.graph.output if entry.name == gradient)
    assert found.elem_type == wrt.tensor_type.elem_type, "a gradient has the element type of its tensor"
    assert len(found.shape.dim) == len(wrt.tensor_type.shape.dim), "and its rank"


def _refusal(message: str, nodes: Sequence[NodeProto]) -> MethodUnsupported:
    named = ", ".join(node.name or node.output[0] for node in nodes)
    return MethodUnsupported(f"{message}. {REMEDY}", alternatives=ALTERNATIVES, nodes=named)


def _offences(proto: NodeProto, path: Path, facts: Facts, rules: Composite) -> Iterator[str]:
    node, version = Node(proto), version_of(proto, path.opset)
    entry = rules.entry(facts, node, version, path)
    if proto.op_type.startswith(TREES):
        yield f"{proto.op_type} is constant between its thresholds, so that its gradient is zero"
    elif entry is None:
        yield f"there is no gradient rule for {_operator(proto, version)}"
    elif vague := _vague(node, path, facts):
        yield vague
    elif any(name in path.values for name in node.outputs[entry.outputs :] if entry.outputs):
        yield f"only the first output of {proto.op_type} has a gradient rule"
    elif reason := entry.refuses(facts, node):
        yield f"{proto.op_type}: {reason}"


def _operator(node: NodeProto, version: int) -> str:
    if node.domain not in STANDARD:
        return f"{node.domain}.{node.op_type}"
    return f"{node.op_type}-{version}" if version else f"{node.op_type}, which ONNX lacks at this opset"


def _vague(node: Node, path: Path, facts: Facts) -> str:
    """Rules build on ranks and element types."""
    touched = [name for name in (*node.inputs, *node.outputs) if name and facts.floating(name)]
    unknown = [name for name in touched if name not in facts.shapes or facts.kinds.get(name) not in FLOATING]
    if not unknown:
        return ""
    return f"the rank or type of {unknown[0]!r} cannot be inferred; export with known ranks"


def _unconnected(path: Path, nodes: Sequence[NodeProto], facts: Facts) -> str:
    """Why no gradient reaches what it is asked for."""
    ways = between(nodes, path.of, path.wrt)
    if not ways:
        return f"{path.of!r} does not depend on {path.wrt!r}"
    reached, stops = {path.wrt}, []
    for node in ways:
        if not any(facts.floating(name) and name in reached for name in reads(node)):
            continue
        if node.op_type in PIECEWISE_CONSTANT or not any(map(facts.floating, node.output)):
            stops.append(f"{node.op_type} (node {Node(node)})")
        else:
            reached.update(node.output)
    return f"{path.of!r} depends on {path.wrt!r} only through what has no derivative: " + ", ".join(stops)
