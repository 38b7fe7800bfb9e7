"""The batch size is learnt from real calls, and what it learns is the known law of a made-up device."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from whybox_server.serving.batch.cost import GOOD_ENOUGH, HAND_OVER_S, Cost

MAX_ROWS = 256
Law = Callable[[int], float]  # seconds of a call of n rows


def drive(cost: Cost, law: Law, calls: int, noise: random.Random | None = None) -> None:
    """Make calls of the size that the cost asks for."""
    for _ in range(calls):
        size, cost.probe = cost.probe or cost.target, None
        slower = 1.0
        if noise is not None:
            # A shared machine: mostly a few per cent late, now and then three times as late.
            slower = 1 + noise.expovariate(20) + (2.0 if noise.random() < 0.05 else 0.0)
        cost.record(size, law(size) * slower)


def rate(law: Law, size: int) -> float:
    """Rows per second, the hand-over included."""
    return size / (law(size) + HAND_OVER_S)


@pytest.mark.parametrize(
    ("b", "a"), [(4e-4, 56e-6), (2e-3, 5e-6), (1e-4, 7e-4), (1e-5, 4e-2)], ids=["mlp", "gpu", "cnn", "resnet"]
)
def test_the_chosen_size_is_the_smallest_that_is_good_enough(b: float, a: float):
    """t(n) = b + a n is known, so the size is, too; one step of doubling either way is never needed."""
    law: Law = lambda n: b + a * n  # noqa: E731
    cost = Cost(MAX_ROWS)
    drive(cost, law, 300)
    assert not cost.exploring
    # Sizes beyond the first doubling that brought less than 5 % were never tried.
    peak = max(rate(law, size) for size in cost.samples)
    assert cost.target == min(size for size in cost.samples if rate(law, size) >= GOOD_ENOUGH * peak)
    # b / (a n) <= 0.05 / 0.9 at the last doubling: what lies beyond it is worth at most a tenth.
    assert rate(law, cost.target) >= 0.9 * rate(law, MAX_ROWS)


def test_a_device_that_gets_slower_with_large_batches_keeps_small_ones():
    """Beyond 16 rows each row costs twice as much, as when a CPU's cache is full: 16 is the best."""
    cost = Cost(MAX_ROWS)
    drive(cost, lambda n: 2e-3 + 1e-4 * n * (1 if n <= 16 else 3), 300)
    assert cost.target == 16


def test_exploring_needs_few_calls():
    """A GPU-like law doubles eight times, one call each, and the last step is no decision to delay."""
    cost = Cost(MAX_ROWS)
    while cost.exploring:
        cost.record(cost.target, 2e-3 + 5e-6 * cost.target)
    assert cost.calls <= 12
    assert cost.target == MAX_ROWS


@pytest.mark.parametrize("seed", range(20))
def test_noise_does_not_mislead_for_long(seed: int):
    """With late calls among the samples the rate reached in the end is at least 85 % of the best one."""
    noise, cost = random.Random(seed), Cost(MAX_ROWS)
    law: Law = lambda n: 4e-4 + 56e-6 * n  # noqa: E731
    drive(cost, law, 600, noise)
    assert rate(law, cost.target) >= 0.85 * rate(law, MAX_ROWS)


def test_the_first_calls_do_not_count():
    """A first call 100 times as slow as the others, per replica, leaves no trace in the prediction."""
    cost = Cost(8, warm_up=2)
    cost.record(1, 0.1)
    cost.record(1, 0.1)
    assert cost.seconds(1) is None
    cost.record(1, 1e-3)
    assert cost.seconds(1) == pytest.approx(1e-3 + HAND_OVER_S)


def test_the_line_recovers_the_law():
    """Least squares on exact points give back exact points: b + a n for every size."""
    cost = Cost(MAX_ROWS)
    drive(cost, lambda n: 4e-4 + 56e-6 * n, 200)
    assert cost.line.at(64) == pytest.approx(4e-4 + HAND_OVER_S + 56e-6 * 64, rel=1e-6)
    assert cost.line.a == pytest.approx(56e-6, rel=1e-4)


def test_neither_part_of_the_line_is_ever_negative():
    """Times that fall with n have no line with a >= 0 but the one through zero."""
    cost = Cost(MAX_ROWS)
    for rows in (1, 2, 4, 8, 16) * 10:
        cost.record(rows, 1e-2 / rows)
        assert cost.line.a > 0 or cost.calls == 1
        assert cost.line.b >= 0


def test_predictions_count_whole_calls():
    """70 rows at a target of 32 are two full calls and one of 6."""
    cost = Cost(32)
    drive(cost, lambda n: 2e-3 + 1e-5 * n, 100)
    assert cost.target == 32
    assert cost.seconds(70) == pytest.approx(2 * cost.line.at(32) + cost.line.at(6))


def test_a_fixed_size_is_never_explored_and_every_call_costs_the_same():
    """Padded calls of 16: one row costs what sixteen cost, seventeen cost two calls."""
    cost = Cost(64, fixed_rows=16)
    for rows in (1, 16, 3, 9):
        cost.record(rows, 4e-3)
    assert (cost.target, cost.exploring, cost.probe) == (16, False, None)
    assert cost.seconds(1) == pytest.approx(cost.seconds(16) or 0)
    assert cost.seconds(17) == pytest.approx(2 * (4e-3 + HAND_OVER_S))


def test_a_split_must_save_time():
    """Two replicas halve the time where rows dominate, and save nothing where the call itself does."""
    cpu, gpu = Cost(64), Cost(64)
    drive(cpu, lambda n: 2e-3 + 7e-4 * n, 300)
    drive(gpu, lambda n: 2e-3 + 1e-6 * n, 300)
    rows = min(cpu.target, gpu.target)
    assert cpu.parts(rows, replicas=2) == 2
    assert gpu.parts(rows, replicas=2) == 1
    assert cpu.parts(3 * cpu.target, replicas=2) == 3


def test_no_size_is_over_the_lane_s_limit():
    """A limit that is no power of two is itself the last size tried."""
    cost = Cost(48)
    for _ in range(200):
        size, cost.probe = cost.probe or cost.target, None
        assert 1 <= size <= 48
        cost.record(size, 1e-2 + 1e-6 * size)
    assert cost.target == 48


def test_a_change_of_the_device_is_noticed():
    """When large batches become cheap, probes of the next size lead there without a restart."""
    cost = Cost(64)
    drive(cost, lambda n: 1e-3 * n, 100)
    assert cost.target == 1
    drive(cost, lambda n: 2e-3 + 1e-5 * n, 600)
    assert cost.target == 64


def test_where_calls_cost_more_than_time_they_are_filled():
    """Rows that take 1 ms each would be spread over all replicas, and the target would stay small."""
    cost = Cost(MAX_ROWS)
    cost.fill_up_to(32)
    drive(cost, lambda n: 1e-3 * n, 100)
    assert cost.target == 32
    assert cost.probe is None
    assert [cost.parts(rows, 8) for rows in (3, 32, 33, 100)] == [1, 1, 2, 4]
