"""Sub-procedures in step: who asks at once is asked at once, and everybody gets his own answers."""

from __future__ import annotations

from collections.abc import Generator

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Samples
from whybox_server.methods.together import together


def asking(*numbers: list[float], want: Want = Want.SCORES) -> Generator[Query, Reply, list[float]]:
    """Asks these rows, question by question, and returns all answers; a spent budget ends it."""
    heard: list[float] = []
    for row in numbers:
        try:
            reply = yield Query(Samples({"x": np.array(row)}), want)
        except BudgetSpent:
            return [*heard, -1.0]
        heard += reply.scores[:, 0].tolist()
    return heard


def driven(
    steps: Generator[Query, Reply, list[list[float]]], budget: int = 100
) -> tuple[list[list[float]], list[int]]:
    """Answers a number with itself; the results, and how many rows each query had."""
    sizes: list[int] = []
    try:
        query = next(steps)
        while True:
            if sum(sizes) + len(query.rows) > budget:
                query = steps.throw(BudgetSpent(len(query.rows), budget - sum(sizes)))
                continue
            sizes.append(len(query.rows))
            at = np.arange(len(query.rows))
            out = {"x": np.empty(len(at))}
            query.rows.write(at, out)
            query = steps.send(Reply(out["x"][:, None]))
    except StopIteration as done:
        return done.value, sizes


def test_questions_of_one_moment_are_one_query():
    """Two and one row, then what only the second still asks."""
    found, sizes = driven(together([asking([1.0, 2.0]), asking([3.0], [4.0, 5.0])]))
    assert found == [[1.0, 2.0], [3.0, 4.0, 5.0]]
    assert sizes == [3, 2]


def test_questions_of_other_kinds_are_asked_apart():
    """A gradient is no score."""
    found, sizes = driven(together([asking([1.0]), asking([2.0], want=Want.GRADIENT)]))
    assert found == [[1.0], [2.0]]
    assert sizes == [1, 1]


def test_questions_to_another_model_are_asked_apart_and_shared_too():
    """Two ask the second model at once, which is one query to it."""
    models: list[str] = []

    def asking_both(number: float) -> Generator[Query, Reply, list[float]]:
        own = yield Query(Samples({"x": np.array([number])}))
        other = yield Query(Samples({"x": np.array([-number])}), model="models/other")
        return [float(own.scores[0, 0]), float(other.scores[0, 0])]

    def noting(steps: Generator[Query, Reply, list[list[float]]]) -> Generator[Query, Reply, list[list[float]]]:
        query = next(steps)
        try:
            while True:
                models.append(query.model)
                query = steps.send((yield query))
        except StopIteration as done:
            return done.value

    found, sizes = driven(noting(together([asking_both(1.0), asking_both(2.0), asking([3.0], [4.0])])))
    assert found == [[1.0, -1.0], [2.0, -2.0], [3.0, 4.0]]
    assert models == ["", "models/other", ""]
    assert sizes == [3, 2, 1]


def test_a_spent_budget_reaches_all_who_asked():
    """Each ends with what it has."""
    assert driven(together([asking([1.0], [2.0]), asking([3.0], [4.0])]), budget=3)[0] == [
        [1.0, -1.0],
        [3.0, -1.0],
    ]


def test_nobody_asks_nothing():
    """No procedures, or procedures that end at once: no query."""
    assert driven(together([])) == ([], [])
    assert driven(together([asking(), asking([1.0])])) == ([[], [1.0]], [1])
