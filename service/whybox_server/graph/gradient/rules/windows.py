"""How the windows of a convolution or a pool slide, in numbers; and their adjoint."""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node


@dataclass(frozen=True, slots=True)
class Windows:
    """One number per spatial axis; begins and ends are the pads."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    @property
    def spans(self) -> tuple[int, ...]:
        """Length from a window's first element to its last."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilations, self.kernel, strict=True))

    @property
    def axes(self) -> list[int]:
        return [2 + axis for axis in range(len(self.kernel))]


def kernel_of(facts: Facts, node: Node) -> tuple[int, ...] | None:
    """From the attribute, else from the weights; None if their shape is unknown."""
    given = node.attr("kernel_shape", None)
    weights = facts.lengths(node.optional(1))
    if given is not None:
        return tuple(given)
    return None if weights is None else weights[2:]


def unplaced(facts: Facts, node: Node) -> str:
    """Why the windows' places cannot be told before the model runs; "" if they can."""
    if node.attr("auto_pad", "NOTSET") == "NOTSET" or windows_of(facts, node) is not None:
        return ""
    return "auto_pad is set and height and width are not fixed; export with explicit pads"


def windows_of(facts: Facts, node: Node) -> Windows | None:
    """None if pads depend on lengths that are not known."""
    kernel = kernel_of(facts, node)
    if kernel is None:
        return None
    rank = len(kernel)
    strides = tuple(node.attr("strides", [1] * rank))
    dilations = tuple(node.attr("dilations", [1] * rank))
    pads = node.attr("pads", [0] * 2 * rank)
    free = Windows(kernel, strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))
    mode = node.attr("auto_pad", "NOTSET")
    if mode in ("NOTSET", "VALID"):
        return free
    lengths = facts.shapes[node.input][2:]
    totals = []
    for length, stride, span in zip(lengths, strides, free.spans, strict=True):
        if stride > 1 and not isinstance(length, int):
            return None
        out = -(-length // stride) if isinstance(length, int) else 0
        totals.append(max((out - 1) * stride + span - length, 0) if isinstance(length, int) else span - 1)
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begins, ends = (less, more) if mode == "SAME_UPPER" else (more, less)
    return Windows(kernel, strides, dilations, begins, ends)


def spread(e: Emit, dy: Value, weights: Value, windows: Windows, group: int, lengths: Value) -> Value:
    """Adjoint of sliding: each window's gradient is put back to where the window was read.

    lengths: of the spatial axes of the result. Without pads in the ConvTranspose and with a Slice
    behind it, one formula holds for all pads, and no GPU kernel is left out.
    """
    places = {"strides": windows.strides, "dilations": windows.dilations, "group": group}
    rest = [stride - 1 for stride in windows.strides]  # a last window may end before the padded input does
    full = e.ConvTranspose(dy, weights, output_padding=rest, **places)
    if not any((*windows.begins, *windows.ends, *rest)):
        return full
    return e.Slice(full, windows.begins, e.Add(windows.begins, lengths), windows.axes)
