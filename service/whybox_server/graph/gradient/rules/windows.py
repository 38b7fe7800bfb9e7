"""How the windows of a convolution or a pool slide, in numbers; and their adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from whybox_server.graph.gradient.emit import Emit, Operand
from whybox_server.graph.gradient.facts import Facts, Value
from whybox_server.graph.gradient.node import Node


@dataclass(frozen=True, slots=True)
class Windows:
    """One number per spatial axis; begins and ends are the pads.

    same: the auto_pad whose pads depend on lengths that are known only when the model runs, or "".
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]
    same: str = ""

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


def windows_of(facts: Facts, node: Node) -> Windows | None:
    """None if the kernel's shape is not known."""
    kernel = kernel_of(facts, node)
    if kernel is None:
        return None
    rank = len(kernel)
    strides = tuple(node.attr("strides", [1] * rank))
    dilations = tuple(node.attr("dilations", [1] * rank))
    pads = node.attr("pads", [0] * 2 * rank)
    mode = node.attr("auto_pad", "NOTSET")
    if mode == "NOTSET":
        return Windows(kernel, strides, dilations, tuple(pads[:rank]), tuple(pads[rank:]))
    free = Windows(kernel, strides, dilations, (0,) * rank, (0,) * rank)
    if mode == "VALID":
        return free
    totals = []
    for length, stride, span in zip(facts.shapes[node.input][2:], strides, free.spans, strict=True):
        if isinstance(length, int):
            totals.append(max((-(-length // stride) - 1) * stride + span - length, 0))
        elif stride == 1:
            totals.append(span - 1)
        else:
            return replace(free, same=mode)
    return halved(free, totals, mode)


def halved(free: Windows, totals: Sequence[int], mode: str) -> Windows:
    """With pads that sum to these; SAME_UPPER puts an odd one behind, SAME_LOWER before."""
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begins, ends = (less, more) if mode == "SAME_UPPER" else (more, less)
    return replace(free, begins=begins, ends=ends)


def pads_of(e: Emit, windows: Windows, lengths: Value) -> tuple[Operand, Operand]:
    """Begins and ends; lengths: of what the windows slide over."""
    if not windows.same:
        return windows.begins, windows.ends
    last = e.Mul(e.Div(e.Sub(lengths, [1]), windows.strides), windows.strides)  # where the last one starts
    total = e.Max(e.Sub(e.Add(last, windows.spans), lengths), [0])
    less = e.Div(total, [2])
    more = e.Sub(total, less)
    return (less, more) if windows.same == "SAME_UPPER" else (more, less)


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
    begins, _ = pads_of(e, windows, lengths)
    return e.Slice(full, begins, e.Add(begins, lengths), windows.axes)
