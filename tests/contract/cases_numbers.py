"""Cases element by element, of sums and products, and of normalisations."""

from __future__ import annotations

import numpy as np
from tests.contract.rule_case import Case, apart, binary, case, ints, normal, positive, reduction, unary

UNIT = normal(2, 3, 4) / 4  # inside of (-1, 1)
SCALAR = np.array(0.7)
ZEROS = np.array([[2.0, 3, 0.5], [0, 3, 2], [0, 0, 2], [-1, 1, 4]])  # none, one, two, none

PER_GROUP, PER_CHANNEL = 18, 21  # what GroupNormalization has scales for, by its version

EVERYWHERE = ("Tan", "Sinh", "Cosh", "Atan", "Asinh", "Softsign", "Selu", "Mish")
OF_A_SCALAR = ("Abs", "Clip", "Gelu", "Neg", "Relu", "Sigmoid", "Softplus", "Tanh")

NUMBERS: dict[str, list[Case]] = (
    {op: unary(op, x=normal(2, 3, 4)) for op in EVERYWHERE}
    | {op: unary(op, x=SCALAR) for op in OF_A_SCALAR}
    | {op: unary(op, x=UNIT) for op in ("Asin", "Acos", "Atanh")}
    | {
        "Acosh": unary("Acosh", x=1 + positive(2, 3)),
        "Celu": unary("Celu", "", "<alpha=0.6>"),
        "Shrink": unary("Shrink", "<lambd=0.3>", "<lambd=0.3, bias=0.2>"),
        "ThresholdedRelu": unary("ThresholdedRelu", "<alpha=0.3>", "<alpha=0.0>"),
        "Mod": [case("y = Mod<fmod=1>(x, b)", x=normal(2, 3) * 9, b=positive(3))],
        "Add": [
            case("y = Add(x, b)", x=SCALAR, b=SCALAR),
            case("y = Add(x, b)", x=SCALAR, b=normal(2, 0, 3)),
        ],
        "Mul": [case("y = Mul(x, b)", x=SCALAR, b=normal(1, 1, 1, 2))],
        "Min": [case("y = Min(x, b, c)", x=apart(2, 3), b=apart(3) + 0.3, c=apart(2, 1) + 0.05)],
        "Max": [case("y = Max(x, b)", x=SCALAR, b=apart(2, 3))],
        "Where": [
            case("y = Where(c, x, b)", x=SCALAR, b=normal(2, 3), c=np.array(True)),
            case("y = Where(c, x, b)", x=normal(3, 1), b=SCALAR, c=np.array([[True, False]])),
        ],
        "PRelu": [case("y = PRelu(x, s)", x=normal(2, 3), s=normal(2, 3)), *binary("PRelu")[3:4]],
        "ReduceL1": reduction("ReduceL1")[:4],
        "ReduceSumSquare": reduction("ReduceSumSquare")[:4],
        "ReduceLogSum": reduction("ReduceLogSum", positive)[:4],
        "ReduceProd": [
            *reduction("ReduceProd"),
            case("y = ReduceProd<keepdims=0>(x, axes)", x=ZEROS, axes=ints(1)),
            case("y = ReduceProd(x)", x=np.array([[3.0, 0, 2], [1, 4, 5]])),
        ],
        **{
            op: [
                case(f"y = {op}<keepdims=0>(x, axes)", x=x(2, 3, 4), axes=ints(-2)),
                case(f"y = {op}<keepdims=0>(x, axes)", x=x(2, 3), axes=ints()),
                case(f"y = {op}(x)", x=np.array(x(1)[0])),
            ]
            for op, x in {
                "ReduceSum": normal,
                "ReduceMean": normal,
                "ReduceMax": apart,
                "ReduceMin": apart,
            }.items()
        },
        "CumSum": [
            case("y = CumSum(x, axis)", x=normal(2, 3, 4), axis=np.array(-2)),
            case("y = CumSum<reverse=1, exclusive=1>(x, axis)", x=normal(4), axis=np.array(0)),
        ],
        "Einsum": [
            case(
                'y = Einsum<equation="...ij,...jk->...ik">(x, b)', x=normal(2, 1, 3, 4), b=normal(1, 5, 4, 2)
            ),
            case('y = Einsum<equation="...ij,jk">(x, b)', x=normal(2, 3, 4), b=normal(4, 2)),
            case('y = Einsum<equation="...,...->...">(x, b)', x=normal(2, 1), b=normal(1, 3)),
            case('y = Einsum<equation="i...->...">(x)', x=normal(2, 3, 4)),
            case('y = Einsum<equation="b...d, b...d -> b...">(x, b)', x=normal(2, 3, 4), b=normal(2, 3, 4)),
            case('y = Einsum<equation="ii->i">(x)', x=normal(3, 3)),
            case('y = Einsum<equation="ii">(x)', x=normal(3, 3)),
            case('y = Einsum<equation="iij,jk->ik">(x, b)', x=normal(3, 3, 2), b=normal(2, 4)),
            case('y = Einsum<equation="...ii->...i">(x)', x=normal(2, 3, 3)),
            case('y = Einsum<equation="iki,j->kj">(x, b)', x=normal(3, 2, 3), b=normal(4)),
            case('y = Einsum<equation="i,->i">(x, b)', x=normal(3), b=SCALAR),
            case('y = Einsum<equation="ij,ij,ij->">(x, x, b)', x=normal(2, 3), b=normal(2, 3)),
            case('y = Einsum<equation="aB,Bc->ca">(x, b)', x=normal(2, 3), b=normal(3, 4)),
        ],
        "MatMul": [case("y = MatMul(x, b)", x=normal(1, 3, 4), b=normal(5, 2, 4, 6))],
        "Gemm": [
            case("y = Gemm<beta=2.0>(x, b, c)", x=normal(3, 4), b=normal(4, 5), c=normal(1, 5)),
            case("y = Gemm(x, b, c)", x=normal(3, 4), b=normal(4, 5), c=normal(1)),
        ],
        "GroupNormalization": [
            case(
                "y = GroupNormalization<num_groups=2, epsilon=0.01>(x, s, b)",
                only=(version,),
                known="x s b",
                x=x,
                s=normal(scales),
                b=normal(scales),
            )
            for x, version, scales in (
                (normal(2, 4, 3, 2), PER_GROUP, 2),
                (normal(3, 6, 5), PER_GROUP, 2),
                (normal(2, 4, 3, 2), PER_CHANNEL, 4),
                (normal(3, 6, 5), PER_CHANNEL, 6),
            )
        ],
        "InstanceNormalization": [
            case(
                "y = InstanceNormalization<epsilon=0.1>(x, s, b)", x=normal(2, 3, 5), s=normal(3), b=normal(3)
            ),
            case("y = InstanceNormalization(x, s, b)", x=normal(2, 3, 2, 2, 3), s=normal(3), b=normal(3)),
        ],
        "MeanVarianceNormalization": [
            case("y = MeanVarianceNormalization(x)", x=normal(2, 3, 4, 5)),
            case("y = MeanVarianceNormalization<axes=[1, -1]>(x)", x=normal(2, 3, 4)),
        ],
        "LpNormalization": unary("LpNormalization", "", "<p=1>", "<axis=0>", "<axis=1, p=1>"),
        "LayerNormalization": [
            case("y = LayerNormalization(x, s)", x=normal(4), s=normal(4)),
            case("y, m, v = LayerNormalization<axis=0>(x, s)", x=normal(3, 2), s=normal(3, 2)),
        ],
        "LRN": [
            case("y = LRN<size=3>(x)", x=normal(2, 5, 4, 1), known="x"),
            case("y = LRN<size=7, bias=2.0, alpha=0.5>(x)", x=normal(2, 3, 4, 2), known="x"),
        ],
        "Softmax": unary("Softmax", "<axis=-3>", x=normal(2, 3, 4)) + unary("Softmax", x=normal(3)),
        "SoftmaxCrossEntropyLoss": [
            case('y = SoftmaxCrossEntropyLoss<reduction="none">(x, l)', x=normal(3, 4), l=ints(0, 3, 1)),
            case("y = SoftmaxCrossEntropyLoss(x, l)", x=normal(2, 3, 2), l=np.array([[0, 2], [1, 1]])),
            case(
                'y = SoftmaxCrossEntropyLoss<reduction="sum", ignore_index=1>(x, l, w)',
                frozen="w",
                fixed="w",
                x=normal(3, 4),
                l=ints(0, 3, 1),
                w=positive(4),
            ),
        ],
        "NegativeLogLikelihoodLoss": [
            case("y = NegativeLogLikelihoodLoss(x, l)", x=normal(3, 4), l=ints(0, 3, 1)),
            case(
                'y = NegativeLogLikelihoodLoss<reduction="none">(x, l)',
                x=normal(2, 3, 2),
                l=np.array([[0, 2], [1, 1]]),
            ),
        ],
    }
)
