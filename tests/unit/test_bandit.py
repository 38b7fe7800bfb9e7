"""Bounds, the choice among coins, and the two certificates, on coins of known bias."""

from __future__ import annotations

from collections.abc import Callable
from math import log

import numpy as np
import pytest
from tests.oracles.anchors import lower_bound, mixture_evidence

from whybox_server.core.rows import Array
from whybox_server.methods.bandit import Search, Tally, Tosses, best_arms, exploration, lower, upper
from whybox_server.methods.certificate import Certificate, Reference, Strict, evidence, tried

LEVEL = log(1 / 0.1)


def tally(*arms: tuple[int, int]) -> Tally:
    """Arms as (heads, tosses)."""
    heads, tosses = np.array(arms).T
    return Tally(tosses, heads)


def played(tosses: Tosses[object], flip: Callable[[Array], Array]) -> object:
    """Drive a procedure with coins."""
    try:
        counts = next(tosses)
        while True:
            counts = tosses.send(flip(counts))
    except StopIteration as done:
        return done.value


def coins(shares: Array, rng: np.random.Generator) -> Callable[[Array], Array]:
    return lambda counts: rng.binomial(counts, shares)


# Bounds


def test_the_exploration_rate_is_the_papers() -> None:
    """Pins: L + ln L with L = ln(405.5 K t^1.1 / delta), for K = 10, delta .1 in rounds 1 and 100."""
    assert exploration(10, 1, 0.1) == pytest.approx(12.9721, abs=5e-5)
    assert exploration(10, 100, 0.1) == pytest.approx(18.4281, abs=5e-5)


def test_bounds_are_those_of_the_slow_oracle() -> None:
    """Sixty bisections against sixteen: 2^-16 apart at most, and never on the wrong side."""
    arms = [(0, 5), (1, 5), (5, 5), (63, 100), (999, 1000), (4000, 10_000)]
    for level in (0.5, LEVEL, 18.0):
        found = lower(tally(*arms), level)
        exact = np.array([lower_bound(*arm, level) if arm[0] else 0.0 for arm in arms])
        assert np.all(found <= exact + 1e-12)
        np.testing.assert_allclose(found, exact, atol=2**-15)
        mirrored = upper(tally(*((n - k, n) for k, n in arms)), level)
        np.testing.assert_allclose(mirrored, 1 - found, atol=1e-15)


def test_sixteen_steps_certify_with_as_few_hits_as_the_exact_bound() -> None:
    """Pins at delta .1: 100 of 100 gives .9772; all hits pass .90 from 22 on, .95 from 45 (59 at .05)."""
    assert lower(tally((100, 100)), LEVEL)[0] == pytest.approx(0.9772, abs=5e-5)
    for bar, level, fewest in ((0.90, LEVEL, 22), (0.95, LEVEL, 45), (0.95, log(20), 59)):
        bounds = lower(tally(*((n, n) for n in range(1, 100))), level)
        assert 1 + int(np.argmax(bounds > bar)) == fewest


def test_an_untossed_coin_may_be_anything() -> None:
    """Bounds 0 and 1."""
    assert lower(Tally.empty(2), LEVEL).tolist() == [0, 0]
    assert upper(Tally.empty(2), LEVEL).tolist() == [1, 1]


# The choice


