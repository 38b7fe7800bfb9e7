"""Operators that hold graphs: Scan and If, alone, in one another, and with all that they may read."""

from __future__ import annotations

import numpy as np
from tests.contract.rule_case import Case, case, ints, normal

BRANCHES = (
    "then_branch = t () => (q) { a = Mul(x, b) q = Tanh(a) }, else_branch = e () => (r) { r = Sub(b, x) }"
)
STEP = "num_scan_inputs=1, body = f (p, q) => (n, o) { a = MatMul(p, w) z = Add(a, q) n = Tanh(z) o = Mul(n, q) }"
SEQUENCE = {"h": normal(2, 3), "x": normal(4, 2, 3)}


def either(body: str, **arrays: np.ndarray) -> list[Case]:
    """With the condition true, and false."""
    return [case(body, c=np.array(truth), **arrays) for truth in (True, False)]


def choices() -> list[Case]:
    nested = f"then_branch = u () => (s) {{ i = If<{BRANCHES}>(d) s = Exp(i) }}"
    return [
        *either(f"y = If<{BRANCHES}>(c)", x=normal(2, 3), b=normal(2, 3)),
        *either(
            "y = If<then_branch = t () => (q) { q = Identity(x) }, else_branch = e () => (r) { r = Neg(b) }>(c)",
            x=normal(2, 3),
            b=normal(2, 3),
        ),
        *either(
            f"k = Sin(x) y = If<{nested}, else_branch = v () => (m) {{ m = Mul(k, k) }}>(c)",
            x=normal(2, 3),
            b=normal(2, 3),
            d=np.array(False),
        ),
        *either(
            "k, l = If<then_branch = t () => (q, r) { q = Sin(x) r = Neg(x) }, "
            "else_branch = e () => (s, u) { s, u = Split<axis=1, num_outputs=2>(b) }>(c) y = Mul(l, l)",
            x=normal(2, 3),
            b=normal(2, 6),
        ),
    ]


def ways(name: str, axis: int, reverse: int) -> str:
    return f"scan_{name}_axes=[{axis}], scan_{name}_directions=[{reverse}]"


def loops() -> list[Case]:
    def scan(body: str, inputs: int = 1) -> str:
        return f"Scan<num_scan_inputs={inputs}, body = f {body}>"

    weighted = SEQUENCE | {"w": normal(3, 3)}
    counted = "(i, p, q) => (j, n) { j = Add(i, one) k = Cast<to=11>(j) m = Div(q, k) n = Mul(p, m) }"
    inner = "Scan<num_scan_inputs=1, body = g (r, s) => (v) { z = Sin(r) m = Mul(z, s) v = Add(m, w) }>"
    choice = "If<then_branch = g () => (r) { r = Mul(p, q) }, else_branch = k () => (s) { s = Sin(q) }>"
    return [
        case(f"l, s = Scan<{STEP}>(h, x) y = Add(s, l)", **weighted),
        case(f"y, s = Scan<{STEP}>(h, x)", **weighted),
        *(
            case(
                f"l, y = Scan<{ways('input', at, back)}, {ways('output', to, 1 - back)}, {STEP}>(h, x)",
                h=normal(2, 3),
                x=normal(*((2, 4, 3) if at == 1 else (2, 3, 4))),
                w=normal(3, 3),
            )
            for at, to, back in ((1, 1, 0), (-1, 2, 1))
        ),
        # nothing of a step is needed on the way back
        case(f"y = {scan('(p, q) => (n) { n = Add(p, q) }')}(h, x)", **SEQUENCE),
        # a state that stays, one that nobody reads, and an output that nobody reads
        case(
            "a, b, d, s, u = "
            + scan(
                "(p, q, r, t) => (k, l, m, o, v) "
                "{ k = Identity(p) l = Sin(t) m = Mul(r, p) o = Mul(k, r) v = Exp(t) }"
            )
            + "(h, h, h, x) e = Add(b, d) y = Add(e, s)",
            **SEQUENCE,
        ),
        case(f"i, y = {scan(counted)}(zero, h, x)", zero=np.array(0), one=np.array(1), **SEQUENCE),
        # the sequence is read as a whole, too, in every step
        case(
            f"l, y = {scan('(p, q) => (n, o) { a = ReduceMean<keepdims=0>(x, f) n = Mul(p, a) o = Sub(n, q) }')}(h, x)",
            f=ints(0, 1),
            **SEQUENCE,
        ),
        case(f"l, y = {scan('(p, a, b) => (n, o) { n = Mul(p, a) o = Mul(n, b) }', 2)}(h, x, x)", **SEQUENCE),
        case(
            f"y = {scan(f'(p, q) => (n) {{ k = {inner}(p, q) n = Tanh(k) }}')}(h, b)",
            h=normal(3),
            b=normal(4, 2, 3),
            w=normal(3),
        ),
        *either(f"l, y = {scan(f'(p, q) => (n, o) {{ n = {choice}(c) o = Tanh(n) }}')}(h, x)", **SEQUENCE),
    ]


LOOPS: dict[str, list[Case]] = {"If": choices(), "Scan": loops()}
