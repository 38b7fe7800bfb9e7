"""First cases of what slides windows; corners are in cases_images."""

from __future__ import annotations

from tests.contract.rule_case import Case, apart, case, conv, normal, pool, unary

SPATIAL = normal(2, 4, 7, 6)

WINDOWS: dict[str, list[Case]] = {
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
        pool("AveragePool", "kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]", SPATIAL, sized=True),
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
}
