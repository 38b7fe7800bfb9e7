"""One or more small graphs for every operator that has a gradient rule."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from tests.contract.cases_images import IMAGES
from tests.contract.cases_loops import LOOPS
from tests.contract.cases_moves import MOVES
from tests.contract.cases_numbers import NUMBERS
from tests.contract.cases_places import PLACES
from tests.contract.cases_windows import WINDOWS
from tests.contract.rule_case import (
    Case,
    apart,
    binary,
    case,
    ints,
    normal,
    pool,
    positive,
    reduction,
    unary,
)

FLAT = {
    op: unary(op)
    for op in (
        "Identity",
        "Neg",
        "Abs",
        "Exp",
        "Sin",
        "Cos",
        "Erf",
        "Tanh",
        "Sigmoid",
        "Softplus",
        "Relu",
        "HardSwish",
    )
}

QUANTISED = case(
    "f = Cast<to=1>(x) s1 = Cast<to=1>(s) q = QuantizeLinear(f, s1, z) "
    "d = DequantizeLinear(q, s1, z) y = Cast<to=11>(d)",
    fixed="s",
    x=1000 * np.sign(normal(2, 3, 2)),
    s=np.array([0.5, 0.25, 2]),
    z=np.array([0, 9, 255], np.uint8),
)  # saturated, where straight through is exact; the rest is in test_rewrite_quantised.py

BASIC: dict[str, list[Case]] = (
    FLAT
    | {
        "QuantizeLinear": [QUANTISED],
        "DequantizeLinear": [QUANTISED],
        "DynamicQuantizeLinear": [
            case(
                "f = Cast<to=1>(x) q, s, z = DynamicQuantizeLinear(f) d = DequantizeLinear(q, s, z) "
                "g = Cast<to=11>(d) y = Add(g, b)",
                frozen="x",  # its differences are 0 or a step: as above
                x=normal(3, 4),
                b=normal(4),
            )
        ],
        "Add": binary("Add"),
        "Sub": binary("Sub"),
        "Mul": binary("Mul"),
        "Div": binary("Div", b=positive),
        "Pow": [
            *binary("Pow", a=positive),
            case("y = Pow(x, b)", fixed="b", x=normal(3, 4), b=np.array([0, 1, 2, 3.0])),
            case("y = Pow(x, b)", x=normal(3, 4), b=ints(0, 1, 2, 3)),
        ],
        "Sum": [case("y = Sum(x, b, c)", x=normal(2, 3), b=normal(3), c=normal(2, 1)), *unary("Sum")],
        "Mean": [case("y = Mean(x, b, c)", x=normal(2, 3), b=normal(3), c=normal(2, 1))],
        "Max": [
            case("y = Max(x, b, c)", x=apart(2, 3), b=apart(3) + 0.3, c=apart(2, 1) + 0.6),
            *unary("Max"),
        ],
        "Min": [case("y = Min(x, b, c)", x=apart(2, 3), b=apart(3) + 0.3, c=apart(2, 1) + 0.6)],
        "Where": [
            case("y = Where(c, x, b)", x=normal(2, 3), b=normal(4, 1, 3), c=np.array([True, False, True]))
        ],
        "Sqrt": unary("Sqrt", x=positive(2, 3)),
        "Reciprocal": unary("Reciprocal", x=positive(2, 3)),
        "Log": unary("Log", x=positive(2, 3)),
        "LeakyRelu": unary("LeakyRelu", "", "<alpha=0.3>"),
        "Elu": unary("Elu", "", "<alpha=0.3>"),
        "PRelu": [
            case("y = PRelu(x, s)", x=normal(2, 3, 4), s=normal(3, 1)),
            case("y = PRelu(x, s)", x=normal(2, 3), s=normal(1)),
        ],
        "HardSigmoid": unary("HardSigmoid", "", "<alpha=0.16666667, beta=0.5>"),
        "Gelu": unary("Gelu", "", '<approximate="tanh">'),
        "Clip": [
            case("y = Clip(x, low, high)", x=normal(3, 5) * 3, low=np.array(-1.0), high=np.array(2.0)),
            case("y = Clip(x, low)", x=normal(3, 5), low=np.array(0.0)),
            case('y = Clip(x, "", high)', x=normal(3, 5), high=np.array(0.01)),
            *unary("Clip"),
        ],
        "MatMul": [
            case("y = MatMul(x, b)", x=normal(3, 4), b=normal(4, 5)),
            case("y = MatMul(x, b)", x=normal(2, 3, 4), b=normal(4, 5)),
            case("y = MatMul(x, b)", x=normal(5, 3, 4), b=normal(2, 1, 4, 6)),
            case("y = MatMul(x, b)", x=normal(4), b=normal(4)),
            case("y = MatMul(x, b)", x=normal(4), b=normal(2, 4, 5)),
            case("y = MatMul(x, b)", x=normal(2, 3, 4), b=normal(4)),
        ],
        "Gemm": [
            case(
                f"y = Gemm<alpha=1.5, beta=0.5, transA={a}, transB={b}>(x, b, c)",
                x=normal(*((4, 3) if a else (3, 4))),
                b=normal(*((5, 4) if b else (4, 5))),
                c=normal(5),
            )
            for a in (0, 1)
            for b in (0, 1)
        ]
        + [
            case("y = Gemm(x, b, c)", x=normal(3, 4), b=normal(4, 5), c=normal(3, 1)),
            case("y = Gemm(x, b)", x=normal(3, 4), b=normal(4, 5)),
            case("y = Gemm(x, b, c)", x=normal(3, 4), b=normal(4, 5), c=np.array(0.5)),
        ],
        "Einsum": [
            case('y = Einsum<equation="bij,bjk->bik">(x, b)', x=normal(2, 3, 4), b=normal(2, 4, 5)),
            case('y = Einsum<equation="bhwc, hkc -> bhwk">(x, b)', x=normal(2, 3, 2, 4), b=normal(3, 5, 4)),
            case('y = Einsum<equation="ij,jk">(x, b)', x=normal(3, 4), b=normal(4, 2)),
            case('y = Einsum<equation="ij,k->k">(x, b)', x=normal(3, 4), b=normal(5)),
            case('y = Einsum<equation="i,i,ij->j">(x, b, c)', x=normal(3), b=normal(3), c=normal(3, 4)),
            case('y = Einsum<equation="ijk->ki">(x)', x=normal(2, 3, 4)),
        ],
        "Softmax": unary("Softmax", "", "<axis=1>", "<axis=0>"),
        "LogSoftmax": unary("LogSoftmax", "", "<axis=1>"),
        "BatchNormalization": [
            case(
                "y = BatchNormalization<epsilon=0.01>(x, s, b, m, v)",
                x=normal(*shape),
                s=normal(3),
                b=normal(3),
                m=normal(3),
                v=positive(3),
            )
            for shape in ((2, 3, 4, 5), (4, 3))
        ],
        "LayerNormalization": [
            case("y = LayerNormalization(x, s, b)", x=normal(2, 3, 6), s=normal(6), b=normal(6)),
            case("y = LayerNormalization<axis=1, epsilon=0.01>(x, s)", x=normal(2, 3, 4), s=normal(3, 4)),
        ],
        "InstanceNormalization": [
            case("y = InstanceNormalization(x, s, b)", x=normal(2, 3, 4, 5), s=normal(3), b=normal(3))
        ],
        "LRN": [
            pool("LRN", "size=3, alpha=0.5, beta=0.75, bias=2.0", normal(2, 6, 3, 2), sized=True),
        ],
        "ReduceSum": reduction("ReduceSum"),
        "ReduceMean": reduction("ReduceMean"),
        "ReduceMax": reduction("ReduceMax", apart),
        "ReduceMin": reduction("ReduceMin", apart),
        "ReduceL2": reduction("ReduceL2")[:4],
        "ReduceLogSumExp": reduction("ReduceLogSumExp")[:4],
        "CumSum": [
            case(f"y = CumSum<exclusive={e}, reverse={r}>(x, axis)", x=normal(2, 4), axis=np.array(1))
            for e in (0, 1)
            for r in (0, 1)
        ],
    }
)

CASES: dict[str, list[Case]] = defaultdict(list)
for table in (BASIC, MOVES, WINDOWS, NUMBERS, PLACES, IMAGES, LOOPS):
    for op, cases in table.items():
        CASES[op] += cases
