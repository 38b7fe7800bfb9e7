"""Operators that ONNX defines by others, replaced by these."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from onnx import ModelProto, NodeProto, defs, inliner
from onnx.shape_inference import infer_shapes

from whybox_server.graph.gradient.path import version_of
from whybox_server.graph.walk import input_like, nodes_in


def has_body(node: NodeProto, opset: int) -> bool:
    """True if ONNX defines this operator by others."""
    if not version_of(node, opset):
        return False
    schema: Any = defs.get_schema(node.op_type, opset)  # its type stub lacks what follows
    return bool(schema.has_function or schema.has_context_dependent_function)


def inlined(model: ModelProto, ops: Collection[tuple[str, str]], opset: int) -> ModelProto:
    """The model with the bodies of these (domain, operator) in their place."""
    if not ops:
        return model
    typed = infer_shapes(model)
    for node in nodes_in(typed.graph):
        if (node.domain, node.op_type) in ops:
            _write_defaults(node, opset)
    known = {entry.name for entry in typed.graph.input}
    typed.graph.value_info.extend(
        input_like(tensor, tensor.name) for tensor in typed.graph.initializer if tensor.name not in known
    )  # the inliner looks for the types of constants there
    return inliner.inline_selected_functions(typed, sorted(ops), inline_schema_functions=True)


def _write_defaults(node: NodeProto, opset: int) -> None:
    """In place: attributes left to their defaults, which bodies refer to and the inliner does not know."""
    given = {entry.name for entry in node.attribute}
    for name, entry in defs.get_schema(node.op_type, opset).attributes.items():
        if name not in given and entry.default_value.name:
            node.attribute.append(entry.default_value)
