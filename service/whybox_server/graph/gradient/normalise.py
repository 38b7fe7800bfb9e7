"""Brings a model into the form that the rules are written for. The caller's model is not changed.

One opset between 18 and 21, no functions, no names for names, every constant an initializer, shapes
inferred. Large weights are set aside meanwhile: no rule looks at their numbers, so that a large model
costs no more than a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from onnx import ModelProto, NodeProto, TensorProto, checker, inliner
from onnx.shape_inference import InferenceError, infer_shapes

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient.bodies import has_body, inlined
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.fold import fold
from whybox_server.graph.gradient.lengths import name_lengths
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.gradient.rewrite import rewritten
from whybox_server.graph.gradient.rewrite.merge import merge
from whybox_server.graph.gradient.settle import settle
from whybox_server.graph.gradient.versions import converted, opset_of
from whybox_server.graph.gradient.weights import large_weights, vet_weights
from whybox_server.graph.walk import nodes_in, reads, real_inputs, without_weights

Known = Callable[[NodeProto, int], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """model: its large weights are inputs. weights: those tensors. inputs: names of the real inputs.

    sound: shape inference has nothing to say against it.
    """

    model: ModelProto
    weights: tuple[TensorProto, ...]
    inputs: tuple[Value, ...]
    opset: int
    sound: bool


def normalise(model: ModelProto, keep: Collection[Value], known: Known) -> Normal:
    """keep: values whose names must stay. known: operators that need not be expanded.

    Raises MethodUnsupported for a model that cannot be brought to opset 18 to 21.
    """
    vet_weights(model)
    weights = tuple(large_weights(model))
    inputs = tuple(entry.name for entry in real_inputs(model.graph))
    try:
        bare = without_weights(model)
        _keep_inputs(bare, {*inputs, *(tensor.name for tensor in weights)})
        work = converted(inliner.inline_local_functions(bare))
        settle(work.graph)
        work = _expanded(rewritten(work), known)
        fold(work, {*keep, *(entry.name for entry in work.graph.output)})
        weights += tuple(merge(work, keep, weights))
        work, sound = _inferred(work)
        name_lengths(work.graph)
    except (InferenceError, checker.ValidationError, RuntimeError) as error:
        raise MethodUnsupported(
            f"the graph is not valid ONNX, so that it cannot be differentiated: {error}"
        ) from error
    return Normal(work, weights, inputs, opset_of(work), sound)


def _inferred(model: ModelProto) -> tuple[ModelProto, bool]:
    """With all types and shapes that can be known; and whether that went by the book.

    It does not where outputs are declared wrongly, as skl2onnx may do it, or follow an operator that
    nothing is known of; who needs what is unknown will say so.
    """
    try:
        return infer_shapes(model, data_prop=True, strict_mode=True), True
    except InferenceError:
        for entry in model.graph.output:
            if entry.type.HasField("tensor_type"):
                entry.type.tensor_type.ClearField("shape")
        return infer_shapes(model, data_prop=True), False


def restore(model: ModelProto, normal: Normal) -> None:
    """In place: the weights that are needed become initializers again, the other inputs stay."""
    read = {name for node in model.graph.node for name in reads(node)}
    aside = {tensor.name for tensor in normal.weights}
    _keep_inputs(model, {entry.name for entry in model.graph.input} - aside)
    model.graph.initializer.extend(tensor for tensor in normal.weights if tensor.name in read)


def _keep_inputs(model: ModelProto, names: Collection[Value]) -> None:
    """In place. Old files list their initializers as inputs too."""
    kept = [entry for entry in model.graph.input if entry.name in names]
    del model.graph.input[:]
    model.graph.input.extend(kept)


def _expanded(model: ModelProto, known: Known) -> ModelProto:
    """Operators without a rule that ONNX itself defines by others are replaced by these."""
    opset = opset_of(model)
    ops = {
        (node.domain, node.op_type)
        for node in nodes_in(model.graph)
        if node.domain in STANDARD and not known(node, opset) and has_body(node, opset)
    }
    return inlined(model, ops, opset)
