"""Every family, from both of torch's exporters, against torch's own gradient in float64."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from tests.oracles_torch.exports import EXPORTS, Gradient, by_torch, exported
from tests.oracles_torch.families import CLASSES, inputs

POINTS = 2
LARGEST_ERROR = 1e-4  # of the largest gradient: what float32 costs is 1e-6
AT_A_KINK = 1e-5  # torch in float32 and torch in float64 are on two sides of one


def points(name: str) -> Iterator[tuple[tuple[torch.Tensor, ...], np.ndarray, np.ndarray]]:
    """Inputs, a seed and torch's gradient. Whether a point is too near to a kink, torch alone says."""
    found = 0
    for number in range(1, 5 * POINTS):
        args = inputs(name, number)
        seed = np.random.default_rng(number).normal(size=(len(args[0]), CLASSES))
        exact = by_torch(name, args, seed, torch.float64)
        single = by_torch(name, args, seed, torch.float32)
        if np.abs(single - exact).max() < AT_A_KINK * np.abs(exact).max():
            found += 1
            yield args, seed, exact
        if found == POINTS:
            return
    pytest.fail("no points away from kinks")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "how"), EXPORTS)
def test_the_gradient_is_the_one_that_torch_computes(name, how):
    """Ours in float32 in onnxruntime, torch's in float64; three rows each at two points."""
    gradient = Gradient(exported(name, how))
    for args, seed, exact in points(name):
        largest = np.abs(exact).max()
        assert largest > 0
        np.testing.assert_allclose(gradient(args, seed), exact, atol=LARGEST_ERROR * largest, rtol=0)
