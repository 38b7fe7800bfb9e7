"""Convolutions. The kernels of the backward pass were chosen by measuring them in onnxruntime."""

from __future__ import annotations

from dataclasses import replace

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rules.windows import Windows, halved, pads_of, spread, windows_of
from whybox_server.graph.gradient.table import Gradients, vjp


def _shapeless(facts: Facts, node: Node) -> str:
    return "the shape of its weights is not known" if facts.lengths(node.inputs[1]) is None else ""


@vjp("Conv", 11, refuses=_shapeless)
def conv(e: Emit, node: Node, dy: Value) -> Gradients:
    x, w = node.inputs[:2]
    windows, group = windows_of(e.facts, node), node.attr("group", 1)
    assert windows is not None, "refused before"
    dx = (
        _flipped(e, dy, w, windows, group)
        if _slides_back(windows)
        else spread(e, dy, w, windows, group, e.length(x, 2))
    )
    dw = _weights(e, x, dy, windows, group) if node.wants(1) else None
    return [dx, dw, _bias(e, node, dy)][: len(node.inputs)]


def _placed(facts: Facts, node: Node) -> str:
    if _shapeless(facts, node) or _placed_by_shape(facts, node) is not None:
        return _shapeless(facts, node)
    return "output_shape is set and height and width are not fixed; export with explicit pads"


def _placed_by_shape(facts: Facts, node: Node) -> Windows | None:
    """Pads of a ConvTranspose follow from its output_shape, or from stride times length for SAME."""
    windows = windows_of(facts, node)
    outs, mode = node.attr("output_shape", None), node.attr("auto_pad", "NOTSET")
    if windows is None or (outs is None and mode in ("NOTSET", "VALID")):
        return windows
    extra = node.attr("output_padding", [0] * len(windows.kernel))
    reach = [span + more for span, more in zip(windows.spans, extra, strict=True)]
    if outs is None:
        spare = [reached - stride for reached, stride in zip(reach, windows.strides, strict=True)]
    else:
        lengths = facts.lengths(node.input)
        if lengths is None:
            return None
        every = zip(lengths[2:], windows.strides, reach, outs[-len(reach) :], strict=True)
        spare = [(length - 1) * stride + reached - out for length, stride, reached, out in every]
    return halved(replace(windows, same=""), [max(total, 0) for total in spare], mode)


@vjp("ConvTranspose", 11, refuses=_placed)
def conv_transpose(e: Emit, node: Node, dy: Value) -> Gradients:
    """The adjoint of Conv, so that Conv is its adjoint; what output_padding added is cut off."""
    x, w = node.inputs[:2]
    windows, group = _placed_by_shape(e.facts, node), node.attr("group", 1)
    assert windows is not None, "refused before"
    places = {"strides": windows.strides, "dilations": windows.dilations, "group": group}
    full = e.Conv(dy, w, pads=[*windows.begins, *windows.ends], **places)
    dx = e.Slice(full, [0] * len(windows.axes), e.length(x, 2), windows.axes)
    dw = _weights(e, dy, x, windows, group) if node.wants(1) else None
    return [dx, dw, _bias(e, node, dy)][: len(node.inputs)]


def _slides_back(windows: Windows) -> bool:
    """True if the adjoint is a plain convolution: up to 12 times faster than ConvTranspose on a CPU."""
    pads = zip((*windows.begins, *windows.ends), windows.spans * 2, strict=True)
    return (
        not windows.same
        and all(stride == 1 for stride in windows.strides)
        and all(0 <= pad < span for pad, span in pads)
    )


def _flipped(e: Emit, dy: Value, w: Value, windows: Windows, group: int) -> Value:
    """For a stride of 1: dx is dy * w, mirrored, with what was missing of full pads.

    W is turned by operators that a runtime folds when it loads the model, so that the file holds no
    second copy of it.
    """
    outputs, inputs, *kernel = e.facts.lengths(w) or ()
    spatial = range(len(kernel))
    if group == 1:
        turned = e.Transpose(w, perm=[1, 0, *windows.axes])
    else:
        grouped = e.Reshape(w, [group, outputs // group, inputs, *kernel])
        swapped = e.Transpose(grouped, perm=[0, 2, 1, *(3 + axis for axis in spatial)])
        turned = e.Reshape(swapped, [group * inputs, outputs // group, *kernel])
    if any(length > 1 for length in kernel):
        ends, steps = [-(2**31) for _ in spatial], [-1 for _ in spatial]
        turned = e.Slice(turned, [-1 for _ in spatial], ends, windows.axes, steps)
    begins = (span - 1 - pad for span, pad in zip(windows.spans, windows.begins, strict=True))
    ends_of_pads = (span - 1 - pad for span, pad in zip(windows.spans, windows.ends, strict=True))
    return e.Conv(dy, turned, pads=[*begins, *ends_of_pads], dilations=windows.dilations, group=group)


def _weights(e: Emit, x: Value, dy: Value, windows: Windows, group: int) -> Value:
    """dW: x slides over dy, batch and channels having changed places, strides and dilations too.

    x: (n, g c, *in), dy: (n, g m, *out) -> (g m, c, *kernel).
    """
    axes = windows.axes
    if windows.same:
        begins, ends = pads_of(e, windows, e.length(x, 2))
        x = e.Pad(x, e.Concat([0, 0], begins, [0, 0], ends, axis=0))
    halves = e.Reshape(x, e.Concat([0, group, -1], e.Slice(e.Shape(x), [2], [2**31]), axis=0))
    turned = e.Transpose(halves, perm=[2, 1, 0, *(axis + 1 for axis in axes)])  # (c, g, n, *in)
    shape = e.Concat(e.Slice(e.Shape(turned), [0], [1]), [-1], e.Slice(e.Shape(x), [2], [2**31]), axis=0)
    images = e.Reshape(turned, shape)  # (c, g n, *in)
    kernels = e.Transpose(dy, perm=[1, 0, *axes])  # (g m, n, *out)
    pads = [*windows.begins, *windows.ends]
    found = e.Conv(
        images, kernels, strides=windows.dilations, dilations=windows.strides, pads=pads, group=group
    )  # (c, g m, *at least kernel)
    return e.Transpose(e.Slice(found, [0 for _ in axes], windows.kernel, axes), perm=[1, 0, *axes])


def _bias(e: Emit, node: Node, dy: Value) -> Value:
    return e.ReduceSum(dy, [0, *(axis for axis in range(2, e.rank(node.output)))], keepdims=0)
