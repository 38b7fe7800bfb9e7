"""Cases of convolutions, pools and resizing."""

from __future__ import annotations

import itertools

import numpy as np
from tests.contract.rule_case import Case, apart, case, conv, ints, normal, pool

LINE, IMAGE, VOLUME = normal(2, 4, 9), normal(1, 2, 7, 6), normal(1, 2, 5, 4, 6)
UNLIKE = apart(1, 2, 7, 6)  # the same shape, for what picks the largest
SAME = ('auto_pad="SAME_UPPER"', 'auto_pad="SAME_LOWER"')
PLACING = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def transposed(attributes: str, x: np.ndarray, w: np.ndarray, sized: bool = False) -> Case:
    return case(f"y = ConvTranspose<{attributes}>(x, w)", known="w", sized=sized, x=x, w=w)


def scaled(attributes: str, *scales: float, x: np.ndarray = IMAGE, sized: bool = False, **more) -> Case:
    constant = f"s = Constant<value = float[{len(scales)}] {{{', '.join(map(str, scales))}}}>()"
    return case(f'{constant} y = Resize<{attributes}>(x, "", s)', x=x, sized=sized, **more)


def sized_to(attributes: str, *sizes: int, x: np.ndarray = IMAGE, **more) -> Case:
    return case(f'y = Resize<{attributes}>(x, "", "", s)', x=x, s=ints(*sizes), **more)


RESIZED = [
    *(
        sized_to(f'mode="{mode}", coordinate_transformation_mode="{placing}"', 1, 2, 14, 3)
        for mode, placing in itertools.product(("linear", "cubic"), PLACING)
    ),
    *(
        scaled(f'coordinate_transformation_mode="asymmetric", nearest_mode="{rounding}"', 1, 1, 2, 2)
        for rounding in ("floor", "ceil")
    ),
    *(
        sized_to(f'mode="{mode}", antialias=1{exclude}', 1, 2, 4, 9)
        for mode, exclude in itertools.product(("linear", "cubic"), ("", ", exclude_outside=1"))
    ),
    scaled('mode="cubic", cubic_coeff_a=-0.5, exclude_outside=1', 1, 1, 2, 2),
    scaled('mode="linear", coordinate_transformation_mode="half_pixel_symmetric"', 1, 1, 2, 0.5, only=(19,)),
    sized_to('mode="linear", axes=[2, 3]', 5, 9),
    sized_to('mode="linear", keep_aspect_ratio_policy="not_larger", axes=[2, 3]', 14, 15, sized=True),
    sized_to('mode="nearest", keep_aspect_ratio_policy="not_smaller", axes=[2, 3]', 13, 12, sized=True),
    scaled('mode="nearest", axes=[2]', 2),
    scaled('mode="linear"', 1, 1, 2, x=LINE),
    scaled('mode="linear"', 1, 1, 2, 2, 0.5, x=VOLUME),
    scaled('mode="nearest"', 2, 3, x=normal(3, 4)),
    case(
        'y = Resize<mode="linear", coordinate_transformation_mode="tf_crop_and_resize", '
        'extrapolation_value=3.0>(x, r, "", s)',
        fixed="r",
        x=IMAGE,
        r=np.array([0, 0, 0.2, -0.1, 1, 1, 0.7, 1.2]),
        s=ints(1, 2, 5, 8),
    ),
]


