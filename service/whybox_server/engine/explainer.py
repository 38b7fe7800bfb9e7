"""From a task to answers: what every edge (gRPC, HTTP, CLI) calls.

It composes the others: admission lets the call in, the catalogue lends the model, the method is
prepared, and each instance becomes a flow with a meter on top of cache, batcher and model.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from whybox_server.core.errors import (
    BudgetSpent,
    DeadlineExceeded,
    InvalidRequest,
    MethodUnsupported,
    WhyboxError,
)
from whybox_server.core.explanation import Finding
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Want
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Space, Targets
from whybox_server.engine.admission import Admission, refuse_hopeless
from whybox_server.engine.catalogue import Catalogue
from whybox_server.engine.events import Events, Finished, Started
from whybox_server.engine.inputs import arrays_of
from whybox_server.engine.meter import Meter
from whybox_server.engine.paths import paths_in_request
from whybox_server.engine.router import AS_VALUES, Other, Route, Router, route_to
from whybox_server.engine.session import drive
from whybox_server.engine.task import Answer, ExplainTask, Given, Plan, Progress, Provenance, Update
from whybox_server.methods import METHOD
from whybox_server.methods.method import Cost, Rng
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.lane import Flow, Lane, Usage
from whybox_server.serving.onnx.model import OnnxModel

MAX_PARALLEL_INSTANCES = 64  # of one call: enough to fill any batch, few enough to bound memory
PROGRESS_EVERY_S = 0.1
REPLY_RESERVE_S = 0.05  # what encoding and sending the answer may take of the deadline

Emit = Callable[[Update], None]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One instance, cut and costed; its method has not asked anything yet.

    routes: to every model that may be asked, by the name that queries use; "" is the explained one.
    """

    index: int
    subject: Subject
    rng: Rng
    task: Any  # what the method's `prepare` made
    cost: Cost
    routes: Mapping[str, Route]
    flow: Flow

    @property
    def lane(self) -> Lane:
        """Of the explained model."""
        return self.routes[""].lane


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What all instances of one request share."""

    task: ExplainTask
    model: OnnxModel
    request_id: str
    deadline: float
    others: tuple[Other, ...] = ()


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
        with self.admission.permit():
            async with self._call(task, request_id, deadline) as call:
                prepared = await self._prepare_all(call)
                # A bound may be far above what is asked, and a partial answer may do.
                certain = [one.cost.rows for one in prepared if one.cost.exact]
                rows = sum(min(rows, task.max_queries or rows) for rows in certain)
                refuse_hopeless(rows, self.seconds_per_row(prepared[0].lane), deadline - self.clock())
                emit(self._plan(call, prepared))
                return await self._run_all(call, prepared, emit)

    @asynccontextmanager
    async def _call(self, task: ExplainTask, request_id: str, deadline: float) -> AsyncIterator[Call]:
        """A call with all the models it may ask, which stay loaded while the context is open."""
        async with AsyncExitStack() as held:
            model = await held.enter_async_context(self.catalogue.lease(task.model, task.spec))
            others = [
                Other(
                    f"{task.method.name}.{field}",
                    name,
                    await held.enter_async_context(self.catalogue.lease(name, AS_VALUES)),
                )
                for field, name in task.method.others(task.params).items()
            ]
            yield Call(task, model, request_id, deadline, tuple(others))

    async def _prepare_all(self, call: Call) -> list[Prepared]:
        loop = asyncio.get_running_loop()
        givens = enumerate(call.task.instances)
        return [await loop.run_in_executor(self.pool, prepare, call, i, given) for i, given in givens]

    def _plan(self, call: Call, prepared: Sequence[Prepared]) -> Plan:
        rows = tuple(one.cost.rows for one in prepared)
        each = self.seconds_per_row(prepared[0].lane)
        return Plan(
            rows=rows,
            exact=all(one.cost.exact for one in prepared),
            seconds=None if each is None else each * sum(rows),
            notes=call.model.guesses,
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
        try:
            finding = await self._ask(call, one)
            complete, reason = finding.complete, ""
        except WhyboxError as error:
            reason = error.reason.value
            raise
        finally:
            usage.wall_s = self.clock() - started
            self.events.tell(Finished(*names, complete, reason or None, usage))
        return Answer(one.index, one.subject, finding, usage, provenance(call))

    async def _ask(self, call: Call, one: Prepared) -> Finding:
        usage = one.flow.usage
        steps = call.task.method.run(one.task, call.task.params, one.rng)
        with ExitStack() as opened:
            desks = {
                name: opened.enter_context(closing(self.cache.open(route.lane, one.flow)))
                for name, route in one.routes.items()
            }
            router = Router(desks, {name: route.names for name, route in one.routes.items()})
            meter = Meter(router, usage, self.pool, self.clock, call.task.max_queries, call.deadline)
            try:
                with paths_in_request(call.task.method):
                    return await drive(steps, meter, self.pool, usage)
            except BudgetSpent as spent:
                if self.clock() < call.deadline:
                    raise
                raise DeadlineExceeded(
                    f"the deadline passed after {usage.rows_answered} of {usage.rows_planned} rows; allow more "
                    "time or ask fewer rows",
                    rows_done=usage.rows_answered,
                    rows_planned=usage.rows_planned,
                ) from spent


def prepare(call: Call, index: int, given: Given) -> Prepared:
    """Check an instance against the model, cut it, and cost it. Blocks; runs in the pool."""
    task, model, field = call.task, call.model, f"instances[{index}]"
    arrays = model.fit(arrays_of(given, model.rows, model.spec, field), field)
    subject = Subject(Instance(arrays, model.spec), targets_of(task, model, model.labels_for(arrays)))
    modality = model.spec.modality
    if modality not in task.method.modalities:
        others = [m.name for m in METHOD.values() if modality in m.modalities]
        raise MethodUnsupported(
            f"{task.method.name} does not explain {modality_name(subject)} models; these do: {', '.join(others)}",
            method=task.method.name,
            alternatives=", ".join(others),
        )
    rng = np.random.default_rng(task.seed)
    with paths_in_request(task.method):
        prepared = task.method.prepare(subject, task.params, rng)
    flow = Flow(f"{call.request_id}/{index}", Usage())
    routes = {"": Route(model.lane(Want.SCORES, task.mode, arrays), {})}
    routes |= {other.name: route_to(other, task.mode, arrays) for other in call.others}
    return Prepared(index, subject, rng, prepared, task.method.cost(prepared, task.params), routes, flow)


def targets_of(task: ExplainTask, model: OnnxModel, labels: tuple[str, ...]) -> Targets:
    """What to explain, in which units. Raises InvalidRequest when the model has no such units."""
    space = task.space
    if space is None:
        space = Space(model.kind.value)
    if (space is Space.VALUE) != (model.kind is ScoreKind.VALUE):
        raise InvalidRequest.of(
            "space", f"this model's scores are of kind {model.kind.value}; {space.value} cannot be read from them"
        )
    return Targets(task.choices, labels, model.kind, space, model.link)


def provenance(call: Call) -> Provenance:
    return Provenance(
        model=call.task.model,
        model_digest=call.model.digest,
        method=call.task.method.name,
        method_version=call.task.method.version,
        seed=call.task.seed,
        mode=call.task.mode,
        libraries=call.model.libraries,
        provider=call.model.provider,
        guesses=call.model.guesses,
        request_id=call.request_id,
    )


def modality_name(subject: Subject) -> str:
    modality = subject.instance.spec.modality
    return "unknown" if modality is None else modality.value


def first_of(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first single exception inside nested groups: the cause; the rest are its consequences."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
