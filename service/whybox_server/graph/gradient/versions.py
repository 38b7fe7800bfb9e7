"""Brings a model to an opset that the rules are written for: up to 18, or down to 21."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper
from onnx.version_converter import ConvertError, convert_version

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient.bodies import has_body, inlined
from whybox_server.graph.gradient.node import STANDARD
from whybox_server.graph.gradient.path import version_of
from whybox_server.graph.walk import attribute

OLDEST, NEWEST = 18, 21  # below, operators differ; above, GPU kernels are missing
FREE_INITIALIZERS = 4  # IR version since which an initializer need not be an input
COORDINATES = 11  # opset since which Resize says how it computes them


def opset_of(model: ModelProto) -> int:
    """Of the standard domain; 0: the model imports none."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 0)


def converted(model: ModelProto) -> ModelProto:
    """The same model at opset 18 to 21. Raises MethodUnsupported if onnx cannot convert it."""
    opset = opset_of(model)
    wanted = min(max(opset, OLDEST), NEWEST)
    if not opset:
        model.opset_import.append(helper.make_opsetid("", wanted))
    elif opset != wanted:
        model.ir_version = max(model.ir_version, FREE_INITIALIZERS)
        try:
            model = convert_version(_without_newer(model, opset), wanted)
        except (ConvertError, RuntimeError, ValueError) as error:
            raise MethodUnsupported(
                f"the model's opset {opset} cannot be converted to {wanted}: {error}; export it with an opset "
                f"from {OLDEST} to {NEWEST}"
            ) from error
    if 0 < opset < COORDINATES:
        _place_corners(model)
    needed = helper.find_min_ir_version_for(model.opset_import, ignore_unknown=True)
    model.ir_version = max(model.ir_version, needed)
    return model


def _without_newer(model: ModelProto, opset: int) -> ModelProto:
    """Operators that the newest opset of ours lacks are replaced by what defines them; that may be new too."""
    while ops := {
        (node.domain, node.op_type)
        for node in model.graph.node
        if node.domain in STANDARD and not version_of(node, NEWEST) and has_body(node, opset)
    }:
        model = inlined(model, ops, opset)
    return model


def _place_corners(model: ModelProto) -> None:
    """In place: what Upsample and the first Resize meant, which onnx's converter forgets to say."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    constants |= {
        node.output[0]: numpy_helper.to_array(found.t)
        for node in model.graph.node
        if node.op_type == "Constant" and (found := attribute(node, "value"))
    }
    for node in model.graph.node:
        if node.op_type == "Resize" and attribute(node, "coordinate_transformation_mode") is None:
            rounding = "ceil" if _shrinks(node, constants) else "floor"
            node.attribute.append(helper.make_attribute("coordinate_transformation_mode", "asymmetric"))
            node.attribute.append(helper.make_attribute("nearest_mode", rounding))


def _shrinks(node: NodeProto, constants: dict[str, np.ndarray]) -> bool:
    scales = constants.get(node.input[2])
    return scales is not None and bool((scales <= 1).all() and (scales < 1).any())
