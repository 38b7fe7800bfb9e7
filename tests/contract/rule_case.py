"""What a case of a gradient rule is: a line of ONNX text and its arrays.

Real arrays are inputs, differentiated in turn, unless they are named as fixed; whole numbers and truth
values are constants of the graph.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RNG = np.random.default_rng(20)


def normal(*shape: int) -> np.ndarray:
    """Away from 0, where many operators have a kink."""
    x = RNG.normal(size=shape)
    return x + 0.05 * np.sign(x)


def positive(*shape: int) -> np.ndarray:
    return RNG.uniform(0.3, 2, size=shape)


def apart(*shape: int) -> np.ndarray:
    """No two alike, so that the largest stays the largest."""
    return RNG.permutation(np.arange(np.prod(shape), dtype=float)).reshape(shape) / 7


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@dataclass(frozen=True, eq=False)
class Case:
    """fixed: names of real constants. frozen: names that have no gradient.

    known: names whose lengths are always known. sized: all lengths must be. only: of these versions.
    """

    body: str
    arrays: dict[str, np.ndarray]
    fixed: str = ""
    frozen: str = ""
    known: str = ""
    sized: bool = False
    only: tuple[int, ...] = ()


def case(
    body: str,
    fixed: str = "",
    frozen: str = "",
    known: str = "",
    sized: bool = False,
    only: tuple[int, ...] = (),
    **arrays: np.ndarray,
) -> Case:
    return Case(body, arrays, fixed, frozen, known, sized, only)


def unary(op: str, *attributes: str, x: np.ndarray | None = None) -> list[Case]:
    wide = normal(2, 3, 4) * 2 if x is None else x
    return [case(f"y = {op}{text}(x)", x=wide) for text in attributes or ("",)]


def binary(op: str, a=normal, b=normal) -> list[Case]:
    return [
        case(f"y = {op}(x, b)", x=a(2, 3, 4), b=b(2, 3, 4)),
        case(f"y = {op}(x, b)", x=a(2, 3, 4), b=b(3, 1)),
        case(f"y = {op}(x, b)", x=a(1, 4), b=b(5, 3, 1)),
        case(f"y = {op}(x, b)", x=a(2, 3), b=np.array(b(1)[0])),
        case(f"y = {op}(x, x)", x=a(2, 3)),
    ]


def reduction(op: str, x=normal) -> list[Case]:
    return [
        case(f"y = {op}(x, axes)", x=x(2, 3, 4), axes=ints(1)),
        case(f"y = {op}<keepdims=0>(x, axes)", x=x(2, 3, 4), axes=ints(0, -1)),
        case(f"y = {op}<keepdims=0>(x)", x=x(2, 3)),
        case(f"y = {op}(x)", x=x(2, 3)),
        case(f"y = {op}<noop_with_empty_axes=1, keepdims=0>(x)", x=x(2, 3)),
    ]


def conv(attributes: str, x: np.ndarray, w: np.ndarray, bias: bool = False, sized: bool = False) -> Case:
    names, extra = ("x, w, b", {"b": normal(w.shape[0])}) if bias else ("x, w", {})
    return case(
        f"y = Conv{attributes and f'<{attributes}>'}({names})", x=x, w=w, known="w", sized=sized, **extra
    )


def pool(op: str, attributes: str, x: np.ndarray, sized: bool = False) -> Case:
    return case(f"y = {op}<{attributes}>(x)", x=x, sized=sized)
