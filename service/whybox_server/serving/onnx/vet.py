"""Reads an ONNX file and refuses what this server does not run, before a runtime sees any of it.

Loading is the dangerous moment: a file of 1.4 KB can make a runtime fold constants for gigabytes.
Every refusal names its rule. What cannot be judged from the file alone is for `trial`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from google.protobuf.message import DecodeError
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, defs
from onnx.inliner import inline_local_functions

from whybox_server.core.errors import ModelRejected, TooLarge, WhyboxError
from whybox_server.graph.growth import check_growth
from whybox_server.graph.walk import real_inputs, subgraphs
from whybox_server.serving.onnx.tensors import check_tensors

MIB = 1 << 20
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft"})
MOST_ERROR_TEXT = 300
OLDEST_OPSET = 7  # onnxruntime promises nothing below
IR_VERSION_TAG = 0x08  # an ONNX file normally starts with field 1, its ir_version
ENDLESS = frozenset({"Loop"})  # a Scan ends with its input, an If at once


@dataclass(frozen=True, slots=True)
class Limits:
    """What a file may be. trusted: it lies in the operator's own folder, or the caller is this process."""

    size_bytes: int = 512 * MIB
    nodes: int = 100_000  # after functions are expanded
    tensors: int = 100_000
    depth: int = 8  # of subgraphs and functions
    folded_bytes: int = 512 * MIB  # of all constants a runtime would compute at loading
    trusted: bool = False


UNTRUSTED = Limits()
TRUSTED = replace(UNTRUSTED, trusted=True)


def vet(data: bytes, limits: Limits) -> ModelProto:
    """The model in these bytes.

    Raises TooLarge, or ModelRejected with the `rule` that it breaks: EMPTY, NOT_ONNX, OPSET, NO_INPUTS,
    NO_OUTPUTS, TRAINING, DOMAIN, EXTERNAL_DATA, TENSOR_SIZE, DUPLICATE_NAME, TOO_MANY_NODES,
    TOO_MANY_TENSORS, TOO_DEEP, RECURSION, LOOP, GROWTH, MALFORMED.
    """
    if not data:
        raise ModelRejected("the file is empty", rule="EMPTY")
    if len(data) > limits.size_bytes:
        raise TooLarge(
            f"the model has {len(data)} bytes and at most {limits.size_bytes} are taken",
            limit=limits.size_bytes,
        )
    model = _parsed(data)
    try:
        _check(model, limits)
    except WhyboxError:
        raise
    except Exception as error:  # onnx and protobuf raise a dozen unrelated kinds on graphs that are none
        said = " ".join(str(error).split())[:MOST_ERROR_TEXT]
        raise ModelRejected(f"the graph is not valid ONNX: {said}", rule="MALFORMED") from error
    return model


def _check(model: ModelProto, limits: Limits) -> None:
    _check_opsets(model)
    _check_ends(model.graph)
    _check_functions(model, limits)
    graphs = list(_graphs(model.graph, limits.depth))
    nodes = list(chain.from_iterable(graph.node for graph in graphs))
    _check_counts(graphs, nodes, limits)
    _check_domains(model, nodes)
    check_tensors(model, graphs, nodes)
    for graph in graphs:
        _check_names(graph)
    if not limits.trusted:
        _check_loops(model, nodes)
        check_growth(inline_local_functions(model) if model.functions else model, limits.folded_bytes)


def _parsed(data: bytes) -> ModelProto:
    try:
        model = ModelProto.FromString(data)
    except DecodeError:
        model = None
    if model is None or not model.HasField("graph") or not model.graph.node:
        if data[0] == IR_VERSION_TAG:
            raise ModelRejected("the ONNX file is damaged or ends too early; send it again", rule="NOT_ONNX")
        raise ModelRejected("this is not an ONNX file", rule="NOT_ONNX")
    return model


def _check_opsets(model: ModelProto) -> None:
    if model.training_info:
        raise ModelRejected("the file holds training graphs; export the model for inference", rule="TRAINING")
    versions = {entry.domain: entry.version for entry in model.opset_import}
    version = versions.get("", versions.get("ai.onnx"))
    newest = defs.onnx_opset_version()
    if version is not None and not OLDEST_OPSET <= version <= newest:
        raise ModelRejected(
            f"opset {version} is not supported; export the model with one from {OLDEST_OPSET} to {newest}",
            rule="OPSET",
        )
    if not versions:
        raise ModelRejected("the file does not say which opset its operators are of", rule="OPSET")


