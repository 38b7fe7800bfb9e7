"""First cases of what moves numbers; corners are in cases_places."""

from __future__ import annotations

import numpy as np
from tests.contract.rule_case import Case, apart, case, ints, normal, unary

MOVES: dict[str, list[Case]] = {
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
