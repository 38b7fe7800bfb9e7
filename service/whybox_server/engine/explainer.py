"""From a task to answers: what every edge (gRPC, HTTP, CLI) calls.

It composes the others: admission lets the call in, the catalogue lends the model, the method is
prepared, and each instance becomes a flow with a meter on top of cache, batcher and model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager
from copy import copy
from dataclasses import dataclass, replace
from functools import partial

from whybox_server.core.errors import (
    BudgetSpent,
    DeadlineExceeded,
    EndpointBudgetSpent,
    EndpointRefused,
    EndpointUnreachable,
    MethodUnsupported,
    WhyboxError,
)
from whybox_server.core.explanation import Finding
from whybox_server.core.query import Query, Want
from whybox_server.core.rows import Samples
from whybox_server.engine.admission import Admission, refuse_hopeless
from whybox_server.engine.catalogue import Catalogue
from whybox_server.engine.events import Events, Finished, Started
from whybox_server.engine.meter import Meter
from whybox_server.engine.paths import paths_in_request
from whybox_server.engine.prepare import Call, Prepared, fitted, modality_name, prepare, provenance
from whybox_server.engine.router import AS_VALUES, Other, Router, Seeding
from whybox_server.engine.session import drive
from whybox_server.engine.task import Answer, ExplainTask, Plan, Progress, Update
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.cache.desk import Desk
from whybox_server.serving.lane import Flow, Lane, Usage
from whybox_server.serving.remote.failure import called

MAX_PARALLEL_INSTANCES = 64  # of one call: enough to fill any batch, few enough to bound memory
PROGRESS_EVERY_S = 0.1
STOPPED = (DeadlineExceeded, EndpointBudgetSpent, EndpointRefused, EndpointUnreachable)  # halfway, perhaps
REPLY_RESERVE_S = 0.05  # what encoding and sending the answer may take of the deadline

Emit = Callable[[Update], None]


@dataclass(slots=True, eq=False)
class Explainer:
    """Runs explanations. `seconds_per_row` is what the batcher has learnt of a lane, or None."""

    catalogue: Catalogue
    cache: Cache
    admission: Admission
    pool: Executor
    events: Events
    seconds_per_row: Callable[[Lane], float | None]
    clock: Callable[[], float] = time.monotonic

    async def plan(self, task: ExplainTask) -> Plan:
        """What the task would ask, without asking the model anything."""
        with self.admission.permit():
            async with self._call(task, "", float("inf")) as call:
                prepared = await self._prepare_all(call)
                return self._plan(call, prepared)

    async def explain(
        self, task: ExplainTask, remaining_s: float, request_id: str, emit: Emit = lambda update: None
    ) -> list[Answer]:
        """Answers in the order of the instances; `emit` hears the plan, progress, and each answer.

        Raises WhyboxError; nothing keeps running when it does, or when it is cancelled.
        """
        deadline = self.clock() + max(remaining_s - REPLY_RESERVE_S, 0.0)
        with progress_told(Usage()), self.admission.permit():
            async with self._call(task, request_id, deadline) as unknown:
                call = await self._introduced(unknown)
                prepared = await self._prepare_all(call)
                # A bound may be far above what is asked, and a partial answer may do.
                certain = [one.cost.rows for one in prepared if one.cost.exact]
                rows = sum(min(rows, most_rows(call) or rows) for rows in certain)
                refuse_hopeless(rows, self.seconds_per_row(prepared[0].lane), deadline - self.clock())
                emit(self._plan(call, prepared))
                return await self._run_all(call, prepared, emit)

    @asynccontextmanager
    async def _call(self, task: ExplainTask, request_id: str, deadline: float) -> AsyncIterator[Call]:
        """A call with all the models it may ask, which stay loaded while the context is open."""
        async with AsyncExitStack() as held:
            model = await held.enter_async_context(self.catalogue.lease(task.model, task.spec, task.caller))
            others = [
                Other(
                    f"{task.method.name}.{field}",
                    name,
                    await held.enter_async_context(self.catalogue.lease(name, AS_VALUES, task.caller)),
                )
                for field, name in task.method.others(task.params).items()
            ]
            yield Call(named(task), model, request_id, deadline, tuple(others))

    async def _introduced(self, call: Call) -> Call:
        """The same call with a model that is known: where no metadata says what its scores are, one row does.

        The row goes through the cache like any other, so that it is paid once.
        """
        if not call.model.unseen:
            return call
        refuse_unfit(call)
        loop = asyncio.get_running_loop()
        arrays = await loop.run_in_executor(self.pool, fitted, call, 0, call.task.instances[0])
        lane = await loop.run_in_executor(self.pool, call.model.lane, Want.SCORES, call.task.mode, arrays)
        flow = Flow(f"{call.request_id}/introduction", deadline=call.deadline)
        with closing(self.cache.open(lane, flow)) as desk:
            reply = await desk.predict(Query(Samples({name: array[None] for name, array in arrays.items()})))
        return replace(call, model=call.model.settle(arrays, reply.scores), introduced=flow.usage)

    async def _prepare_all(self, call: Call) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        givens = enumerate(call.task.instances)
        return [await loop.run_in_executor(self.pool, prepare, call, i, given) for i, given in givens]

    def _plan(self, call: Call, prepared: Sequence[Prepared]) -> Plan:
        rows = tuple(one.cost.rows for one in prepared)
        each = self.seconds_per_row(prepared[0].lane)
        asked = [min(count, most_rows(call) or count) for count in rows]
        return Plan(
            rows=rows,
            exact=all(one.cost.exact for one in prepared),
            seconds=None if each is None else each * sum(rows),
            notes=call.model.guesses,
            bill=call.model.bill(asked, prepared[0].lane, gradients=bool(call.task.method.probes)),
        )

    async def _run_all(self, call: Call, prepared: Sequence[Prepared], emit: Emit) -> list[Answer]:
        gate = asyncio.Semaphore(MAX_PARALLEL_INSTANCES)
        answers: dict[int, Answer] = {}

        async def one(instance: Prepared) -> None:
            async with gate:
                answer = await self._run(call, instance)
            answers[instance.index] = answer
            emit(answer)

        async def report() -> None:
            planned = sum(one.cost.rows for one in prepared)
            while True:
                await asyncio.sleep(PROGRESS_EVERY_S)
                done = sum(one.flow.usage.rows_answered for one in prepared)
                emit(Progress(done, planned, len(answers)))

        try:
            async with asyncio.TaskGroup() as group:
                reporter = group.create_task(report())
                running = [group.create_task(one(instance)) for instance in prepared]
                await asyncio.wait(running, return_when=asyncio.FIRST_EXCEPTION)
                reporter.cancel()
        except BaseExceptionGroup as several:
            raise first_of(several) from several
        return [answers[one.index] for one in prepared]

    async def _run(self, call: Call, one: Prepared) -> Answer:
        usage, started = one.flow.usage, self.clock()
        usage.rows_planned = one.cost.rows
        names = (call.request_id, call.task.method.name, call.task.model, modality_name(one.subject))
        self.events.tell(Started(*names, one.cost.rows))
        complete, reason = False, "CANCELLED"
        lanes: list[Lane] = []
        try:
            with progress_told(usage):
                finding = await self._ask(call, one, lanes)
            complete, reason = finding.complete, ""
        except WhyboxError as error:
            reason = error.reason.value
            raise
        finally:
            usage.wall_s = self.clock() - started
            self.events.tell(Finished(*names, complete, reason or None, usage))
        return Answer(one.index, one.subject, finding, usage, provenance(call, lanes))

    async def _ask(self, call: Call, one: Prepared, lanes: list[Lane]) -> Finding:
        """What the method finds. lanes: grows by each lane of the explained model that is asked."""
        usage = one.flow.usage
        steps = call.task.method.run(one.task, call.task.params, one.rng)
        with ExitStack() as opened:
            router = Router(partial(self._open, one, opened, lanes))
            meter = Meter(router, usage, self.pool, self.clock, most_rows(call), call.deadline)
            try:
                with paths_in_request(call.task.method):
                    return await drive(steps, Seeding(meter), self.pool, usage)
            except BudgetSpent as spent:
                if self.clock() < call.deadline:
                    refuse_by_endpoint(call, spent)
                    raise
                raise DeadlineExceeded(
                    f"the deadline passed after {usage.rows_answered} of {usage.rows_planned} rows; allow more "
                    "time or ask fewer rows"
                ) from spent

    async def _open(
        self, one: Prepared, opened: ExitStack, lanes: list[Lane], query: Query
    ) -> tuple[Desk, Mapping[str, str]]:
        """A desk for queries of this kind; it is closed with the stack."""
        loop = asyncio.get_running_loop()
        route = await loop.run_in_executor(self.pool, one.route, query)
        if not query.model:
            lanes.append(route.lane)
        return opened.enter_context(closing(self.cache.open(route.lane, one.flow))), route.names


def named(task: ExplainTask) -> ExplainTask:
    """The same task with a name for the endpoint that its caller brought."""
    endpoint = task.caller.endpoint
    return task if endpoint is None else replace(task, model=called(endpoint))


def refuse_unfit(call: Call) -> None:
    """Raises MethodUnsupported for a method that looks where this model cannot be looked into: before a row is paid."""
    method = call.task.method
    why = call.model.refusal(method.probes, method.reads)
    if why:
        raise MethodUnsupported(f"{method.name} cannot explain {call.task.model}: {why}", method=method.name)


def most_rows(call: Call) -> int:
    """Different rows that an instance may ask: what the caller allows, or less if the endpoint does; 0: any."""
    return min(filter(None, (call.task.max_queries, call.model.most_rows)), default=0)


@contextmanager
def progress_told(usage: Usage) -> Iterator[None]:
    """Errors that end the work halfway say how far it was, unless they do already; 0 planned: nothing yet."""
    try:
        yield
    except STOPPED as error:
        if "rows_done" in error.details:
            raise
        told = copy(error)  # explanations that share a call share its error
        progress = {"rows_done": str(usage.rows_answered), "rows_planned": str(usage.rows_planned)}
        told.details = {**error.details, **progress}
        raise told from error


def refuse_by_endpoint(call: Call, spent: BudgetSpent) -> None:
    """Raises EndpointBudgetSpent if it was the endpoint's limit that ended the work, not the caller's."""
    limit = call.model.most_rows
    if not limit or limit != most_rows(call):
        return
    raise EndpointBudgetSpent(
        f"{call.task.model} allows {limit} rows per request and {call.task.method.name} needs more; "
        "ask fewer rows by the method's parameters, or raise limits.rows_per_request",
        endpoint=call.task.model,
        limit=limit,
        unit="rows per request",
    ) from spent


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single exception inside nested groups: the cause; the rest are its consequences."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