def contest(arms: int, size: int = 1, **other: float) -> Search:
    numbers = {"tolerance": 0.15, "delta": 0.1, "batch": 100, "most": 10**6, "enough": 1.0} | other
    return Search(size=size, prize=np.zeros(arms), **numbers)  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_choice_is_within_tolerance_far_more_often_than_promised() -> None:
    """Theory: at most delta = .1 of the runs may miss by more than tau = .15; 40 runs."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(40):
        shares = rng.uniform(0.2, 0.9, size=12)
        chosen, _ = played(best_arms(Tally.empty(12), contest(12)), coins(shares, rng))  # type: ignore[misc]
        missed += bool(shares[chosen[0]] < shares.max() - 0.15)
    assert missed <= 4


def test_bad_coins_are_tossed_seldom() -> None:
    """Optimism: a coin of .1 beside one of .9 is left after a few tosses."""
    shares = np.array([0.9, *[0.1] * 20])
    _, end = played(best_arms(Tally.empty(21), contest(21)), coins(shares, np.random.default_rng(1)))  # type: ignore[misc]
    assert end.tosses[1:].max() <= 40
    assert end.tosses[0] >= end.tosses[1:].max()


def test_coins_that_cannot_be_told_apart_do_not_cost_more_than_allowed() -> None:
    """Two hundred equal coins: the tosses end at `most`, and one round later at the latest."""
    search = contest(200, size=4, most=4000, tolerance=0.001)
    _, end = played(best_arms(Tally.empty(200), search), coins(np.full(200, 0.6), np.random.default_rng(2)))  # type: ignore[misc]
    assert 4000 <= end.tosses.sum() <= 4000 + 9 * 100


def test_coins_that_are_good_enough_are_ranked_by_their_prize() -> None:
    """Of .99 and .97, both beyond .95, the one with the larger prize."""
    search = Search(1, 0.15, 0.1, 100, 10**6, enough=0.95, prize=np.array([0.1, 0.3, 0.9]))
    start = tally((990, 1000), (970, 1000), (500, 1000))
    chosen, _ = played(best_arms(start, search), coins(np.array([0.99, 0.97, 0.5]), np.random.default_rng(3)))  # type: ignore[misc]
    assert chosen.tolist() == [1]


# Certificates

TABLE = {0.85: 0.001, 0.89: 0.011, 0.90: 0.025, 0.92: 0.098, 0.94: 0.338, 0.95: 0.527, 0.97: 0.887, 0.99: 0.989}


def accepted(certificate: Certificate, share: float, runs: int, batch: int, rng: np.random.Generator) -> Array:
    """Which of many equal coins are certified; the reference begins with a single toss."""
    first = rng.binomial(1, share, size=runs)
    start = Tally(np.ones(runs, dtype=np.int64), first)
    ones = np.ones(runs)
    end = played(tried(certificate, start, ones, batch, 10_000), coins(np.full(runs, share), rng))
    assert isinstance(end, Tally)
    return certificate.accepts(end, ones)


def test_the_reference_rule_accepts_as_often_as_was_measured() -> None:
    """The table of the notes (4000 runs each); 4 standard errors of two such shares, .045, are allowed."""
    rng = np.random.default_rng(4)
    for share, expected in TABLE.items():
        found = accepted(Reference(0.95, 0.1, tries=1), share, 4000, 100, rng).mean()
        assert found == pytest.approx(expected, abs=0.045), share


def test_evidence_is_the_mean_likelihood_ratio() -> None:
    """Against the midpoint rule."""
    for heads, tosses in ((0, 1), (9, 10), (100, 100), (187, 200)):
        found = evidence(tally((heads, tosses)), np.array([0.95]))[0]
        assert found == pytest.approx(log(mixture_evidence(heads, tosses, 0.95)), abs=1e-3)


def test_the_strict_bound_is_where_evidence_reaches_its_limit() -> None:
    """Just below the bound a precision is rejected, just above it is not; the bound falls with the number."""
    certificate, one = Strict(0.95, 0.1), tally((290, 300))
    bounds = [certificate.bound(one, np.array([number]))[0] for number in (1, 2, 30)]
    assert bounds == sorted(bounds, reverse=True)
    limit = log(2 / 0.1)
    assert evidence(one, np.array([bounds[0] - 1e-4]))[0] > limit
    assert evidence(one, np.array([bounds[0] + 1e-4]))[0] < limit
    assert bounds[0] < lower(one, LEVEL)[0], "looking at all times costs something"


def test_strict_certificates_are_wrong_in_fewer_runs_than_delta_where_repeated_looks_are_not() -> None:
    """400 runs of six coins at the very threshold, looked at after every tenth toss, up to 1000 tosses.

    Theory: a run has any wrong certificate with probability delta = .1 at most. As a control, the
    KL bound, right for one look at one coin, is wrong in most runs.
    """
    runs, coins_per_run, delta, rng = 400, 6, 0.1, np.random.default_rng(5)
    steps = rng.binomial(10, 0.95, size=(runs * coins_per_run, 100)).cumsum(axis=1)
    numbers = np.tile(np.arange(1, coins_per_run + 1), runs)
    strict, naive = np.zeros(len(numbers), dtype=bool), np.zeros(len(numbers), dtype=bool)
    for look in range(100):
        seen = Tally(np.full(len(numbers), 10 * (look + 1)), steps[:, look])
        strict |= Strict(0.95, delta).accepts(seen, numbers)
        naive |= lower(seen, log(1 / delta)) > 0.95
    wrong = strict.reshape(runs, -1).any(axis=1).mean()
    assert wrong <= delta
    assert naive.reshape(runs, -1).any(axis=1).mean() > 0.5


def test_a_strict_certificate_is_had_for_precise_rules() -> None:
    """Power: a coin of .99 is certified at .95 in most runs, a constant one always, and with 100 tosses."""
    rng = np.random.default_rng(6)
    assert accepted(Strict(0.95, 0.1), 0.99, 400, 100, rng).mean() > 0.9
    assert Strict(0.95, 0.1).accepts(tally((100, 100)), np.ones(1))[0]


