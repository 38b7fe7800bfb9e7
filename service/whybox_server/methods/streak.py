"""STREAK: the few segments that, shown alone, say most (Elenberg, Dimakis, Feldman & Karbasi 2017).

f(S) is the target's score when only the segments S are shown, above that of showing none. Three
searches for a large f(S) with |S| <= k: one pass with thresholds (`sieves`), and greedy, plain or lazy
(`greedy`). All of them know every segment alone from the first round.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from enum import Enum
from math import comb

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Regions
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Reply, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.core.target import Chosen
from whybox_server.methods.greedy import greedy, lazy_greedy
from whybox_server.methods.guarantees import guarantee
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.sieves import sieve, thresholds_at_most
from whybox_server.methods.subsets import EMPTY, Read, Sets, one_background
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.options import Baseline, Segmentation

DEFAULT_K = 5  # segments, as in the paper's experiments on images
DEFAULT_EPSILON = 0.7  # as in the authors' code
FEWEST_ROWS = 3  # the instance, nothing, and one segment


class Strategy(Enum):
    """How the segments are looked for."""

    STREAK = "streak"
    GREEDY = "greedy"
    LAZY_GREEDY = "lazy_greedy"


@dataclass(frozen=True, slots=True)
class StreakParams:
    """Fields of `whybox.v1.StreakParams`."""

    k: int | None = param(
        None,
        "Segments to choose, at most as many as there are.",
        unset="5, or all when there are fewer",
        low=1,
    )
    epsilon: float = param(
        DEFAULT_EPSILON,
        "Spacing of STREAK's thresholds: smaller asks more.",
        unset="0.7",
        low=0.01,
        high=0.99,
    )
    strategy: Strategy = param(Strategy.STREAK, "How the segments are looked for.", unset="streak")
    fill: bool = param(
        default=True, summary="Fill up to k with segments that do not lower the score.", unset="true"
    )
    segmentation: Segmentation | None = param(
        None, "How the instance is cut.", unset="the modality's default"
    )
    baseline: Baseline | None = param(None, "What absent looks like.", unset="the modality's default")


@dataclass(frozen=True, slots=True, eq=False)
class StreakTask:
    """A subject, its segments, and how many of them are wanted."""

    subject: Subject
    hiding: Hiding
    k: int


def prepare(subject: Subject, params: StreakParams, rng: Rng) -> StreakTask:
    """Cut the instance. Raises InvalidRequest, among others for a k that is too large."""
    segmentation, baseline = params.segmentation or Segmentation(), params.baseline or Baseline()
    hiding = hide(subject.instance, segmentation, baseline, rng)
    if params.k is not None and params.k > hiding.count:
        raise InvalidRequest.of(
            "k", f"{params.k} segments of {hiding.count} cannot be chosen; lower k or cut more finely"
        )
    return StreakTask(subject, hiding, params.k or min(DEFAULT_K, hiding.count))


def cost(task: StreakTask, params: StreakParams) -> Cost:
    """The instance, nothing and every segment alone; then at most every set that the search may meet.

    A threshold asks at most once per segment, and each addition by `greedy` once per segment left.
    """
    n, k = task.hiding.count, task.k
    additions = sum(n - size for size in range(1, k))
    searched = additions
    if params.strategy is Strategy.STREAK:
        searched = thresholds_at_most(k, params.epsilon) * n + (additions if params.fill else 0)
    return Cost(different_at_most(n, k, 2 + n + searched), exact=False)


def different_at_most(n: int, k: int, limit: int) -> int:
    """How many sets of up to k of n segments there are, and the instance; `limit` if that is less."""
    found = 2 if k < n else 1  # nothing, and the instance where k segments do not reach it
    for size in range(1, k + 1):
        found += comb(n, size)
        if found >= limit:
            return limit
    return found


def streak(task: StreakTask, params: StreakParams, rng: Rng) -> Steps:
    """At most k segments with a large f, in the order of choice (Elenberg et al. 2017, algorithm 2).

    scores: f after each addition, in units of the target's score; never falling. Of several targets
    the first is explained. Raises BudgetSpent when not even one segment can be asked.
    """
    hiding, targets = task.hiding, task.subject.targets
    background, drawn = one_background(hiding, rng)
    order = [int(segment) for segment in rng.permutation(hiding.count)]

    def first_target(instance_scores: Array) -> Read:
        chosen = first_of(targets.choose(instance_scores))
        return lambda scores: chosen.of(scores)[:, 0]

    sets = Sets(hiding, shown=True, background=background, reader=first_target)
    alone = [frozenset({segment}) for segment in order]
    yield from sets.ask([sets.instance, EMPTY, *alone], at_least=FEWEST_ROWS)
    asked = [segment for segment, single in zip(order, alone, strict=True) if single in sets.values]
    path: list[int] = []
    if not sets.constant:
        path = yield from search(sets, asked, task.k, params)
    return regions(task, params, sets, path, drawn)


def search(sets: Sets, order: list[int], k: int, params: StreakParams) -> Generator[Query, Reply, list[int]]:
    """The chosen segments; `order` is the stream, every segment of it known alone."""
    match params.strategy:
        case Strategy.GREEDY:
            return (yield from greedy(sets, order, k, params.fill))
        case Strategy.LAZY_GREEDY:
            return (yield from lazy_greedy(sets, order, [], k, params.fill))
        case Strategy.STREAK:
            path = yield from sieve(sets, order, k, params.epsilon)
            if params.fill:
                path = yield from lazy_greedy(sets, order, path, k, params.fill)
            return path


def first_of(chosen: Chosen) -> Chosen:
    """The first target alone: what is best to show differs from target to target."""
    return Chosen(chosen.indices[:1], chosen.targets)


def regions(
    task: StreakTask, params: StreakParams, sets: Sets, path: list[int], drawn: tuple[str, ...]
) -> Regions:
    """The path in the words of a finding."""
    instance_scores = sets.scores[sets.instance]
    every = task.subject.targets.choose(instance_scores)
    nothing = sets.values[EMPTY]
    return Regions(
        chosen=first_of(every),
        units=task.hiding.units,
        instance_scores=instance_scores,
        segments=tuple(path),
        scores=tuple(sets.values[frozenset(path[: size + 1])] - nothing for size in range(len(path))),
        empty_score=nothing,
        guarantee=guarantee(sets, params.strategy.value, params.epsilon),
        complete=sets.spent is None,
        warnings=(*task.hiding.warnings, *drawn, *doubts(sets, path, task.k, every.labels[1:])),
        baseline=task.hiding.baseline,
        segmentation=task.hiding.segmentation,
    )


def doubts(sets: Sets, path: list[int], k: int, others: tuple[str, ...]) -> list[str]:
    """What a reader must know of the choice."""
    found = []
    if others:
        found.append(
            f"regions are chosen for one target; ask again for {', '.join(map(repr, others))} one by one"
        )
    if sets.spent:
        found.append(
            f"the budget ended after {len(sets.values)} rows, with {len(path)} of {k} segments chosen; "
            "raise max_queries or the deadline"
        )
    elif sets.constant:
        found.append(
            "the score is the same whatever is shown, so no segment is better than another; "
            "another target or baseline may show more"
        )
    elif not path:
        found.append(
            "no segment alone raises the score above that of showing nothing; "
            "another target or baseline may show more"
        )
    elif len(path) < k:
        found.append(f"{len(path)} of {k} segments were chosen: no other one tried keeps the score")
    return found


STREAK: Method[StreakParams, StreakTask] = Method(
    name="streak",
    summary="The few segments that, shown alone, give the target its highest score.",
    citation="Elenberg et al., Streaming Weak Submodularity, NeurIPS 2017, arXiv:1703.02647",
    version="1",
    modalities=frozenset(Modality),
    params=StreakParams,
    prepare=prepare,
    cost=cost,
    run=streak,
)
