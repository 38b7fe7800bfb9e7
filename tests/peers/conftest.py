"""Servers of other people, started once per process of tests, or skipped with the reason."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.peers import servers
from tests.peers.process import Peer


@pytest.fixture(scope="session")
def iris_weights() -> dict[str, np.ndarray]:
    """Of a multinomial logistic regression, (3, 4)."""
    rng = np.random.default_rng(3)
    return {"coef": rng.normal(size=(3, 4)), "intercept": rng.normal(size=3), "classes": np.arange(3)}


@pytest.fixture(scope="session")
def mlserver(tmp_path_factory, iris_weights) -> Iterator[Peer]:
    with servers.mlserver(tmp_path_factory.mktemp("mlserver"), servers.all_graphs(), iris_weights) as peer:
        yield peer


@pytest.fixture(scope="session")
def kserve(tmp_path_factory) -> Iterator[Peer]:
    with servers.kserve(tmp_path_factory.mktemp("kserve"), servers.all_graphs()) as peer:
        yield peer
