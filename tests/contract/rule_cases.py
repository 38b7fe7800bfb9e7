"""One or more small graphs for every operator that has a gradient rule."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
from tests.contract.cases_images import IMAGES
from tests.contract.cases_loops import LOOPS
from tests.contract.cases_numbers import NUMBERS
from tests.contract.cases_places import PLACES
from tests.contract.rule_case import (
    Case,
    apart,
    binary,
    case,
    conv,
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
SPATIAL = normal(2, 4, 7, 6)

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
        "Conv": [
            conv("pads=[1, 1, 1, 1]", SPATIAL, normal(5, 4, 3, 3), bias=True),
            conv("", SPATIAL, normal(5, 4, 1, 1)),
            conv("strides=[2, 2], pads=[1, 1, 1, 1]", SPATIAL, normal(5, 4, 3, 3)),
            conv("strides=[2, 3], pads=[0, 0, 1, 1]", SPATIAL, normal(3, 4, 3, 2), bias=True),
            conv("strides=[4, 4]", normal(2, 3, 9, 8), normal(5, 3, 4, 4)),
            conv("group=4, pads=[1, 0, 2, 1]", SPATIAL, normal(4, 1, 4, 2)),
            conv("group=2, dilations=[2, 1], pads=[2, 1, 2, 1]", SPATIAL, normal(6, 2, 3, 3)),
            conv("group=2, strides=[2, 1], dilations=[1, 2]", SPATIAL, normal(6, 2, 3, 3)),
            conv("pads=[3, 3, 3, 3]", SPATIAL, normal(2, 4, 2, 2)),
            conv('auto_pad="SAME_UPPER", strides=[2, 2]', SPATIAL, normal(2, 4, 3, 3), sized=True),
            conv('auto_pad="SAME_LOWER"', SPATIAL, normal(2, 4, 2, 4)),
            conv("pads=[2, 2], strides=[2]", normal(2, 3, 8), normal(4, 3, 5)),
        ],
        "ConvTranspose": [
            case(
                "y = ConvTranspose(x, w, b)",
                known="w",
                x=normal(2, 4, 3, 4),
                w=normal(4, 3, 2, 3),
                b=normal(3),
            ),
            case(
                "y = ConvTranspose<strides=[2, 2], pads=[1, 0, 1, 1], output_padding=[1, 1]>(x, w)",
                known="w",
                x=normal(2, 4, 3, 4),
                w=normal(4, 3, 3, 3),
            ),
            case(
                "y = ConvTranspose<group=2, strides=[2, 1]>(x, w)",
                known="w",
                x=normal(2, 4, 3, 4),
                w=normal(4, 3, 2, 2),
            ),
        ],
        "MaxPool": [
            pool("MaxPool", "kernel_shape=[2, 2], strides=[2, 2]", apart(2, 3, 6, 4)),
            pool("MaxPool", "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]", apart(2, 3, 7, 6)),
            pool("MaxPool", "kernel_shape=[3, 2], dilations=[2, 1]", apart(2, 3, 7, 6)),
            pool("MaxPool", "kernel_shape=[3], strides=[2], ceil_mode=1", apart(2, 3, 8)),
        ],
        "AveragePool": [
            pool("AveragePool", "kernel_shape=[2, 2], strides=[2, 2]", SPATIAL),
            pool(
                "AveragePool",
                "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], count_include_pad=1",
                SPATIAL,
            ),
            pool(
                "AveragePool", "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]", SPATIAL, sized=True
            ),
            pool("AveragePool", "kernel_shape=[3, 2], pads=[0, 0, 1, 1]", SPATIAL, sized=True),
            pool(
                "AveragePool",
                "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1",
                normal(2, 3, 8, 6),
                sized=True,
            ),
            pool(
                "AveragePool",
                "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 0, 1], ceil_mode=1, count_include_pad=1",
                normal(2, 3, 8, 6),
                sized=True,
            ),
        ],
        "GlobalAveragePool": unary("GlobalAveragePool", x=normal(2, 3, 4, 5)),
        "GlobalMaxPool": unary("GlobalMaxPool", x=apart(2, 3, 4, 5)),
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
        "Reshape": [
            case("y = Reshape(x, s)", x=normal(2, 3, 4), s=ints(0, -1)),
            case("y = Reshape(x, s)", x=normal(2, 3), s=ints(3, 2)),
        ],
        "Flatten": unary("Flatten", "", "<axis=2>", "<axis=0>"),
        "Squeeze": [
            case("y = Squeeze(x, a)", x=normal(2, 1, 3, 1), a=ints(1, -1)),
            case("y = Squeeze(x)", x=normal(1, 3), sized=True),
        ],
        "Unsqueeze": [case("y = Unsqueeze(x, a)", x=normal(2, 3), a=ints(0, -1))],
        "Transpose": unary("Transpose", "", "<perm=[2, 0, 1]>"),
        "Cast": unary("Cast", "<to=11>"),
        "CastLike": [case("y = CastLike(x, b)", frozen="b", x=normal(2, 3), b=normal(1))],
        "Dropout": [
            *unary("Dropout"),
            case("y = Dropout(x, r, t)", fixed="r", x=normal(2, 3), r=np.array(0.4), t=np.array(False)),
        ],
        "Expand": [case("y = Expand(x, s)", x=normal(2, 1, 3), s=ints(4, 1, 5, 3))],
        "Concat": [case("y = Concat<axis=-1>(x, b, c)", x=normal(2, 3), b=normal(2, 1), c=normal(2, 4))],
        "Split": [
            case("y, z = Split<axis=1>(x, s)", x=normal(2, 5), s=ints(2, 3)),
            case("z, y = Split<num_outputs=2>(x)", x=normal(4, 3)),
            case("a, b = Split<num_outputs=2, axis=-1>(x) y = Mul(a, b)", x=normal(3, 4)),
        ],
        "Trilu": [*unary("Trilu", "", "<upper=0>"), case("y = Trilu(x, k)", x=normal(4, 3), k=np.array(1))],
        "Gather": [
            case("y = Gather<axis=1>(x, i)", x=normal(2, 3, 4), i=np.array(0)),
            case("y = Gather<axis=-1>(x, i)", x=normal(2, 3, 4), i=np.array(-2)),
            case("y = Gather<axis=1>(x, i)", x=normal(2, 3, 4), i=np.array([[0, 2], [2, -1]])),
            case("y = Gather(x, i)", x=normal(5, 3), i=ints(1, 1, 4)),
        ],
        "Slice": [
            case("y = Slice(x, s, e, a)", x=normal(2, 5, 4), s=ints(1), e=ints(4), a=ints(1)),
            case(
                "y = Slice(x, s, e, a)",
                x=normal(2, 5, 4),
                s=ints(-3, 0),
                e=ints(2**63 - 1, -1),
                a=ints(-2, 2),
            ),
            case("y = Slice(x, s, e)", x=normal(3, 5), s=ints(1, 2), e=ints(99, 99)),
            case("y = Slice(x, s, e, a)", x=normal(3, 5), s=ints(3), e=ints(1), a=ints(1)),
            case(
                "y = Slice(x, s, e, a, t)",
                x=normal(9, 5),
                s=ints(-1, 1),
                e=ints(-9, 6),
                a=ints(0, 1),
                t=ints(-2, 2),
            ),
        ],
        "Pad": [
            case("y = Pad(x, p, v)", x=normal(3, 4), p=ints(0, 1, 2, 0), v=np.array(0.5)),
            case("y = Pad(x, p)", x=normal(3, 4), p=ints(1, -1, 0, 2)),
            case('y = Pad(x, p, "", a)', x=normal(2, 3, 4), p=ints(1, 2), a=ints(-1)),
            case('y = Pad<mode="reflect">(x, p)', x=normal(3, 4), p=ints(1, 2, 0, 3)),
            case('y = Pad<mode="edge">(x, p)', x=normal(3, 4), p=ints(1, 2, 0, 3)),
        ],
        "Tile": [case("y = Tile(x, r)", x=normal(2, 3), r=ints(2, 3))],
        "GatherElements": [
            case("y = GatherElements<axis=1>(x, i)", x=normal(2, 4), i=np.array([[0, 0, -1], [3, 1, 1]]))
        ],
        "GatherND": [
            case("y = GatherND(x, i)", x=normal(3, 4), i=np.array([[0, 1], [2, 3], [0, 1]])),
            case("y = GatherND<batch_dims=1>(x, i)", x=normal(2, 3, 4), i=np.array([[[2]], [[0]]])),
        ],
        "TopK": [case("y, i = TopK<axis=1>(x, k)", x=apart(3, 5), k=ints(2))],
        "ScatterElements": [
            case(
                "y = ScatterElements<axis=1>(x, i, u)",
                x=normal(2, 4),
                i=np.array([[0, 3], [2, 1]]),
                u=normal(2, 2),
            ),
            case(
                'y = ScatterElements<reduction="add">(x, i, u)',
                x=normal(4, 2),
                i=np.array([[0, 3], [0, 1]]),
                u=normal(2, 2),
            ),
        ],
        "ScatterND": [
            case("y = ScatterND(x, i, u)", x=normal(4, 3), i=np.array([[2], [0]]), u=normal(2, 3)),
            case(
                'y = ScatterND<reduction="add">(x, i, u)',
                x=normal(4, 3),
                i=np.array([[2], [2]]),
                u=normal(2, 3),
            ),
        ],
    }
)

CASES: dict[str, list[Case]] = defaultdict(list)
for table in (BASIC, NUMBERS, PLACES, IMAGES, LOOPS):
    for op, cases in table.items():
        CASES[op] += cases
