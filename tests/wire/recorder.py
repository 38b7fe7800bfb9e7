"""A gRPC server that records what it is asked and answers what it was told to; real sockets, no model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status
from tests.wire import examples

from whybox.v1 import explain_pb2, explain_pb2_grpc, model_pb2, model_pb2_grpc

GRACE_S = 0.2


@dataclass
class Recorder(explain_pb2_grpc.ExplanationServiceServicer, model_pb2_grpc.ModelServiceServicer):
    """Calls in order as (name, request, metadata); `answers` replaces the default answer of a method."""

    answers: dict[str, Callable[[Any, grpc.ServicerContext], Any]] = field(default_factory=dict)
    calls: list[tuple[str, Any, dict[str, str]]] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    chunks: list[int] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]

    def _record(self, name: str, request: Any, context: grpc.ServicerContext) -> Any:
        self.calls.append((name, request, dict(context.invocation_metadata() or ())))
        return self.answers[name](request, context) if name in self.answers else None

    def _require(self, model: str, context: grpc.ServicerContext) -> None:
        if "sha256-" in model and model not in self.models:
            abort(context, code_pb2.NOT_FOUND, "UNKNOWN_MODEL", f"no model {model}", {"model": model})

    def Explain(self, request: explain_pb2.ExplainRequest, context: grpc.ServicerContext) -> Any:
        told = self._record("Explain", request, context)
        self._require(request.model, context)
        found = [examples.attribution() for _ in request.instances]
        return told or explain_pb2.ExplainResponse(explanations=found)

    def ExplainStream(self, request: explain_pb2.ExplainStreamRequest, context: grpc.ServicerContext) -> Any:
        told = self._record("ExplainStream", request, context)
        self._require(request.request.model, context)
        yield from told or examples.stream(len(request.request.instances))

    def PlanExplain(self, request: explain_pb2.PlanExplainRequest, context: grpc.ServicerContext) -> Any:
        told = self._record("PlanExplain", request, context)
        self._require(request.request.model, context)
        return told or examples.plan()

    def ListMethods(self, request: explain_pb2.ListMethodsRequest, context: grpc.ServicerContext) -> Any:
        return self._record("ListMethods", request, context) or examples.methods()

    def GetModel(self, request: model_pb2.GetModelRequest, context: grpc.ServicerContext) -> Any:
        self._record("GetModel", request, context)
        self._require(request.name, context)
        return model_pb2.GetModelResponse(model=model_pb2.Model(name=request.name))

    def CreateModel(
        self, requests: Iterable[model_pb2.CreateModelRequest], context: grpc.ServicerContext
    ) -> model_pb2.CreateModelResponse:
        parts = list(requests)
        self.chunks = [len(part.chunk) for part in parts[1:]]
        content = b"".join(part.chunk for part in parts[1:])
        self._record("CreateModel", (parts[0].header, content), context)
        name = f"models/sha256-{parts[0].header.sha256}"
        self.models.add(name)
        return model_pb2.CreateModelResponse(model=model_pb2.Model(name=name))

    def ListModels(self, request: model_pb2.ListModelsRequest, context: grpc.ServicerContext) -> Any:
        return self._record("ListModels", request, context) or examples.models(request.page_token)


@contextmanager
def serving(recorder: Recorder, tls: grpc.ServerCredentials | None = None) -> Iterator[str]:
    """Serves on a free loopback port while the context is open; gives "HOST:PORT"."""
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
    explain_pb2_grpc.add_ExplanationServiceServicer_to_server(recorder, server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(recorder, server)
    address = "127.0.0.1:0"
    port = server.add_insecure_port(address) if tls is None else server.add_secure_port(address, tls)
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(GRACE_S).wait()


def abort(  # noqa: PLR0913 - the parts of a google.rpc.Status
    context: grpc.ServicerContext,
    code: int,
    reason: str,
    message: str,
    metadata: dict[str, str] | None = None,
    violations: Iterable[tuple[str, str]] = (),
    retry_s: int | None = None,
) -> None:
    """End the call as a whybox server does: a google.rpc.Status with details."""
    status = status_pb2.Status(code=code, message=message)
    info = error_details_pb2.ErrorInfo(reason=reason, domain="whybox.dev", metadata=metadata or {})
    status.details.add().Pack(info)
    fields = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
    if fields:
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=fields))
    if retry_s is not None:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=retry_s)))
    context.abort_with_status(rpc_status.to_status(status))
