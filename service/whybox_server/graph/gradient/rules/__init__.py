"""One function per operator, by the kind of mathematics; importing them fills the table.

Notation: y = f(x, ...); dy is the gradient of y; a rule returns one gradient per input. All emit
standard operators of opsets 18 to 21 that onnxruntime has kernels for, on CPU and GPU.
"""

from whybox_server.graph.gradient.rules import (
    angles,
    control,
    conv,
    einsum,
    elementwise,
    linear,
    moves,
    norm,
    pool,
    quantise,
    reduce,
    resize,
    scatter,
    shape,
)
from whybox_server.graph.gradient.table import GRADIENT

__all__ = [
    "GRADIENT",
    "angles",
    "control",
    "conv",
    "einsum",
    "elementwise",
    "linear",
    "moves",
    "norm",
    "pool",
    "quantise",
    "reduce",
    "resize",
    "scatter",
    "shape",
]
