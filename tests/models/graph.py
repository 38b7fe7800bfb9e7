"""Shorthand for writing ONNX graphs by hand: nodes in order, tensors by name, bytes out.

Shared by the exact models of this folder and by the scripts that train the demo models. It knows
nothing of what a graph means.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8  # the oldest that opset 17 allows, so that every runtime of the last years loads it

Dims = Sequence[int | str]
Weight = np.ndarray


def model(
    nodes: Sequence[NodeProto],
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Mapping[str, tuple[int, Dims]],
    weights: Mapping[str, Weight],
    domains: Mapping[str, int] | None = None,
) -> bytes:
    """A checked model of these nodes.

    inputs, outputs: element type (`TensorProto.FLOAT`, ...) and dims by name; a dim that is a string
    is dynamic. domains: operator sets beside the standard one, version by name.
    Raises onnx.checker.ValidationError for a graph that is not ONNX.
    """
    graph = helper.make_graph(
        list(nodes),
        "whybox-test",
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in inputs.items()],
        [helper.make_tensor_value_info(name, kind, list(dims)) for name, (kind, dims) in outputs.items()],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in weights.items()],
    )
    opsets = {"": OPSET, **(domains or {})}
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in opsets.items()],
        ir_version=IR_VERSION,
        producer_name="whybox-test",
    )
    onnx.checker.check_model(proto)
    return proto.SerializeToString(deterministic=True)


def node(op: str, inputs: str, output: str, **attributes: object) -> NodeProto:
    """One node; `inputs` are names parted by spaces. Its name is that of its output."""
    return helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def f32(values: object) -> Weight:
    return np.asarray(values, dtype=np.float32)


def i64(values: object) -> Weight:
    return np.asarray(values, dtype=np.int64)


FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
STRING = TensorProto.STRING
