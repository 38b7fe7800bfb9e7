"""The synchronous driver: budgets count different rows, and a method is always closed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from whybox_server.core.errors import BudgetSpent, ModelFailed
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Samples
from whybox_server.engine.drive import run


def rows(*values: float) -> Query:
    return Query(Samples({"x": np.array(values)}))


def echo(query: Query) -> Reply:
    return Reply(query.rows.inputs["x"][:, None])


def sums(queries: list[Query], trace: list[str]):
    """Asks query after query and adds up the answers; notes how it ended."""
    total = 0.0
    try:
        for query in queries:
            try:
                reply = yield query
            except BudgetSpent as spent:
                trace.append(f"left {spent.left}")
                if not spent.left:
                    raise
                reply = yield Query(query.rows.take(np.arange(spent.left)))
            total += float(reply.scores.sum())
        return total
    finally:
        trace.append("closed")


def test_replies_reach_the_method_in_order_and_its_result_comes_back():
    """Sum of all answers."""
    assert run(sums([rows(1, 2), rows(3)], []), echo) == 6


def test_a_budget_counts_different_rows_over_all_queries():
    """Five rows, three of them different, fit a budget of three."""
    assert run(sums([rows(1, 2, 1), rows(2, 3)], trace := []), echo, budget=3) == 9
    assert trace == ["closed"]


def test_a_query_that_does_not_fit_is_replaced_by_a_smaller_one():
    """The second query has room for one of its two rows."""
    assert run(sums([rows(1, 2), rows(3, 4)], trace := []), echo, budget=3) == 6
    assert trace == ["left 1", "closed"]


def test_a_smaller_query_that_still_does_not_fit_is_refused_again():
    """A method that insists ends with the error, and is closed."""

    def insisting():
        try:
            yield rows(1, 2)
        except BudgetSpent:
            yield rows(1, 2)

    with pytest.raises(BudgetSpent, match="2 more rows are needed and 1 are left"):
        run(insisting(), echo, budget=1)


def test_a_model_that_fails_ends_the_method_cleanly():
    """The error passes, the method's `finally` ran."""

    def broken(_query: Query) -> Reply:
        raise ModelFailed("no")

    steps = sums([rows(1)], trace := [])  # held, so that no garbage collection closes it
    with pytest.raises(ModelFailed, match="no"):
        run(steps, broken)
    assert trace == ["closed"]


def test_the_same_row_asked_of_two_models_is_two_rows():
    """1 of the explained model, 1 of another, 1 again: two different rows, which a budget of one does not hold."""

    def steps():
        yield rows(1.0)
        yield replace(rows(1.0), model="models/other")
        yield rows(1.0)

    assert run(steps(), echo, budget=2) is None
    with pytest.raises(BudgetSpent, match="1 more rows are needed and 0 are left"):
        run(steps(), echo, budget=1)
