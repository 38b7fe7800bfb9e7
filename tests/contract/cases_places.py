"""Cases of operators that move numbers, pick them or write them."""

from __future__ import annotations

import numpy as np
from tests.contract.rule_case import Case, apart, case, ints, normal, unary

REDUCTIONS = ("add", "mul", "max", "min")
ONCE = np.array([[0, 3], [2, -3]])

PLACES: dict[str, list[Case]] = {
    "Reshape": [
        case("y = Reshape<allowzero=1>(x, s)", x=normal(2, 3), s=ints(3, 2)),
        case("y = Reshape(x, s)", x=np.array(2.0), s=ints(1, 1)),
        case("y = Reshape(x, s)", x=normal(1), s=ints()),
    ],
    "Flatten": unary("Flatten", "<axis=-1>") + unary("Flatten", "<axis=0>", x=np.array(1.5)),
    "Unsqueeze": [case("y = Unsqueeze(x, a)", x=np.array(0.5), a=ints(0))],
    "Squeeze": [case("y = Squeeze(x, a)", x=normal(1, 1), a=ints(0, -1))],
    "Transpose": unary("Transpose", x=normal(3)),
    "Expand": [
        case("y = Expand(x, s)", x=np.array(0.5), s=ints(2, 3)),
        case("y = Expand(x, s)", x=normal(3, 4), s=ints(4)),
        case("y = Expand(x, s)", x=normal(3, 1), s=ints(1, 1)),
    ],
    "Tile": [
        case("y = Tile(x, r)", x=normal(2, 1, 3), r=ints(1, 3, 1)),
        case("y = Tile(x, r)", x=normal(2), r=ints(2)),
    ],
    "Concat": [
        case("y = Concat<axis=0>(x)", x=normal(2, 3)),
        case("y = Concat<axis=1>(x, x)", x=normal(2, 3)),
    ],
    "Split": [case("y, z, w = Split<num_outputs=3>(x)", x=normal(5, 2))],
    "Trilu": [case("y = Trilu<upper=0>(x, k)", x=normal(2, 3, 4), k=np.array(-1))],
    "Gather": [
        case("y = Gather<axis=0>(x, i)", x=normal(4), i=np.array(-1)),
        case("y = Gather<axis=-2>(x, i)", x=normal(2, 3, 4), i=ints(-1, 0)),
    ],
    "GatherElements": [
        case("y = GatherElements<axis=-2>(x, i)", x=normal(3, 2), i=np.array([[0, -1], [2, 2]]))
    ],
    "GatherND": [
        case("y = GatherND(x, i)", x=normal(3, 4, 2), i=np.array([[1], [-1], [1]])),
        case(
            "y = GatherND<batch_dims=2>(x, i)",
            x=normal(2, 3, 4),
            i=np.array([[[1], [-1], [1]], [[0], [3], [1]]]),
        ),
    ],
    "Slice": [
        case(
            "y = Slice(x, s, e, a, t)",
            x=normal(6, 3),
            s=ints(2**63 - 1),
            e=ints(-(2**63)),
            a=ints(-2),
            t=ints(-1),
        ),
        case("y = Slice(x, s, e)", x=normal(5), s=ints(-3), e=ints(-1)),
    ],
    "Pad": [
        case("y = Pad(x, p, v)", x=normal(2, 3), p=ints(0, 1, 1, 2), v=np.array(0.5)),
        case('y = Pad<mode="edge">(x, p, "", a)', x=normal(2, 3, 4), p=ints(2, 1), a=ints(-2)),
        case('y = Pad<mode="reflect">(x, p)', x=normal(1, 2, 4, 5), p=ints(0, 0, 3, 1, 0, 0, 2, 4)),
        case('y = Pad<mode="wrap">(x, p)', only=(19, 21), x=normal(3, 4), p=ints(1, 2, 0, 3)),
    ],
    "Compress": [
        case("y = Compress(x, c)", x=normal(2, 3), c=np.array([True, False, False, True, True])),
        case("y = Compress<axis=-1>(x, c)", x=normal(2, 3), c=np.array([False, True, True])),
    ],
    "ReverseSequence": [
        case("y = ReverseSequence(x, n)", x=normal(4, 3, 2), n=ints(2, 4, 1)),
        case("y = ReverseSequence<batch_axis=0, time_axis=1>(x, n)", x=normal(3, 4), n=ints(3, 1, 4)),
    ],
    "TopK": [
        case("y, i = TopK<largest=0, sorted=1>(x, k)", x=apart(3, 5), k=ints(2)),
        case("y, i = TopK<axis=-2>(x, k)", x=apart(4, 2), k=ints(3)),
    ],
    "ScatterElements": [
        case("y = ScatterElements<axis=1>(x, i, u)", x=normal(2, 4), i=ONCE, u=normal(2, 2)),
        *(
            case(
                f'y = ScatterElements<axis=1, reduction="{reduction}">(x, i, u)',
                x=normal(2, 4),
                i=np.array([[0, 0, 3], [2, -3, 2]]),
                u=normal(2, 3),
            )
            for reduction in REDUCTIONS
        ),
        case(
            'y = ScatterElements<reduction="mul">(x, i, u)',
            x=np.array([2.0, 0, 0, 3]),
            i=ints(0, 0, 1, 2, 3),
            u=np.array([0, 3.0, 2, 0, 5]),
        ),
    ],
    "ScatterND": [
        case("y = ScatterND(x, i, u)", x=normal(4, 3), i=np.array([[2, -1], [0, 0]]), u=normal(2)),
        *(
            case(
                f'y = ScatterND<reduction="{reduction}">(x, i, u)',
                x=normal(4, 3),
                i=np.array([[2], [0], [2]]),
                u=normal(3, 3),
            )
            for reduction in REDUCTIONS
        ),
    ],
    "CenterCropPad": [
        case("y = CenterCropPad(x, s)", x=normal(5, 3), s=ints(3, 6), sized=True),
        case("y = CenterCropPad<axes=[-1]>(x, s)", x=normal(2, 5), s=ints(2), sized=True),
    ],
}
