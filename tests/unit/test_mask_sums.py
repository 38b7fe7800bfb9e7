"""Sums of masks and of their squares, against masks enlarged one by one."""

from __future__ import annotations

import numpy as np
import pytest

from whybox_server.core.rows_soft import Soft, bilinear
from whybox_server.perturb import mask_sums as module
from whybox_server.perturb.mask_sums import mask_sums

RNG = np.random.default_rng(0)
EYE = np.eye(3, dtype=np.float32)
PICTURE = ((1, 2), (bilinear(9, 3, 4), bilinear(8, 2, 4)), (3, 2), (4, 4))
SERIES = ((0, 1), (bilinear(9, 4, 3), EYE), (4, 3), (3, 1))
LINE = ((0,), (bilinear(9, 1, 2),), (1,), (2,))


@pytest.mark.parametrize("block", [1, 10**6])
@pytest.mark.parametrize(("shape", "kind"), [((3, 9, 8), PICTURE), ((9, 3), SERIES), ((9,), LINE)])
def test_sums_are_those_of_masks_enlarged_one_by_one(shape, kind, block, monkeypatch):
    """Random grids, soft and hard, with shifts; single precision of the masks themselves."""
    monkeypatch.setattr(module, "BLOCK", block)
    places, matrices, cells, most = kind
    grids = RNG.random((40, *cells)).round(1).astype(np.float32)
    shifts = RNG.integers(most, size=(40, len(most)))
    rows = Soft("x", np.zeros(shape), np.zeros((1, *shape)), places, matrices, grids, shifts)
    factors = RNG.normal(size=(2, 30))  # of fewer rows than there are
    masks = np.stack([rows.mask(i).ravel() for i in range(30)]).astype(np.float64)
    sums, squares = mask_sums(rows, factors)
    assert np.allclose(sums, factors @ masks, atol=1e-5)
    assert np.allclose(squares, factors @ masks**2, atol=1e-5)


def test_no_shifts_are_zeros():
    """The same sums with shifts None."""
    matrices, grids = (bilinear(6, 3, 2),), RNG.random((5, 3)) < 0.5
    rows = Soft("x", np.zeros(6), np.zeros((1, 6)), (0,), matrices, grids)
    sums, _ = mask_sums(rows, np.ones((1, 5)))
    assert np.allclose(sums[0], sum(rows.mask(i) for i in range(5)), atol=1e-6)