def _check_ends(graph: GraphProto) -> None:
    if not real_inputs(graph):
        raise ModelRejected("the model has no inputs, so there is nothing to explain", rule="NO_INPUTS")
    if not graph.output:
        raise ModelRejected("the model has no outputs, so there is nothing to explain", rule="NO_OUTPUTS")


def _check_functions(model: ModelProto, limits: Limits) -> None:
    """Functions may call each other, but not themselves; how many nodes they become is bounded."""
    bodies = {(function.domain, function.name): function for function in model.functions}
    if len(bodies) < len(model.functions):
        raise ModelRejected("two functions of the model have the same name", rule="DUPLICATE_NAME")
    sizes: dict[tuple[str, str], int] = {}

    def expanded(nodes: Sequence[NodeProto], open_calls: tuple[tuple[str, str], ...]) -> int:
        return sum(size(node, open_calls) for node in nodes)

    def size(node: NodeProto, open_calls: tuple[tuple[str, str], ...]) -> int:
        inner = sum(expanded(graph.node, open_calls) for graph in subgraphs(node))
        key = (node.domain, node.op_type)
        if key not in bodies:
            return 1 + inner
        if key in open_calls:
            raise ModelRejected(f"function {node.op_type!r} calls itself", rule="RECURSION")
        if len(open_calls) >= limits.depth:
            raise ModelRejected(f"functions are nested deeper than {limits.depth}", rule="TOO_DEEP")
        if key not in sizes:
            sizes[key] = expanded(bodies[key].node, (*open_calls, key))
        return min(sizes[key] + inner, limits.nodes + 1)

    if expanded(model.graph.node, ()) > limits.nodes:
        raise ModelRejected(f"the model has more than {limits.nodes} nodes", rule="TOO_MANY_NODES")


def _graphs(graph: GraphProto, depth: int) -> Iterator[GraphProto]:
    """The graph and all graphs inside its nodes. Raises ModelRejected below `depth`."""
    if depth == 0:
        raise ModelRejected("subgraphs are nested too deeply", rule="TOO_DEEP")
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from _graphs(inner, depth - 1)


def _check_counts(graphs: Sequence[GraphProto], nodes: Sequence[NodeProto], limits: Limits) -> None:
    if len(nodes) > limits.nodes:
        raise ModelRejected(f"the model has more than {limits.nodes} nodes", rule="TOO_MANY_NODES")
    tensors = sum(len(graph.initializer) + len(graph.sparse_initializer) for graph in graphs)
    if tensors > limits.tensors:
        raise ModelRejected(f"the model has more than {limits.tensors} tensors", rule="TOO_MANY_TENSORS")


def _check_domains(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    own = {function.domain for function in model.functions}
    for node in chain(nodes, *(function.node for function in model.functions)):
        if node.domain not in DOMAINS | own:
            raise ModelRejected(
                f"operator {node.op_type!r} is of domain {node.domain!r}, for which no library is loaded; "
                "export the model with standard operators",
                rule="DOMAIN",
            )


def _check_names(graph: GraphProto) -> None:
    """Every value of a graph is made once: else a checker and a runtime may see different models."""
    weights = [tensor.name for tensor in graph.initializer]
    made = [output for node in graph.node for output in node.output if output]
    inputs = [entry.name for entry in graph.input]
    for names in (weights, [*made, *{*weights, *inputs}], inputs, [entry.name for entry in graph.output]):
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise ModelRejected(f"two values of the graph are named {name!r}", rule="DUPLICATE_NAME")
            seen.add(name)


def _check_loops(model: ModelProto, nodes: Sequence[NodeProto]) -> None:
    bodies: list[FunctionProto] = list(model.functions)
    if any(node.op_type in ENDLESS for node in chain(nodes, *(body.node for body in bodies))):
        raise ModelRejected(
            "the model has a Loop, which may never end; only models of the server's own folder may have one",
            rule="LOOP",
        )
