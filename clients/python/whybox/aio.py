"""The asynchronous client: the same calls, awaited. Everything but the waiting is shared with `Client`."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from whybox import operations
from whybox.channel import Metadata, Options, channel_credentials, channel_options, request_metadata, stubs
from whybox.endpoint import Endpoint
from whybox.endpoints import AsyncEndpoints
from whybox.errors import ExplainError, from_rpc
from whybox.operations import Call, Done, OnProgress, Steps, advance
from whybox.result import Explanation
from whybox.spec import ModelSpec
from whybox.views import Method, Model, Plan
from whybox.wire import Ask, model_ref

__all__ = ["Client"]

T = TypeVar("T")


class Client:
    """Explains models through a whybox server; see `whybox.Client`, whose arguments are the same.

    Use it with `async with`, or await `close`. It belongs to the event loop it is first used in.
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
    ) -> None:
        secure = channel_credentials(credentials, tls_ca)
        arguments = channel_options(options)
        self.target = target
        self._timeout = timeout
        self._metadata = tuple(metadata)
        self._known: set[str] = set()
        self._channel = (
            grpc.aio.insecure_channel(target, arguments)
            if secure is None
            else grpc.aio.secure_channel(target, secure, arguments)
        )
        self._stubs = stubs(self._channel)
        self.endpoints = AsyncEndpoints(self._run)

    async def explain(
        self,
        model: str | Path | bytes | Endpoint,
        inputs: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - it is sent to the server as the deadline
        spec: ModelSpec | None = None,
        on_progress: OnProgress | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> Explanation:
        """Explain what a model says of one instance; see `whybox.Client.explain`. Raises ExplainError."""
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = await asyncio.to_thread(operations.one, model, inputs, ask)
        if on_progress is None:
            return (await self._run(operations.explain(ref, request, self._known), timeout))[0]
        return (await self._run(operations.explain_stream(ref, request, self._known, on_progress), timeout))[
            0
        ]

    async def explain_many(
        self,
        model: str | Path | bytes | Endpoint,
        batch: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
        spec: ModelSpec | None = None,
        on_progress: OnProgress | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> list[Explanation]:
        """Explain many instances in one call; see `whybox.Client.explain_many`. Raises ExplainError."""
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = await asyncio.to_thread(operations.many, model, batch, ask)
        return await self._run(operations.explain_stream(ref, request, self._known, on_progress), timeout)

    async def plan(
        self,
        model: str | Path | bytes | Endpoint,
        inputs: Any,
        method: str,
        *,
        target: Any = None,
        seed: int = 0,
        max_queries: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
        spec: ModelSpec | None = None,
        space: str | None = None,
        mode: str | None = None,
        **params: Any,
    ) -> Plan:
        """What `explain` with the same arguments would cost. Raises ExplainError."""
        ask = Ask(method, target, seed, max_queries, spec, space, mode, params)
        ref, request = await asyncio.to_thread(operations.one, model, inputs, ask)
        return await self._run(operations.plan(ref, request, self._known), timeout)

    async def methods(
        self,
        model: str | Path | bytes | Endpoint | None = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> list[Method]:
        """The methods of the server; with a model, also whether each applies to it. Raises ExplainError."""
        ref = None if model is None else await asyncio.to_thread(model_ref, model)
        return await self._run(operations.methods(ref, self._known), timeout)

    async def models(self, *, timeout: float | None = None) -> list[Model]:  # noqa: ASYNC109 - as above
        """The models of the server. Raises ExplainError."""
        return await self._run(operations.models(), timeout)

    async def close(self) -> None:
        """End all calls of this client."""
        await self._channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _run(self, steps: Steps[T], seconds: float | None) -> T:
        """Perform the calls of an operation, all within its time."""
        seconds = self._timeout if seconds is None else seconds
        deadline = None if seconds is None else time.monotonic() + seconds
        metadata = request_metadata(self._metadata)
        step = advance(steps)
        while not isinstance(step, Done):
            left = None if deadline is None else max(deadline - time.monotonic(), 0.0)
            try:
                reply = await self._perform(step, timeout=left, metadata=metadata)
            except ExplainError as error:
                step = advance(steps, error=error)
            else:
                step = advance(steps, reply)
        return step.value

    async def _perform(self, call: Call, **how: Any) -> Any:
        """One call, cancelled whatever happens: grpc.aio never collects an abandoned one (grpc#43462)."""
        rpc = self._stubs[call.name](call.request, **how)
        try:
            if call.on_event is None:
                return await rpc
            async for event in rpc:
                call.on_event(event)
        except grpc.aio.AioRpcError as error:
            raise from_rpc(error, self.target) from None
        finally:
            rpc.cancel()
