"""Drives one method to its end in the service: steps it off the event loop, answers its queries.

The method's generator never sees this file, nor a clock, thread or socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import TypeAlias

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.explanation import Finding
from whybox_server.core.query import Predictor, Query, Reply, Steps
from whybox_server.serving.lane import Usage

Step: TypeAlias = Callable[[], Query]


async def drive(steps: Steps, predictor: Predictor, pool: Executor, usage: Usage) -> Finding:
    """The method's finding. Lets through whatever the predictor or the method raises.

    BudgetSpent is thrown into the method first, which may answer with the best it has.
    """
    loop = asyncio.get_running_loop()

    def step(advance: Step) -> Query | Finding:
        # StopIteration cannot cross an executor's future, so the result is returned instead.
        started = time.perf_counter()
        try:
            return advance()
        except StopIteration as done:
            finding: Finding = done.value
            return finding
        finally:
            usage.method_s += time.perf_counter() - started

    try:
        outcome = await loop.run_in_executor(pool, step, lambda: next(steps))
        while isinstance(outcome, Query):
            try:
                reply = await predictor.predict(outcome)
            except BudgetSpent as spent:
                outcome = await loop.run_in_executor(pool, step, _throwing(steps, spent))
            else:
                outcome = await loop.run_in_executor(pool, step, _sending(steps, reply))
        return outcome
    finally:
        close(steps)


def close(steps: Steps) -> None:
    """End a method that may be running in the pool at this moment, because its caller was cancelled."""
    try:
        steps.close()
    except ValueError:
        # "generator already executing": nobody will resume it after this step, so it ends by itself.
        return


def _sending(steps: Steps, reply: Reply) -> Step:
    return lambda: steps.send(reply)


def _throwing(steps: Steps, spent: BudgetSpent) -> Step:
    return lambda: steps.throw(spent)
