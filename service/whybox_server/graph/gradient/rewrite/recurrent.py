"""LSTM, GRU and RNN, said as a Scan of their equations, in the notation of their ONNX specification.

What does not wait for the step before, X W^T and its biases, is one product for the whole sequence.
Gates are in the order iofc and zrh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from onnx import GraphProto, TensorProto

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.loop import State, Tape, close, looped, nested
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.rewrite.activations import Activation, activations
from whybox_server.graph.gradient.rewrite.table import rewrites

FORWARD, REVERSE, BOTH = "forward", "reverse", "bidirectional"


@dataclass(frozen=True, slots=True)
class Way:
    """A sequence read in one direction. x: what the gates get from it, (t, n, gates h), or (n, t, gates h).

    r: (gates h, h). rb: its bias, (gates h,), or "". p: (3 h,), or "". size: h. reverse: 0 or 1.
    """

    x: Value
    r: Value
    rb: Value
    p: Value
    acts: tuple[Activation, ...]
    size: int
    reverse: int


Step: TypeAlias = Callable[[Emit, Node, Way, Value, Sequence[Value]], Sequence[Value]]


@rewrites("", "LSTM")
def lstm(e: Emit, node: Node) -> list[Value] | None:
    return _sequence(e, node, ("Sigmoid", "Tanh", "Tanh"), _lstm, initials=(5, 6))


def _lstm(e: Emit, node: Node, way: Way, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """H and C of a step; the forget gate is 1 - i if they are coupled."""
    (h, c), (f, g, last) = states, way.acts
    i, o, forget, cell = e.several("Split", 4, e.Gemm(h, way.r, x, transB=1), axis=1, num_outputs=4)
    pi, po, pf = e.several("Split", 3, way.p, axis=0, num_outputs=3) if way.p else ("", "", "")
    i = f(e, e.Add(i, e.Mul(pi, c)) if pi else i)
    coupled = node.attr("input_forget", 0)
    forget = e.Sub(1.0, i) if coupled else f(e, e.Add(forget, e.Mul(pf, c)) if pf else forget)
    c = e.Add(e.Mul(forget, c), e.Mul(i, g(e, cell)))
    o = f(e, e.Add(o, e.Mul(po, c)) if po else o)
    return [e.Mul(o, last(e, c)), c]


@rewrites("", "GRU")
def gru(e: Emit, node: Node) -> list[Value] | None:
    return _sequence(e, node, ("Sigmoid", "Tanh"), _gru, initials=(5,))


def _gru(e: Emit, node: Node, way: Way, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    """H of a step; the reset gate works on H or, linear before reset, on H R^T."""
    (h,), (f, g), size = states, way.acts, way.size
    if node.attr("linear_before_reset", 0):
        xz, xr, xh = e.several("Split", 3, x, axis=1, num_outputs=3)
        hz, hr, hh = e.several("Split", 3, e.Gemm(h, way.r, way.rb, transB=1), axis=1, num_outputs=3)
        z, r = f(e, e.Add(xz, hz)), f(e, e.Add(xr, hr))
        new = g(e, e.Add(xh, e.Mul(r, hh)))
    else:
        gates, xh = e.several("Split", 2, x, [2 * size, size], axis=1)
        rzr, rh = e.several("Split", 2, way.r, [2 * size, size], axis=0)
        z, r = e.several("Split", 2, e.Gemm(h, rzr, gates, transB=1), axis=1, num_outputs=2)
        z, r = f(e, z), f(e, r)
        new = g(e, e.Gemm(e.Mul(r, h), rh, xh, transB=1))
    return [e.Add(e.Mul(e.Sub(1.0, z), new), e.Mul(z, h))]


@rewrites("", "RNN")
def rnn(e: Emit, node: Node) -> list[Value] | None:
    return _sequence(e, node, ("Tanh",), _rnn, initials=(5,))


def _rnn(e: Emit, node: Node, way: Way, x: Value, states: Sequence[Value]) -> Sequence[Value]:
    (h,), (f,) = states, way.acts
    return [f(e, e.Gemm(h, way.r, x, transB=1))]


def _sequence(
    e: Emit, node: Node, functions: Sequence[str], step: Step, initials: Sequence[int]
) -> list[Value] | None:
    """Y, Y_h and, if there is one, Y_c. Layout 1 has the batch before time, and before the direction."""
    layout, direction = node.attr("layout", 0), node.attr("direction", FORWARD)
    acts = activations(node, functions, 2 if direction == BOTH else 1)
    if not acts or e.facts.lengths(node.inputs[2]) is None:
        return None
    mask = _mask(e, node) if node.optional(4) else ""
    found = []
    for at, mine in enumerate(acts):
        way = _way(e, node, at, mine, reverse=int(direction == REVERSE or at == 1))
        begin = [_initial(e, node, way, at, place) for place in initials]
        found.append(_scanned(e, node, way, step, begin, mask))
    axes = [*[layout] * len(initials), 1 + layout]
    *last, y = (_stacked(e, parts, axis) for parts, axis in zip(zip(*found, strict=True), axes, strict=True))
    return [y, *last]


def _way(e: Emit, node: Node, at: int, acts: Sequence[Activation], reverse: int) -> Way:
    """Weights of one direction; what they add to the sequence is worked out for all of it."""
    w, r, b, p = (_picked(e, node.optional(place), at, 0) for place in (1, 2, 3, 7))
    *_, size = e.facts.lengths(node.inputs[2]) or ()
    x, rb = e.MatMul(node.input, e.Transpose(w, perm=[1, 0])), ""
    if b:
        wb, rb = e.several("Split", 2, b, axis=0, num_outputs=2)
        x = e.Add(x, wb if node.attr("linear_before_reset", 0) else e.Add(wb, rb))
    return Way(x, r, rb, p, tuple(acts), size, reverse)


def _scanned(
    e: Emit, node: Node, way: Way, step: Step, initials: Sequence[Value], mask: Value
) -> list[Value]:
    """Last states, then Y. Where the mask is false a sequence has ended: its state stays, its Y is 0."""
    inner = nested(e.builder, e.facts, GraphProto(name="step"))
    body, fresh, axis = Emit(inner, e.kind), e.builder.fresh, node.attr("layout", 0)
    states = [State(fresh("state"), initial) for initial in initials]
    reads = [Tape(fresh("step"), way.x, axis, way.reverse)]
    old = [state.enters for state in states]
    new = step(body, node, way, reads[0].inner, old)
    y = new[0]
    if mask:
        reads.append(Tape(fresh("step"), mask, 0, way.reverse))
        y = body.Where(reads[1].inner, y, 0.0)
        new = [body.Where(reads[1].inner, after, before) for after, before in zip(new, old, strict=True)]
    return looped(e, close(inner, [*new, y]), states, reads, [Tape("", "", axis, way.reverse)])


def _initial(e: Emit, node: Node, way: Way, at: int, place: int) -> Value:
    """(n, h); zeros if it is left out. One given is told that it has as many rows as x, in case nobody knows."""
    layout = node.attr("layout", 0)
    dims = e.Concat(e.length(node.input, 1 - layout, 2 - layout), [way.size], axis=0)
    if node.optional(place):
        return e.Reshape(_picked(e, node.inputs[place], at, layout), dims)
    return e.zeros(dims)


def _mask(e: Emit, node: Node) -> Value:
    """(t, n, 1): whether a step is within its sequence."""
    layout = node.attr("layout", 0)
    count = e.Squeeze(e.length(node.input, layout, layout + 1), [0])
    steps = e.Range(np.array(0), count, np.array(1))
    ends = e.Cast(node.inputs[4], to=TensorProto.INT64)
    return e.Unsqueeze(e.Less(e.Unsqueeze(steps, [1]), ends), [2])


def _picked(e: Emit, x: Value, at: int, axis: int) -> Value:
    """What belongs to one direction."""
    return e.Gather(x, np.array(at), axis=axis) if x else ""


def _stacked(e: Emit, parts: Sequence[Value], axis: int) -> Value:
    """The directions, on an axis of their own."""
    lifted = [e.Unsqueeze(part, [axis]) for part in parts]
    return e.Concat(*lifted, axis=axis) if len(lifted) > 1 else lifted[0]
