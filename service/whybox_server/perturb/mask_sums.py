"""Weighted sums of many soft masks and of their squares, without enlarging every mask.

Enlarging is linear: grids of one shift are added up first and enlarged once. A square is the same with
products of neighbouring cells in place of cells. It knows no scores.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.rows_soft import Soft

BLOCK = 2**20  # weighted products of cells held at once


def mask_sums(rows: Soft, factors: Array) -> tuple[Array, Array]:
    """Sums of factors M and of factors M^2 over the first n rows: (f, n) -> (f, places) each, float64.

    Masks are not clipped here, which is rounding.
    """
    n = factors.shape[1]
    count = len(rows.places)
    matrices = [matrix.astype(np.float64) for matrix in rows.enlarge] + [np.ones((1, 1))] * (2 - count)
    lengths = [rows.instance.shape[axis] for axis in rows.places] + [1] * (2 - count)
    cells = [matrix.shape[1] for matrix in matrices]
    grids = rows.grids[:n].reshape(n, *cells).astype(np.float64)
    shifts = np.zeros((n, 2), np.int64)
    if rows.shifts is not None:
        shifts[:, :count] = rows.shifts[:n]
    pairs = [joint(matrix) for matrix in matrices]
    squares = [matrix[:, pair].prod(axis=2) for matrix, pair in zip(matrices, pairs, strict=True)]
    sums, square_sums = (np.zeros((lengths[0], len(factors), lengths[1])) for _ in range(2))
    step = max(1, BLOCK // (len(factors) * len(pairs[0]) * len(pairs[1])))
    for shift in np.unique(shifts[:, 0]):
        line = slice(shift, shift + lengths[0])
        where = np.flatnonzero(shifts[:, 0] == shift)
        for at in np.split(where, range(step, len(where), step)):
            asked = factors[:, at], shifts[at, 1], lengths[1]
            sums += np.tensordot(matrices[0][line], across(grids[at], matrices[1], *asked), 1)
            products_at = products(grids[at], *pairs)
            square_sums += np.tensordot(squares[0][line], across(products_at, squares[1], *asked), 1)
    flat = [np.moveaxis(one, 1, 0).reshape(len(factors), -1) for one in (sums, square_sums)]
    return flat[0], flat[1]


def across(grids: Array, matrix: Array, factors: Array, shifts: Array, length: int) -> Array:
    """Grids (k, a, b), weighted and enlarged along their second axis: (a, f, length)."""
    found, k = np.unique(shifts, return_inverse=True)
    totals = np.zeros((len(found), len(factors), *grids.shape[1:]))  # (s, f, a, b)
    np.add.at(totals, k, factors.T[:, :, None, None] * grids[:, None])
    enlarge = np.concatenate([matrix[shift : shift + length].T for shift in found])  # (s b, length)
    flat = totals.transpose(2, 1, 0, 3).reshape(grids.shape[1], len(factors), -1)  # (a, f, s b)
    return np.asarray(flat @ enlarge)


def joint(matrix: Array) -> Array:
    """Pairs of cells that meet at some place, each once, (p, 2)."""
    there = (matrix != 0).astype(np.float64)
    return np.argwhere(np.triu(there.T @ there))


def products(grids: Array, first: Array, second: Array) -> Array:
    """What stands before products of two enlarged lines in a mask's square: (k, a, b) -> (k, p, q)."""
    (a, other_a), (b, other_b) = first.T, second.T
    straight = grids[:, a[:, None], b] * grids[:, other_a[:, None], other_b]
    crossed = grids[:, a[:, None], other_b] * grids[:, other_a[:, None], b]
    # Of two different cells both orders count, of one cell one; both terms count it already.
    orders = np.outer(np.where(a == other_a, 1, 2), np.where(b == other_b, 1, 2)) / 2
    return np.asarray(orders * (straight + crossed))
