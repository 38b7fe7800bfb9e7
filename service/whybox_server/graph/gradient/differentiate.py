"""An ONNX graph in, an ONNX graph of its gradient out, made of standard operators only.

The result runs wherever the model does. Nothing here knows what a model means, or a runtime.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

from onnx import ModelProto, NodeProto, ValueInfoProto, helper

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows_probed import SEED
from whybox_server.graph.gradient.check import ensures, requires
from whybox_server.graph.gradient.emit import Builder
from whybox_server.graph.gradient.facts import FLOATING, Facts, Value
from whybox_server.graph.gradient.normalise import normalise, restore
from whybox_server.graph.gradient.notes import notes_on, write_notes
from whybox_server.graph.gradient.path import known_to, path
from whybox_server.graph.gradient.reuse import reuse
from whybox_server.graph.gradient.rules import GRADIENT
from whybox_server.graph.gradient.table import Composite
from whybox_server.graph.gradient.tape import backward
from whybox_server.graph.gradient.twin import twin
from whybox_server.graph.walk import prune

RESULT, LARGEST = "whybox_gradient", "whybox_largest"
PRODUCER = "whybox"
PLAIN = Composite(GRADIENT)


def differentiate(
    model: ModelProto, wrt: str | None = None, of: str | None = None, rules: Composite = PLAIN
) -> ModelProto:
    """A model that also computes the gradient of sum(seed * of) with respect to `wrt`.

    wrt: an input, or any other tensor of the graph; None: the only input of real numbers. of: an
    output, or any other tensor; None: the first output of real numbers. The result has one more
    input, the seed (named `whybox_seed` if that name is free), shaped like `of`, and one more output,
    the gradient (`whybox_gradient`), shaped like `wrt`; both are its last. Its opset is 18 to 21.
    rules: how the way back is taken; the gradient's by default. If they compare with a reference, that is
    an input too (`whybox_reference`, shaped like `wrt`) and its score an output (`whybox_reference_score`,
    shaped like `of`). If they lead relevance back, the largest amount of it anywhere on the way is the
    output before the last (`whybox_largest`, one number per row). The model itself is not changed.
    Raises InvalidRequest for a tensor that is not there or holds no real numbers, and
    MethodUnsupported, naming every node in the way, if there is no gradient.
    """
    normal = normalise(model, {name for name in (wrt, of) if name}, known_to(rules))
    graph = normal.model.graph
    facts = Facts.of(graph)
    wrt = _real(facts, "wrt", wrt, graph.node) if wrt else _only_input(facts, normal.inputs, graph.node)
    of = _real(facts, "of", of, graph.node) if of else _first_output(facts, graph.output)
    if wrt == of:
        raise InvalidRequest.of("wrt", f"{wrt!r} is the tensor that is differentiated; name one before it")
    way = path(graph.node, facts, of, wrt, normal.opset)
    requires(way, graph.node, facts, rules)
    notes = notes_on(way, graph.node, facts)
    builder = Builder(graph, facts)
    if rules.twin:
        twin(builder, way)
    seed, result = builder.named(SEED), builder.named(RESULT)
    led = backward(builder, way, seed, rules)
    reuse(builder, (wrt, of))
    graph.node.append(helper.make_node("Identity", [led.result], [result], name=result))
    graph.input.append(_described(seed, of, facts))
    if of not in [entry.name for entry in graph.output]:
        graph.output.append(_described(of, of, facts))
    if led.largest:
        graph.output.append(_largest(builder, led.largest, of))
    graph.output.append(_described(result, wrt, facts))
    prune(graph)
    del graph.value_info[:]
    ensures(normal.model, result, graph.output[-1].type, strict=normal.sound)
    restore(normal.model, normal)
    write_notes(normal.model, notes)
    normal.model.producer_name = PRODUCER
    return normal.model


def _largest(builder: Builder, found: Value, of: Value) -> ValueInfoProto:
    name, facts = builder.named(LARGEST), builder.facts
    builder.graph.node.append(helper.make_node("Identity", [found], [name], name=name))
    return helper.make_tensor_value_info(name, facts.kinds[of], facts.shapes[of][:1] or (1,))


def _described(name: Value, like: Value, facts: Facts) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, facts.kinds[like], facts.shapes[like])


def _real(facts: Facts, field: str, name: Value, nodes: Iterable[NodeProto]) -> Value:
    """A tensor by its name, if it is there and holds real numbers."""
    if name not in facts.kinds:
        near = get_close_matches(name, facts.kinds, n=3, cutoff=0)
        raise InvalidRequest.of(field, f"the graph has no tensor {name!r}; did you mean {' or '.join(near)}?")
    if name in facts.quantised or not facts.floating(name):
        raise InvalidRequest.of(field, f"{name!r} holds no real numbers{_embeddings(facts, nodes)}")
    return name


def _first_output(facts: Facts, outputs: Iterable[ValueInfoProto]) -> Value:
    real = [entry.name for entry in outputs if facts.kinds[entry.name] in FLOATING]
    if not real:
        raise InvalidRequest.of("of", "no output of the model holds real numbers; name a tensor before them")
    return real[0]


def _only_input(facts: Facts, inputs: Sequence[Value], nodes: Iterable[NodeProto]) -> Value:
    real = [name for name in inputs if facts.kinds[name] in FLOATING]
    if not real:
        raise InvalidRequest.of("wrt", f"no input holds real numbers{_embeddings(facts, nodes)}")
    if len(real) > 1:
        raise InvalidRequest.of("wrt", f"the model has several inputs; name one of {', '.join(real)}")
    return real[0]


def _embeddings(facts: Facts, nodes: Iterable[NodeProto]) -> str:
    """Ends a sentence about whole numbers: the tensors that they are looked up as."""
    tables = [
        node.output[0]
        for node in nodes
        if node.op_type == "Gather"
        and facts.floating(node.output[0])
        and node.input[1] not in facts.constants
    ]
    return f"; name what they are looked up as: {', '.join(tables[:3])}" if tables else ""
