"""Standard operators that ONNX defines by others, in a way that cannot be used as it is."""

from __future__ import annotations

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.table import rewrites

TINY = 1e-9  # of the body of MeanVarianceNormalization


@rewrites("", "MeanVarianceNormalization")
def mean_variance_norm(e: Emit, node: Node) -> list[Value]:
    """Its body takes float32 only, and forgets the default of its attribute."""
    axes = [*node.attr("axes", [0, 2, 3])]
    centred = e.Sub(node.input, e.ReduceMean(node.input, axes, keepdims=1))
    spread = e.Sqrt(e.ReduceMean(e.Mul(centred, centred), axes, keepdims=1))
    return [e.Div(centred, e.Add(spread, TINY))]


@rewrites("", "SoftmaxCrossEntropyLoss")
def cross_entropy(e: Emit, node: Node) -> list[Value]:
    """Its body holds an operator that has a body itself."""
    logs = e.LogSoftmax(node.input, axis=1)
    return [e.NegativeLogLikelihoodLoss(logs, *node.inputs[1:], **node.attributes), logs]


@rewrites("", "Celu")
def continuous_elu(e: Emit, node: Node) -> list[Value]:
    """Barron 2017, equation 2: max(0, x) + min(0, alpha (e^(x / alpha) - 1)); its body works in float32."""
    x, alpha = node.input, float(node.attr("alpha", 1.0))
    below = e.Mul(e.Sub(e.Exp(e.Div(e.Min(x, 0.0), alpha)), 1.0), alpha)
    return [e.Add(e.Relu(x), below)]
