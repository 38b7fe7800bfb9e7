"""Networks for the speed table, with random weights: what they say does not matter, what they cost does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIDE = 224


@dataclass
class Builder:
    """Collects nodes and weights of a network of convolutions."""

    rng: np.random.Generator
    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def weight(self, *shape: int) -> str:
        name = f"w{len(self.weights)}"
        fan_in = int(np.prod(shape[1:])) or 1
        values = self.rng.normal(0, np.sqrt(2 / fan_in), shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x: str, into: int, out: int, side: int, stride: int = 1) -> str:
        pad = side // 2
        bias = f"b{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.zeros(out, np.float32), bias))
        return self.add(
            "Conv", x, self.weight(out, into, side, side), bias, strides=[stride] * 2, pads=[pad] * 4
        )

    def classifier(self, x: str, channels: int, classes: int) -> bytes:
        pooled = self.add("Flatten", self.add("GlobalAveragePool", x))
        logits = self.add("Gemm", pooled, self.weight(channels, classes))
        self.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=1))
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])
        out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", classes])
        graph = helper.make_graph(self.nodes, "net", [image], [out], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return bytes(model.SerializeToString())


def small_cnn() -> bytes:
    """Four strided convolutions: about 1500 images a second on two cores."""
    b, x, into = Builder(np.random.default_rng(0)), "image", 3
    for out, stride in ((24, 2), (32, 2), (64, 2), (64, 2)):
        x = b.add("Relu", b.conv(x, into, out, 3, stride))
        into = out
    return b.classifier(x, into, 10)


def resnet50() -> bytes:
    """The shape of ResNet-50 (He et al. 2016, table 1): 4.1 GFLOP and 25 million weights per image."""
    b = Builder(np.random.default_rng(0))
    x = b.add("Relu", b.conv("image", 3, 64, 7, 2))
    x, into = b.add("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]), 64
    for width, stride in bottlenecks():
        y = b.add("Relu", b.conv(x, into, width, 1))
        y = b.add("Relu", b.conv(y, width, width, 3, stride))
        y = b.conv(y, width, 4 * width, 1)
        short = x if into == 4 * width and stride == 1 else b.conv(x, into, 4 * width, 1, stride)
        # Halved, so that random residual blocks do not grow without bound.
        half = b.add("Mul", b.add("Add", y, short), _half(b))
        x, into = b.add("Relu", half), 4 * width
    return b.classifier(x, into, 1000)


def bottlenecks() -> Iterator[tuple[int, int]]:
    """(width, stride) of each block."""
    for stage, (width, blocks) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3))):
        for block in range(blocks):
            yield width, 2 if block == 0 and stage > 0 else 1


def _half(b: Builder) -> str:
    if all(w.name != "half" for w in b.weights):
        b.weights.append(numpy_helper.from_array(np.array(0.5, np.float32), "half"))
    return "half"
