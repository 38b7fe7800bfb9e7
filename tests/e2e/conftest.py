"""One server for all end-to-end tests that do not need one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.e2e.serving import Server, running

import whybox


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture
def client(server: Server) -> Iterator[whybox.Client]:
    with whybox.Client(server.address) as connected:
        yield connected
