"""One instance of a call, made ready: checked against the model, cut, costed; nothing is asked yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Want
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Space, Targets
from whybox_server.engine.inputs import arrays_of
from whybox_server.engine.paths import paths_in_request
from whybox_server.engine.router import Other, Route, route_to
from whybox_server.engine.task import ExplainTask, Given, Provenance
from whybox_server.methods import METHOD
from whybox_server.methods.method import Cost, Rng
from whybox_server.serving.lane import Flow, Lane, Usage
from whybox_server.serving.model import Model


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """One instance, cut and costed; its method has not asked anything yet.

    routes: to the scores of every model that may be asked, by the name that queries use; "" is the
    explained one. probed: the lane of a query that looks inside it.
    """

    index: int
    subject: Subject
    rng: Rng
    task: Any  # what the method's `prepare` made
    cost: Cost
    routes: Mapping[str, Route]
    probed: Callable[[Query], Lane]
    flow: Flow

    @property
    def lane(self) -> Lane:
        """Of the explained model."""
        return self.routes[""].lane

    def route(self, query: Query) -> Route:
        """Where the rows of a query go. Blocks while a graph is built that nobody has asked for so far."""
        route = self.routes[query.model]
        return route if query.want is Want.SCORES else replace(route, lane=self.probed(query))


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """What all instances of one request share. introduced: what was spent on getting to know the model."""

    task: ExplainTask
    model: Model
    request_id: str
    deadline: float
    others: tuple[Other, ...] = ()
    introduced: Usage | None = None

    def flow(self, index: int) -> Flow:
        """Of one instance; the first one is charged for the introduction."""
        spent = self.introduced if index == 0 else None
        usage = Usage() if spent is None else replace(spent, rows_answered=0)
        return Flow(f"{self.request_id}/{index}", usage, deadline=self.deadline)


def fitted(call: Call, index: int, given: Given) -> dict[str, Array]:
    """An instance's arrays as the model takes them. Raises InputMismatch or InvalidRequest."""
    field = f"instances[{index}]"
    return call.model.fit(arrays_of(given, call.model.rows, call.model.spec, field), field)


def prepare(call: Call, index: int, given: Given) -> Prepared:
    """Check an instance against the model, cut it, and cost it. Blocks; runs in the pool."""
    task, model = call.task, call.model
    arrays = fitted(call, index, given)
    targets = targets_of(task, model, model.labels_for(arrays))
    subject = Subject(Instance(arrays, model.spec), targets, model.inside(arrays, len(targets.labels)))
    modality = model.spec.modality
    if modality not in task.method.modalities:
        others = [m.name for m in METHOD.values() if modality in m.modalities]
        raise MethodUnsupported(
            f"{task.method.name} does not explain {modality_name(subject)} models; these do: {', '.join(others)}",
            method=task.method.name,
            alternatives=", ".join(others),
        )
    refuse_labels(task, model)
    rng = np.random.default_rng(task.seed)
    with paths_in_request(task.method):
        prepared = task.method.prepare(subject, task.params, rng)
    routes = {"": Route(model.lane(Want.SCORES, task.mode, arrays), {})}
    routes |= {other.name: route_to(other, task.mode, arrays) for other in call.others}
    cost = task.method.cost(prepared, task.params)

    def probed(query: Query) -> Lane:
        return model.lane(query.want, task.mode, arrays, query.probe, len(targets.labels))

    return Prepared(index, subject, rng, prepared, cost, routes, probed, call.flow(index))


def refuse_labels(task: ExplainTask, model: Model) -> None:
    """Raises MethodUnsupported for a method that reads scores, of a model that says labels alone."""
    if not model.labels_only or task.method.labels_suffice:
        return
    fine = ", ".join(m.name for m in METHOD.values() if m.labels_suffice and model.spec.modality in m.modalities)
    raise MethodUnsupported(
        f"{task.method.name} needs to see how scores change, and this endpoint says labels alone; declare an "
        f"output with scores, or use one of these: {fine}",
        method=task.method.name,
        alternatives=fine,
    )


def targets_of(task: ExplainTask, model: Model, labels: tuple[str, ...]) -> Targets:
    """What to explain, in which units. Raises InvalidRequest when the model has no such units."""
    space = task.space or model.space
    if model.unseen:  # only planned: what its scores are is found out when it is asked
        return Targets(task.choices, labels, ScoreKind(space.value), space, model.link)
    if (space is Space.VALUE) != (model.kind is ScoreKind.VALUE):
        raise InvalidRequest.of(
            "space",
            f"this model's scores are of kind {model.kind.value}; {space.value} cannot be read from them",
        )
    return Targets(task.choices, labels, model.kind, space, model.link)


def provenance(call: Call, lanes: Sequence[Lane]) -> Provenance:
    """lanes: of the explained model, those that were asked."""
    nodes: Counter[str] = Counter()
    for lane in lanes:
        nodes.update(lane.nodes)
    return Provenance(
        model=call.task.model,
        model_digest=call.model.digest,
        method=call.task.method.name,
        method_version=call.task.method.version,
        seed=call.task.seed,
        mode=call.task.mode,
        libraries=call.model.libraries,
        provider=call.model.provider,
        nodes=dict(nodes),
        guesses=call.model.guesses,
        served=call.model.served,
        request_id=call.request_id,
    )


def modality_name(subject: Subject) -> str:
    modality = subject.instance.spec.modality
    return "unknown" if modality is None else modality.value