IMAGES: dict[str, list[Case]] = {
    "Conv": [
        *(conv(f"{same}, strides=[2, 3]", IMAGE, normal(3, 2, 3, 2), bias=True) for same in SAME),
        *(conv(f"{same}, strides=[2], group=2", LINE, normal(4, 2, 4)) for same in SAME),
        *(conv(f"{same}, group=2", IMAGE, normal(4, 1, 3, 4)) for same in SAME),
        conv('auto_pad="VALID", strides=[2, 2]', IMAGE, normal(3, 2, 3, 2)),
        conv("pads=[0, 0, 1, 1], strides=[2, 2], kernel_shape=[3, 3]", IMAGE, normal(3, 2, 3, 3)),
        conv("", LINE, normal(3, 4, 3), bias=True),
        conv("group=4, pads=[1, 1]", LINE, normal(8, 1, 3)),
        conv("pads=[1, 0, 1, 1, 1, 0], strides=[1, 2, 1]", VOLUME, normal(3, 2, 3, 2, 1), bias=True),
        conv("group=2, dilations=[1, 2, 2]", VOLUME, normal(2, 1, 2, 2, 3)),
    ],
    "ConvTranspose": [
        transposed("strides=[2, 2], output_padding=[1, 0], pads=[0, 1, 1, 0]", IMAGE, normal(2, 3, 3, 2)),
        transposed("group=2, dilations=[2, 1], pads=[1, 1, 1, 1]", IMAGE, normal(2, 2, 3, 2)),
        transposed("strides=[3], output_padding=[2]", LINE, normal(4, 2, 2)),
        transposed("strides=[2, 1, 1]", VOLUME, normal(2, 1, 2, 3, 1)),
        *(transposed(f"{same}, strides=[2, 2]", IMAGE, normal(2, 3, 3, 3)) for same in SAME),
        transposed('auto_pad="VALID", strides=[2, 1]', IMAGE, normal(2, 3, 3, 2)),
        transposed("strides=[2, 2], output_shape=[14, 11]", IMAGE, normal(2, 3, 3, 2), sized=True),
        transposed(
            'auto_pad="SAME_UPPER", strides=[2, 2], output_shape=[14, 11]',
            IMAGE,
            normal(2, 3, 3, 2),
            sized=True,
        ),
    ],
    "MaxPool": [
        *(pool("MaxPool", f"{same}, kernel_shape=[3, 2], strides=[2, 2]", UNLIKE) for same in SAME),
        pool("MaxPool", 'auto_pad="VALID", kernel_shape=[3, 2], strides=[2, 3]', UNLIKE),
        pool("MaxPool", "kernel_shape=[2, 2], storage_order=1, strides=[2, 1]", UNLIKE),
        pool("MaxPool", "kernel_shape=[2, 2], dilations=[2, 3], pads=[1, 1, 1, 1], ceil_mode=1", UNLIKE),
        pool("MaxPool", "kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1], ceil_mode=1", UNLIKE),
        pool("MaxPool", "kernel_shape=[2, 2, 3], strides=[2, 2, 2], storage_order=1", apart(1, 2, 5, 4, 6)),
        case("y, i = MaxPool<kernel_shape=[2, 2]>(x)", x=UNLIKE),
    ],
    "MaxUnpool": [
        case(
            "y = MaxUnpool<kernel_shape=[2, 2], strides=[2, 2]>(x, i)",
            x=normal(1, 1, 2, 2),
            i=np.array([[[[5, 7], [13, 10]]]]),
        )
    ],
    "AveragePool": [
        *(
            pool(
                "AveragePool",
                f"{same}, kernel_shape=[3, 2], strides=[2, 2], count_include_pad={padded}",
                IMAGE,
            )
            for same in SAME
            for padded in (0, 1)
        ),
        pool("AveragePool", "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]", IMAGE),
        pool("AveragePool", "kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]", IMAGE),
        pool("AveragePool", "kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1", IMAGE),
        pool("AveragePool", "kernel_shape=[2], pads=[1, 1]", LINE),
        pool("AveragePool", "kernel_shape=[2, 1, 3], pads=[1, 0, 1, 0, 0, 1]", VOLUME),
        case("y = AveragePool<kernel_shape=[2, 2], dilations=[2, 1]>(x)", only=(19,), x=IMAGE),
    ],
    "LpPool": [
        pool("LpPool", "kernel_shape=[3, 2], strides=[2, 1]", IMAGE),
        pool("LpPool", "kernel_shape=[2, 2], p=1, pads=[0, 1, 1, 1]", IMAGE),
        pool("LpPool", "kernel_shape=[3, 3], p=3, strides=[2, 2]", IMAGE),
        pool("LpPool", "kernel_shape=[3], dilations=[2]", LINE),
    ],
    "GlobalLpPool": [case(f"y = GlobalLpPool{p}(x)", x=IMAGE) for p in ("", "<p=1>", "<p=3>")],
    "GlobalAveragePool": [case("y = GlobalAveragePool(x)", x=x) for x in (LINE, VOLUME)],
    "GlobalMaxPool": [case("y = GlobalMaxPool(x)", x=apart(2, 3, 5))],
    "Resize": RESIZED,
    "DepthToSpace": [
        case(f"y = DepthToSpace<blocksize=2{mode}>(x)", x=normal(2, 8, 3, 2))
        for mode in ("", ', mode="DCR"', ', mode="CRD"')
    ],
    "SpaceToDepth": [case("y = SpaceToDepth<blocksize=2>(x)", x=normal(2, 3, 4, 6))],
}
