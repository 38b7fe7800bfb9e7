"""Takes what multiplies and shifts whole channels into the convolution or matrix product before it.

Exact but for rounding: s (W x + b) + t = (s W) x + (s b + t). A batch normalisation, and the Mul and Add
that old files write behind it, disappear; one that comes before a convolution stays. Nothing is merged
whose value is read twice, asked for by name, or held in half precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from whybox_server.core.rows import Array
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.walk import SMALL_TENSOR_BYTES, captured, input_like, producers

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm"})
AFFINE = frozenset({"Add", "BatchNormalization", "Mul"})
FULL = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE})


@dataclass(frozen=True, slots=True)
class Channels:
    """scale x + shift, one of each per channel."""

    scale: Array
    shift: Array


@dataclass(slots=True, eq=False)
class Constants:
    """Those of a model: in the graph, or set aside because they are large. Numbers are read when asked for."""

    model: ModelProto
    known: dict[Value, TensorProto]
    made: list[TensorProto] = field(default_factory=list)

    def array(self, name: Value) -> Array | None:
        """In double precision."""
        tensor = self.known.get(name)
        if tensor is None or tensor.data_type not in FULL:
            return None
        return np.asarray(numpy_helper.to_array(tensor), np.float64)

    def add(self, array: Array, name: Value, like: Value) -> Value:
        """A constant of the type of another; large ones are set aside."""
        dtype = helper.tensor_dtype_to_np_dtype(self.known[like].data_type)
        self.known[name] = tensor = numpy_helper.from_array(np.ascontiguousarray(array, dtype), name)
        if tensor.ByteSize() <= SMALL_TENSOR_BYTES:
            self.model.graph.initializer.append(tensor)
        else:
            self.model.graph.input.append(input_like(tensor, name))
            self.made.append(tensor)
        return name


def merge(model: ModelProto, keep: Collection[Value], aside: Iterable[TensorProto]) -> list[TensorProto]:
    """In place. aside: large constants, which are inputs meanwhile; the result: those that are new.

    keep: values that stay what they are.
    """
    graph, makers = model.graph, producers(model.graph)
    constants = Constants(model, {tensor.name: tensor for tensor in (*graph.initializer, *aside)})
    readers = Counter(name for node in graph.node for name in (*node.input, *captured(node)))
    readers.update([*keep, *(entry.name for entry in graph.output)])
    kept = []
    for node in graph.node:
        _constant_last(constants, node)
        before = makers.get(node.input[0]) if node.op_type in AFFINE else None
        if before is None or readers[node.input[0]] > 1 or not _absorbed(constants, before, node):
            kept.append(node)
            continue
        before.output[0] = node.output[0]
        makers[node.output[0]] = before
    if len(kept) < len(graph.node):
        del graph.node[:]
        graph.node.extend(kept)
        del graph.value_info[:]
    return constants.made


def _constant_last(constants: Constants, node: NodeProto) -> None:
    """In place; neither sum nor product minds the order."""
    if node.op_type in AFFINE and node.input[0] in constants.known and node.op_type != "BatchNormalization":
        node.input[:] = [node.input[1], node.input[0]]


def _absorbed(constants: Constants, linear: NodeProto, affine: NodeProto) -> bool:
    """In place; false, and nothing is changed, where it cannot be."""
    if linear.op_type not in LINEAR:
        return False
    weight = constants.array(linear.input[1])
    bias = constants.array(Node(linear).optional(2)) if Node(linear).optional(2) else np.zeros(1)
    if weight is None or bias is None:
        return False
    count = _channels(linear, weight)
    channels = _affine(constants, affine, count, 2 if linear.op_type == "Gemm" else weight.ndim)
    if channels is None or bias.size not in (1, count) or bias.size != np.atleast_1d(bias).shape[-1]:
        return False
    scaled, like, name = _scaled(linear, weight, channels.scale), linear.input[1], affine.output[0]
    shifted = Node(linear).attr("beta", 1.0) * bias.reshape(-1) * channels.scale + channels.shift
    del linear.input[1:]
    linear.input.append(constants.add(scaled, f"{name}/weight", like))
    linear.input.append(constants.add(shifted, f"{name}/bias", like))
    others = [entry for entry in linear.attribute if entry.name != "beta"]
    del linear.attribute[:]
    linear.attribute.extend(others)
    return True


def _channels(linear: NodeProto, weight: Array) -> int:
    """Of the output."""
    node = Node(linear)
    if linear.op_type == "ConvTranspose":
        return int(weight.shape[1] * node.attr("group", 1))
    across = linear.op_type == "Gemm" and not node.attr("transB", 0)
    return int(weight.shape[1 if across else 0])


def _scaled(linear: NodeProto, weight: Array, scale: Array) -> Array:
    """The weight with every output channel's part times its scale."""
    node = Node(linear)
    if linear.op_type == "ConvTranspose":  # (c, C / g, *k), where c = g (c / g)
        grouped = weight.reshape(node.attr("group", 1), -1, *weight.shape[1:])
        spread = scale.reshape(len(grouped), 1, -1, *[1] * (weight.ndim - 2))
        return np.asarray(grouped * spread).reshape(weight.shape)
    if linear.op_type == "Gemm" and not node.attr("transB", 0):
        return np.asarray(weight * scale)
    return np.asarray(weight * scale.reshape(-1, *[1] * (weight.ndim - 1)))


def _affine(constants: Constants, node: NodeProto, count: int, rank: int) -> Channels | None:
    if node.op_type == "BatchNormalization":
        return _normalisation(constants, Node(node))
    number = constants.array(node.input[1])
    if number is None or number.ndim > rank:
        return None
    aligned = number.reshape(*[1] * (rank - number.ndim), *number.shape)
    if aligned.size not in (1, count) or aligned.shape[1] != aligned.size:
        return None
    each = np.broadcast_to(aligned.reshape(-1), (count,))
    return Channels(each, np.zeros(count)) if node.op_type == "Mul" else Channels(np.ones(count), each)


def _normalisation(constants: Constants, node: Node) -> Channels | None:
    known = [constants.array(name) for name in node.inputs[1:]]
    if any(each is None for each in known) or node.attr("training_mode", 0) or len(node.outputs) > 1:
        return None
    scale, shift, mean, variance = (np.asarray(each) for each in known)
    steep = scale / np.sqrt(variance + node.attr("epsilon", 1e-5))
    return Channels(steep, shift - mean * steep)
