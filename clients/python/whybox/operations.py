"""What a client does, as generators that do no I/O: they yield a `Call` and are sent its reply.

The synchronous and the asynchronous client differ only in how they perform a call; everything that
decides which calls are made, and what is made of the replies, stands here once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from google.protobuf.message import Message

from whybox.endpoint import Endpoint
from whybox.errors import ExplainError, invalid
from whybox.inputs import instance, instances
from whybox.result import Explanation
from whybox.v1 import explain_pb2, model_pb2
from whybox.views import Method, Model, Plan, view
from whybox.wire import Ask, ModelRef, explain_request, model_ref, upload

T = TypeVar("T")
OnProgress: TypeAlias = Callable[[int, int], None]

MODELS_PER_PAGE = 1000


Prepared: TypeAlias = tuple[ModelRef, explain_pb2.ExplainRequest]


def one(model: str | Path | bytes | Endpoint, inputs: Any, ask: Ask) -> Prepared:
    """The model and the request to explain one instance. Reads files; raises ExplainError."""
    ref = model_ref(model)
    return ref, _request(ref, [instance(inputs)], ask)


def many(model: str | Path | bytes | Endpoint, batch: Any, ask: Ask) -> Prepared:
    """The model and the request to explain a batch. Reads files; raises ExplainError."""
    ref = model_ref(model)
    return ref, _request(ref, instances(batch), ask)


def _request(ref: ModelRef, found: list[explain_pb2.Instance], ask: Ask) -> explain_pb2.ExplainRequest:
    request = explain_request(ref.name, found, ask)
    if ref.endpoint is not None:
        request.endpoint.CopyFrom(ref.endpoint.message)
    return request


@dataclass(frozen=True, slots=True)
class Call:
    """One gRPC call. The reply is sent back into the generator, or its ExplainError thrown.

    A call with `on_event` is a stream: each message goes there, and the reply is None.
    """

    name: str
    request: Message | Iterator[Message]
    on_event: Callable[[Any], None] | None = None


Steps: TypeAlias = Generator[Call, Any, T]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """The generator's result."""

    value: T


def advance(steps: Steps[T], reply: Any = None, error: ExplainError | None = None) -> Call | Done[T]:
    """The next call, or the result. The first time, reply is None."""
    try:
        return steps.send(reply) if error is None else steps.throw(error)
    except StopIteration as stop:
        return Done(stop.value)


def explain(ref: ModelRef, request: explain_pb2.ExplainRequest, known: set[str]) -> Steps[list[Explanation]]:
    """The explanations of all instances, in one unary call."""
    response: explain_pb2.ExplainResponse = yield from _with_model(
        ref, known, lambda: Call("Explain", request)
    )
    found = dict(enumerate(map(Explanation, response.explanations)))
    _require(found, len(request.instances))
    return [found[index] for index in sorted(found)]


def explain_stream(
    ref: ModelRef, request: explain_pb2.ExplainRequest, known: set[str], on_progress: OnProgress | None
) -> Steps[list[Explanation]]:
    """The same over a stream: no message grows with the number of instances, and progress is told."""
    found: dict[int, Explanation] = {}

    def on_event(event: explain_pb2.ExplainStreamResponse) -> None:
        if event.HasField("explanation"):
            found[event.explanation.index] = Explanation(event.explanation.explanation)
        elif on_progress is not None and event.HasField("plan"):
            on_progress(0, sum(event.plan.rows))
        elif on_progress is not None and event.HasField("progress"):
            on_progress(event.progress.rows_done, event.progress.rows_planned)

    asked = explain_pb2.ExplainStreamRequest(request=request)
    yield from _with_model(ref, known, lambda: Call("ExplainStream", asked, on_event))
    _require(found, len(request.instances))
    return [found[index] for index in sorted(found)]


def _require(found: Mapping[int, Explanation], instances: int) -> None:
    """An answer that is missing must not shift the others."""
    missing = [index for index in range(instances) if index not in found]
    if missing:
        message = f"the server left out the explanations of instances {missing[:10]}"
        raise ExplainError(message, code="INTERNAL", reason="", remote=True)


def plan(ref: ModelRef, request: explain_pb2.ExplainRequest, known: set[str]) -> Steps[Plan]:
    """What the request would cost."""
    asked = explain_pb2.PlanExplainRequest(request=request)
    response: explain_pb2.PlanExplainResponse = yield from _with_model(
        ref, known, lambda: Call("PlanExplain", asked)
    )
    return view(Plan, response.plan, notes=tuple(response.notes))


def methods(ref: ModelRef | None, known: set[str]) -> Steps[list[Method]]:
    """The server's methods, and whether they apply to the model."""
    if ref is not None and ref.endpoint is not None:
        raise invalid("model", "have the server remember it first: client.endpoints.create(name, endpoint)")
    request = explain_pb2.ListMethodsRequest(model=ref.name if ref else "")
    response: explain_pb2.ListMethodsResponse
    if ref is None:
        response = yield Call("ListMethods", request)
    else:
        response = yield from _with_model(ref, known, lambda: Call("ListMethods", request))
    return [view(Method, message) for message in response.methods]


def models() -> Steps[list[Model]]:
    """All models of the server, page by page."""
    found: list[Model] = []
    token = ""
    while True:
        request = model_pb2.ListModelsRequest(page_size=MODELS_PER_PAGE, page_token=token)
        response: model_pb2.ListModelsResponse = yield Call("ListModels", request)
        found.extend(view(Model, message) for message in response.models)
        token = response.next_page_token
        if not token:
            return found


def _with_model(ref: ModelRef, known: set[str], call: Callable[[], Call]) -> Steps[Any]:
    """Make sure that the server has the model, then call.

    A server may forget a model that was sent to it; it is then sent once more. `known` holds the names
    that this client has seen there, so that the second explanation needs one call and not two.
    """
    if ref.content is None:
        return (yield call())
    if ref.name not in known:
        yield from _present(ref)
        known.add(ref.name)
    try:
        return (yield call())
    except ExplainError as error:
        if error.reason != "UNKNOWN_MODEL":
            raise
        known.discard(ref.name)
    yield Call("CreateModel", upload(ref))
    known.add(ref.name)
    return (yield call())


def _present(ref: ModelRef) -> Steps[None]:
    try:
        yield Call("GetModel", model_pb2.GetModelRequest(name=ref.name))
    except ExplainError as error:
        if error.code != "NOT_FOUND":
            raise
        yield Call("CreateModel", upload(ref))
