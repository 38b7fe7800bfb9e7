"""What must hold before a gradient is built, and after.

Before: every node on the path has a rule that takes it; all that have none are named at once.
After: the graph is valid ONNX, and the gradient is shaped like what it is a gradient of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches

from onnx import ModelProto, NodeProto, TypeProto, checker
from onnx.shape_inference import infer_shapes

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.graph.gradient.facts import FLOATING, Facts, Value
from whybox_server.graph.gradient.inner import inner_graphs, wanted
from whybox_server.graph.gradient.node import STANDARD, Node
from whybox_server.graph.gradient.path import Path, between, version_of
from whybox_server.graph.gradient.table import PIECEWISE_CONSTANT, WHOLE_NUMBERS, Composite
from whybox_server.graph.walk import reads

REMEDY = "methods that only ask for scores, such as lime, kernel_shap and occlusion, still explain this model"
ALTERNATIVES = "lime, kernel_shap, occlusion"
TREES = "TreeEnsemble"
VAGUE = "the rank or type of"


def requires(path: Path, nodes: Sequence[NodeProto], facts: Facts, rules: Composite) -> None:
    """Raises MethodUnsupported naming every node that stands in the way.

    And InvalidRequest for a layer that the caller named and the path has not, with the nearest names.
    """
    if not path.nodes:
        raise _refusal(unconnected(path, nodes, facts), ())
    _followed(path, facts, rules)
    wrong = [*_wrong(path, facts, rules), *_unseen(path, nodes)]
    # Behind an operator that nothing is known of, nothing is known of values either.
    wrong = [one for one in wrong if not one[1].startswith(VAGUE)] or wrong
    if wrong:
        listed = "; ".join(f"node {Node(node)}: {reason}" for node, reason in wrong)
        raise _refusal(f"the {rules.title} cannot be built: {listed}", [node for node, _ in wrong])


def _wrong(path: Path, facts: Facts, rules: Composite) -> Iterator[tuple[NodeProto, str]]:
    """The nodes in the way, and what is wrong with them; graphs inside a node that is taken are looked into."""
    for node in path.nodes:
        reasons = list(_offences(node, path, facts, rules))
        yield from ((node, reason) for reason in reasons)
        for inner in () if reasons else inner_graphs(facts, node, path):
            yield from _wrong(inner.path, inner.facts, rules)


def _unseen(path: Path, nodes: Sequence[NodeProto]) -> Iterator[tuple[NodeProto, str]]:
    for node in between(nodes, path.of, path.wrt):
        if node.op_type in WHOLE_NUMBERS:
            yield node, f"this {node.op_type} of quantised numbers has no equivalent in real ones"


def _followed(path: Path, facts: Facts, rules: Composite) -> None:
    nodes = [(Node(proto, {}, path.values), version_of(proto, path.opset)) for proto in path.nodes]
    for layer in (layer for layer in rules.layers if layer.pattern):
        ruled = [node for node, version in nodes if (node.proto.op_type, version) in layer.table]
        if not any(layer.picks(facts, node, path) for node in ruled):
            near = get_close_matches(layer.pattern, dict.fromkeys(_names(ruled)), n=3, cutoff=0)
            offer = f"; did you mean {' or '.join(near)}?" if near else ""
            raise InvalidRequest.of(
                "layers", f"no layer that takes this rule is named {layer.pattern!r}{offer}"
            )


def _names(nodes: Iterable[Node]) -> Iterator[str]:
    for node in nodes:
        yield from node.names


def ensures(model: ModelProto, gradient: Value, wrt: TypeProto, *, strict: bool) -> None:
    """Asserts what a rule that is wrong would break. strict: for a model that was inferred without fault."""
    checker.check_model(model, full_check=strict)
    inferred = infer_shapes(model, data_prop=True, strict_mode=strict)
    found = next(entry.type.tensor_type for entry in inferred.graph.output if entry.name == gradient)
    assert found.elem_type == wrt.tensor_type.elem_type, "a gradient has the element type of its tensor"
    assert len(found.shape.dim) == len(wrt.tensor_type.shape.dim), "and its rank"


def _refusal(message: str, nodes: Sequence[NodeProto]) -> MethodUnsupported:
    named = ", ".join(node.name or node.output[0] for node in nodes)
    return MethodUnsupported(f"{message}. {REMEDY}", alternatives=ALTERNATIVES, nodes=named)


def _offences(proto: NodeProto, path: Path, facts: Facts, rules: Composite) -> Iterator[str]:
    node, version = Node(proto, {}, path.values, path, rules), version_of(proto, path.opset)
    entry = rules.entry(facts, node, version, path)
    if proto.op_type.startswith(TREES):
        yield f"{proto.op_type} is constant between its thresholds, so that its gradient is zero"
    elif entry is None:
        yield f"there is no {rules.title} rule for {_operator(proto, version)}"
    elif vague := _vague(node, path, facts):
        yield vague
    elif any(name in path.values for name in node.outputs[entry.outputs :] if entry.outputs):
        yield f"only the first output of {proto.op_type} has a {rules.title} rule"
    elif reason := entry.refuses(facts, node):
        yield f"{proto.op_type}: {reason}"


def _operator(node: NodeProto, version: int) -> str:
    if node.domain not in STANDARD:
        fused = node.domain == "com.microsoft"  # onnxruntime writes them when it saves an optimised model
        return f"{node.domain}.{node.op_type}" + "; use the model as it was before a runtime fused it" * fused
    return f"{node.op_type}-{version}" if version else f"{node.op_type}, which ONNX lacks at this opset"


def _vague(node: Node, path: Path, facts: Facts) -> str:
    """Rules build on ranks and element types."""
    touched = [name for name in (*node.inputs, *node.outputs) if name and facts.floating(name)]
    touched += wanted(node.proto, path.values)
    unknown = [name for name in touched if name not in facts.shapes or facts.kind(name) not in FLOATING]
    if not unknown:
        return ""
    return f"{VAGUE} {unknown[0]!r} cannot be inferred; export with known ranks"


def unconnected(path: Path, nodes: Sequence[NodeProto], facts: Facts) -> str:
    """Why no gradient reaches what it is asked for."""
    ways = between(nodes, path.of, path.wrt)
    if not ways:
        return f"{path.of!r} does not depend on {path.wrt!r}"
    reached, stops = {path.wrt}, []
    for node in ways:
        if not any(facts.floating(name) and name in reached for name in reads(node)):
            continue
        if node.op_type not in PIECEWISE_CONSTANT:
            reached.update(filter(facts.floating, node.output))
        if node.op_type in PIECEWISE_CONSTANT or not all(
            facts.floating(name) for name in node.output if name
        ):
            stops.append(f"{node.op_type} (node {Node(node)})")
    return f"{path.of!r} depends on {path.wrt!r} only through what has no derivative: " + ", ".join(stops)
