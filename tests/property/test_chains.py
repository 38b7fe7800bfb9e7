"""Random graphs: every value may be read again, by any operator that takes its shape.

Oracle: central differences in float64. Points near a kink are rejected: there, two steps disagree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.models.nets import net
from tests.oracles.reference import evaluator, run

from whybox_server.graph.gradient import RESULT, SEED, differentiate

Shape = tuple[int, ...]
START: Shape = (2, 3, 4)
STEPS = (1e-5, 5e-6)
LARGEST = 1e4  # larger numbers drown their differences


@dataclass(frozen=True)
class Op:
    """body: ONNX text of a, b and the result y. shape: y's, from those of a and b. fits: which it takes."""

    body: str
    shape: Callable[..., Shape] = lambda a: a
    fits: Callable[..., bool] = lambda *shapes: True


def broadcast(a: Shape, b: Shape) -> bool:
    return all(one == two or 1 in (one, two) for one, two in zip(a[::-1], b[::-1], strict=False))


def pair(body: str) -> Op:
    return Op(body, lambda a, b: np.broadcast_shapes(a, b), broadcast)


UNARY = (
    "Abs Asinh Atan Cos Elu Erf Gelu HardSigmoid HardSwish Identity LeakyRelu Mish Neg Relu Selu Sigmoid Sin Softplus "
    "Softsign Tanh"
).split()
REDUCING = "ReduceL1 ReduceL2 ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare".split()
ONE = [
    *(Op(f"y = {op}(a)") for op in UNARY),
    *(Op(f"y = {op}(a, last)", lambda a: (*a[:-1], 1)) for op in REDUCING),
    Op("y = ReduceMean<keepdims=0>(a, last)", lambda a: a[:-1], lambda a: len(a) > 1),
    Op('y = Einsum<equation="...i,...i->...">(a, a)', lambda a: a[:-1], lambda a: len(a) > 1),
    Op("y = Softmax(a)"),
    Op("y = LogSoftmax<axis=0>(a)"),
    Op("s = Softplus(a) y = Sqrt(s)"),
    Op("y = Clip(a, low, half)"),
    Op("y = CumSum(a, zero)"),
    Op("y = Transpose(a)", lambda a: a[::-1]),
    Op("y = Reshape(a, flat)", lambda a: (a[0], int(np.prod(a[1:])))),
    Op("y = Unsqueeze(a, first)", lambda a: (1, *a), lambda a: len(a) < 5),
    Op("y = Slice(a, last, lowest, last, last)"),
    Op("y = Gather(a, picks)", lambda a: (3, *a[1:])),
    Op("y = Expand(a, wide)", lambda a: np.broadcast_shapes(a, (2, 1, 1)), lambda a: broadcast(a, (2, 1, 1))),
    Op("y = Concat<axis=-1>(a, a)", lambda a: (*a[:-1], 2 * a[-1]), lambda a: a[-1] < 8),
    Op("s, t = Split<num_outputs=2>(a) y = Concat<axis=0>(t, s)", fits=lambda a: a[0] > 1),
    Op("y, i = TopK<axis=0>(a, two)", lambda a: (2, *a[1:]), lambda a: a[0] > 1),
]
TWO = [
    *(pair(f"y = {op}(a, b)") for op in ("Add", "Max", "Min", "Mul", "PRelu", "Sub")),
    pair("s = Exp(b) y = Div(a, s)"),
    pair("s = Softplus(a) y = Pow(s, b)"),
    pair("c = Greater(a, b) y = Where(c, b, a)"),
    Op(
        "s = Transpose(b) y = MatMul(a, s)",
        lambda a, b: (a[0], b[0]),
        lambda a, b: len(a) == len(b) == 2 and a[1] == b[1],
    ),
]
CONSTANTS = {
    "half": np.array(0.5),
    "low": np.array(-0.7),
    "zero": np.array(0),
    "first": np.array([0]),
    "last": np.array([-1]),
    "lowest": np.array([np.iinfo(np.int64).min]),
    "flat": np.array([0, -1]),
    "picks": np.array([0, -1, 0]),
    "wide": np.array([2, 1, 1]),
    "two": np.array([2]),
}


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """Up to eight operators, whose last result is y; each reads what was made before."""
    shapes, lines = {"x": START}, []
    for step in range(draw(st.integers(1, 8))):
        read = draw(st.sampled_from([*shapes][-3:]))  # recent values, so that graphs are deep
        other = draw(st.sampled_from([*shapes]))
        single = [op for op in ONE if op.fits(shapes[read])]
        double = [op for op in TWO if op.fits(shapes[read], shapes[other])]
        op = draw(st.sampled_from(single + 2 * double))
        names = {"a": read, "b": other, "y": f"h{step}"} | {name: f"{name}{step}" for name in "cist"}
        lines.append(" ".join(_renamed(op.body, names)))
        given = (shapes[read], shapes[other]) if op in TWO else (shapes[read],)
        shapes[f"h{step}"] = tuple(op.shape(*given))
    return " ".join([*lines, f"y = Identity(h{step})"])


def _renamed(body: str, names: dict[str, str]) -> list[str]:
    """Words of a body; text in quotes stays."""
    marks = body.replace("(", "( ").replace(",", " ,").replace(")", " )").split()
    return [names.get(mark, mark) for mark in marks]


@pytest.mark.slow
@settings(max_examples=120, deadline=None, derandomize=True)
@given(bodies(), st.booleans(), st.integers(0, 2**32 - 1))
def test_the_gradient_of_any_graph_is_its_difference_quotient(body, sized, seed):
    """<v, J u> by differences equals <J'v, u>; with all lengths known, or none."""
    model = net(body, {"x": START if sized else ("p", "q", "r")}, CONSTANTS, opset=20)
    rng = np.random.default_rng(seed)
    x, u = rng.normal(size=START), rng.normal(size=START)
    ask = evaluator(model)
    y = ask({"x": x})["y"]
    assume(np.isfinite(y).all() and np.abs(y).max() < LARGEST)
    v = rng.normal(size=y.shape)
    coarse, fine = (
        np.vdot(v, ask({"x": x + step * u})["y"] - ask({"x": x - step * u})["y"]) / (2 * step)
        for step in STEPS
    )
    assume(abs(coarse - fine) < 1e-6 * (1 + abs(fine)))
    dx = run(differentiate(model), {"x": x, SEED: v})[RESULT]
    assert abs(np.vdot(dx, u) - fine) < 1e-5 * (1 + abs(fine) + np.linalg.norm(dx))
