"""What the probe says of servers whose moods are known."""

from __future__ import annotations

from collections.abc import Callable
from math import inf

import numpy as np
import pytest

from whybox_server.core.rows import Array
from whybox_server.serving.remote.determinism import Determinism, probe

ROWS = {"x": np.arange(8.0).reshape(4, 2) + 1}
Answers = Callable[[Array], Array]


def examine(answers: Answers, *, batched: bool = True) -> tuple[Determinism, list[int]]:
    """What is found out about a server, and how many rows each call had."""
    asking, calls = probe(ROWS, batched=batched), []
    rows = next(asking)
    while True:
        calls.append(len(rows["x"]))
        try:
            rows = asking.send(answers(rows["x"]))
        except StopIteration as done:
            return done.value, calls


def test_a_function_of_the_row_is_deterministic():
    found, calls = examine(lambda x: x * 2)
    assert found.same
    assert str(found) == "deterministic"
    assert calls == [4, 4, 1, 4]


def test_a_server_with_noise_is_found_out():
    rng = np.random.default_rng(0)
    found, _ = examine(lambda x: x + rng.normal(size=x.shape))
    assert found.again > 0.01
    assert "asked twice, differ" in str(found)


def test_a_server_that_normalises_over_the_batch_is_found_out():
    """Batch norm left in training mode: the same rows give the same, the same row alone does not."""
    found, _ = examine(lambda x: x - x.mean(axis=0))
    assert (found.again, found.order) == (0.0, 0.0)
    assert found.alone == pytest.approx(3 / 3)  # x_00 - mean = -3, of scores up to 3
    assert "depend on the other rows" in str(found)


def test_a_server_that_answers_in_an_order_of_its_own_is_found_out():
    found, _ = examine(lambda x: np.sort(x, axis=0))
    assert (found.again, found.alone) == (0.0, 0.0)
    assert found.order == pytest.approx(6 / 8)


def test_rounding_is_told_from_noise():
    """float32 sums in another order differ in their last bits."""
    found, _ = examine(lambda x: x * (1 + 1e-7 * (len(x) == 1)))
    assert not found.same
    assert str(found).startswith("deterministic but for rounding")


def test_where_rows_share_no_call_one_is_asked_twice():
    found, calls = examine(lambda x: x, batched=False)
    assert calls == [1, 1]
    assert (found.alone, found.order) == (None, None)
    assert found.same


def test_holes_in_the_answers_are_compared_too():
    assert examine(lambda x: np.full_like(x, np.nan))[0].same
    calls = iter(range(9))
    found, _ = examine(lambda x: np.where(next(calls) == 1, np.nan, x))
    assert found.again == inf
