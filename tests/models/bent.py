"""A smooth net of one hidden layer as a numpy function, whose slope stands beside it, and its instances."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from tests.answering import instance_of
from tests.inside import NumpyInside, around_input

from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.perturb.options import Baseline, BaselineKind

ZERO = Baseline(BaselineKind.CONSTANT, 0.0)
ROW = np.array([1.2, -0.7, 0.4, 2.0])
MIX = np.random.default_rng(2).normal(size=(4, 6))
READ = np.random.default_rng(3).normal(size=(6, 2))


def tensor(*arrays: Array) -> Instance:
    return instance_of(Modality.TENSOR, *(arrays or (ROW,)))


def bent(x: Array) -> Array:
    """A smooth net of one hidden layer: (n, 4) -> (n, 2)."""
    return np.asarray(np.tanh(x @ MIX) @ READ)


def around_bent(instance: Instance) -> NumpyInside:
    slope = lambda values, x: np.einsum("nh,ho,ih->noi", 1 - np.tanh(values @ MIX) ** 2, READ, MIX)  # noqa: E731
    return NumpyInside((around_input(instance, lambda x: bent(x["x0"]), slope),))


def around(instance: Instance, score: Callable[[Array], Array]) -> NumpyInside:
    """Of one output; score: (n, k) -> (n,)."""
    return NumpyInside((around_input(instance, lambda x: score(x["x0"])[:, None]),))
