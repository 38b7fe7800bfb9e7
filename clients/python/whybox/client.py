"""The synchronous client. `whybox.aio` is its twin; what both do is in `operations` and `wire`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from whybox import operations
from whybox.channel import Metadata, Options, channel_credentials, channel_options, request_metadata, stubs
from whybox.endpoint import Endpoint
from whybox.endpoints import Endpoints
from whybox.errors import ExplainError, from_rpc
from whybox.operations import Call, Done, OnProgress, Steps, advance
from whybox.result import Explanation
from whybox.spec import ModelSpec
from whybox.views import Method, Model, Plan
from whybox.wire import Ask, model_ref

T = TypeVar("T")


class Client:
    """Explains models through a whybox server. Use it as a context manager, or `close` it.

    target: "host:port". timeout: seconds for a whole operation, uploads included; None leaves it to the
    server. credentials: gRPC channel credentials; tls_ca: a PEM file instead, for servers with TLS.
    metadata: sent with every call. options: further gRPC channel arguments.
    One client may be shared by threads.
    """

    def __init__(
        self,
        target: str,
        timeout: float | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        *,
        tls_ca: str | Path | None = None,
        metadata: Metadata = (),
        options: Options = (),
        on_close: Callable[[], None] | None = None,
    ) -> None:
        secure = channel_credentials(credentials, tls_ca)
        arguments = channel_options(options)
        self.target = target
        self._timeout = timeout
        self._metadata = tuple(metadata)
        self._on_close = on_close
        self._known: set[str] = set()
        self._channel = (
            grpc.insecure_channel(target, arguments)
            if secure is None
            else grpc.secure_channel(target, secure, arguments)
        )
        self._stubs = stubs(self._channel)
        self.endpoints = Endpoints(self._run)

    def explain(
        self,
        model: str | Path | bytes | Endpoint,
        inputs: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,
        spec: ModelSpec | None = None,
        on_progress: OnProgress | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> Explanation:
        """Explain what a model says of one instance.

        model: path or bytes of an ONNX file, "models/NAME" or "endpoints/NAME" of the server, or an Endpoint.
        inputs: array of the model's input shape, dict of arrays, dict of values by column, text, PIL
            image, or a path; see `whybox.inputs.instance`.
        method: see `methods`. params: its parameters, by the names of its proto message.
        target: index, label, "top:3", or a list of them. None: the highest score.
        max_queries: most different rows asked. on_progress: called with (rows done, rows planned).
        space: "logit", "probability" or "value". mode: "fast" or "reproducible".
        Raises ExplainError.
        """
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = operations.one(model, inputs, ask)
        if on_progress is None:
            return self._run(operations.explain(ref, request, self._known), timeout)[0]
        return self._run(operations.explain_stream(ref, request, self._known, on_progress), timeout)[0]

    def explain_many(
        self,
        model: str | Path | bytes | Endpoint,
        batch: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,
        spec: ModelSpec | None = None,
        on_progress: OnProgress | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> list[Explanation]:
        """Explain many instances in one call; they share batches. In order. See `explain`.

        batch: array with a leading row axis, dict of such arrays, or a list of what `explain` takes.
        Raises ExplainError.
        """
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = operations.many(model, batch, ask)
        return self._run(operations.explain_stream(ref, request, self._known, on_progress), timeout)

    def plan(
        self,
        model: str | Path | bytes | Endpoint,
        inputs: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,
        spec: ModelSpec | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> Plan:
        """What `explain` with the same arguments would cost; the model is asked nothing.

        Raises ExplainError.
        """
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = operations.one(model, inputs, ask)
        return self._run(operations.plan(ref, request, self._known), timeout)

    def methods(
        self, model: str | Path | bytes | Endpoint | None = None, *, timeout: float | None = None
    ) -> list[Method]:
        """The methods of the server; with a model, also whether each applies to it. Raises ExplainError."""
        ref = None if model is None else model_ref(model)
        return self._run(operations.methods(ref, self._known), timeout)

    def models(self, *, timeout: float | None = None) -> list[Model]:
        """The models of the server. Raises ExplainError."""
        return self._run(operations.models(), timeout)

    def close(self) -> None:
        """End all calls of this client; for a client of `whybox.local`, the server too."""
        self._channel.close()
        stop, self._on_close = self._on_close, None
        if stop is not None:
            stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self, steps: Steps[T], timeout: float | None) -> T:
        """Perform the calls of an operation, all within its time."""
        seconds = self._timeout if timeout is None else timeout
        deadline = None if seconds is None else time.monotonic() + seconds
        metadata = request_metadata(self._metadata)
        step = advance(steps)
        while not isinstance(step, Done):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                reply = self._perform(step, timeout=left, metadata=metadata)
            except ExplainError as error:
                step = advance(steps, error=error)
            else:
                step = advance(steps, reply)
        return step.value

    def _perform(self, call: Call, **how: Any) -> Any:
        """One call. Whatever interrupts it, Ctrl-C included, cancels it at the server too."""
        invoke = self._stubs[call.name]
        # A future rather than a plain call: waiting for it can be interrupted at any moment.
        rpc = invoke.future(call.request, **how) if call.on_event is None else invoke(call.request, **how)
        try:
            if call.on_event is None:
                return rpc.result()
            for event in rpc:
                call.on_event(event)
        except grpc.RpcError as error:
            raise from_rpc(error, self.target) from None
        finally:
            rpc.cancel()
