"""Brings a model into the form that the rules are written for. The caller's model is not changed.

One opset between 18 and 21, no functions, no names for names, every constant an initializer, shapes
inferred. Large weights are set aside meanwhile: no rule looks at their numbers, so that a large model
costs no more than a small one.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, checker, defs, helper, inliner
from onnx.shape_inference import InferenceError, infer_shapes
from onnx.version_converter import ConvertError, convert_version

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.fold import fold
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.gradient.path import version_of
from whybox_server.graph.walk import (
    SMALL_TENSOR_BYTES,
    holds_large_tensor,
    input_like,
    reads,
    real_inputs,
    without_weights,
)

OLDEST, NEWEST = 18, 21  # below, operators differ; above, GPU kernels are missing
FREE_INITIALIZERS = 4  # IR version since which an initializer need not be an input

Known = Callable[[NodeProto, int], bool]


@dataclass(frozen=True, slots=True, eq=False)
class Normal:
    """model: its large weights are inputs. weights: those tensors. inputs: names of the real inputs."""

    model: ModelProto
    weights: tuple[TensorProto, ...]
    inputs: tuple[Value, ...]
    opset: int


def normalise(model: ModelProto, keep: Collection[Value], known: Known) -> Normal:
    """keep: values whose names must stay. known: operators that need not be expanded.

    Raises MethodUnsupported for a model that cannot be brought to opset 18 to 21.
    """
    weights = tuple(_large(model))
    inputs = tuple(entry.name for entry in real_inputs(model.graph))
    try:
        bare = without_weights(model)
        _keep_inputs(bare, {*inputs, *(tensor.name for tensor in weights)})
        work = _converted(inliner.inline_local_functions(bare))
        work = _expanded(work, known)
        fold(work, {*keep, *(entry.name for entry in work.graph.output)})
        work = infer_shapes(work, data_prop=True, strict_mode=True)
    except (InferenceError, checker.ValidationError, RuntimeError) as error:
        raise MethodUnsupported(
            f"the graph is not valid ONNX, so that it cannot be differentiated: {error}"
        ) from error
    return Normal(work, weights, inputs, opset_of(work))


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


def opset_of(model: ModelProto) -> int:
    """Of the standard domain; 0: the model imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 0)


def _large(model: ModelProto) -> Iterator[TensorProto]:
    for tensor in model.graph.initializer:
        if tensor.ByteSize() > SMALL_TENSOR_BYTES:
            yield tensor
    for node in filter(holds_large_tensor, model.graph.node):
        for entry in node.attribute:
            if entry.type == AttributeProto.TENSOR:
                named = TensorProto()
                named.CopyFrom(entry.t)
                named.name = node.output[0]
                yield named


def _converted(model: ModelProto) -> ModelProto:
    opset = opset_of(model)
    wanted = min(max(opset, OLDEST), NEWEST)
    if not opset:
        model.opset_import.append(helper.make_opsetid("", wanted))
    elif opset != wanted:
        model.ir_version = max(model.ir_version, FREE_INITIALIZERS)
        try:
            model = convert_version(model, wanted)
        except (ConvertError, RuntimeError, ValueError) as error:
            raise MethodUnsupported(
                f"the model's opset {opset} cannot be converted to {wanted}: {error}; export it with an opset "
                f"from {OLDEST} to {NEWEST}"
            ) from error
    needed = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed)
    return model


def _expanded(model: ModelProto, known: Known) -> ModelProto:
    """Operators without a rule that ONNX itself defines by others are replaced by these."""
    opset = opset_of(model)
    ops = {
        (node.domain, node.op_type)
        for node in model.graph.node
        if node.domain in STANDARD and not known(node, opset) and _has_body(node, opset)
    }
    if not ops:
        return model
    typed = infer_shapes(model)
    for node in typed.graph.node:
        if (node.domain, node.op_type) in ops:
            _write_defaults(node, opset)
    known_already = {entry.name for entry in typed.graph.input}
    typed.graph.value_info.extend(
        input_like(tensor, tensor.name)
        for tensor in typed.graph.initializer
        if tensor.name not in known_already
    )  # the inliner looks for the types of constants there
    return inliner.inline_selected_functions(typed, sorted(ops), inline_schema_functions=True)


def _write_defaults(node: NodeProto, opset: int) -> None:
    """In place: attributes left to their defaults, which bodies refer to and the inliner does not know."""
    given = {entry.name for entry in node.attribute}
    for name, entry in defs.get_schema(node.op_type, opset).attributes.items():
        if name not in given and entry.default_value.name:
            node.attribute.append(entry.default_value)


def _has_body(node: NodeProto, opset: int) -> bool:
    if not version_of(node, opset):
        return False
    schema: Any = defs.get_schema(node.op_type, opset)  # its type stub lacks what follows
    return bool(schema.has_function or schema.has_context_dependent_function)
