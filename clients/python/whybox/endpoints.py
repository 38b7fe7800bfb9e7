"""`client.endpoints`: the endpoints that a server knows. Both clients share what the calls are."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol, TypeVar

from whybox.endpoint import PREFIX, Endpoint, protocol_name
from whybox.errors import invalid
from whybox.inputs import instance
from whybox.operations import Call, Steps
from whybox.v1 import endpoint_pb2
from whybox.views import Probe, view

T = TypeVar("T")
PER_PAGE = 1000


class Run(Protocol):
    """Performs the calls of an operation."""

    def __call__(self, steps: Steps[T], timeout: float | None) -> T: ...


class AsyncRun(Protocol):
    """The same, awaited."""

    def __call__(self, steps: Steps[T], seconds: float | None) -> Awaitable[T]: ...


class Endpoints:
    """Of one client. Names are "endpoints/NAME", or NAME alone. All raise ExplainError."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def create(self, name: str, endpoint: Endpoint, *, timeout: float | None = None) -> Endpoint:
        """Have the server remember an endpoint as "endpoints/NAME"; it is asked nothing yet."""
        return self._run(created(name, endpoint), timeout)

    def get(self, name: str, *, timeout: float | None = None) -> Endpoint:
        """What is declared of "endpoints/NAME"."""
        return self._run(got(name), timeout)

    def list(self, *, timeout: float | None = None) -> list[Endpoint]:
        """All, by name."""
        return self._run(listed(), timeout)

    def delete(self, name: str, *, timeout: float | None = None) -> None:
        """Forget one that a client created."""
        self._run(deleted(name), timeout)

    def probe(self, endpoint: str | Endpoint, row: Any = None, *, timeout: float | None = None) -> Probe:
        """Ask it for its metadata and a few rows: what it says, and whether it says it again.

        row: an array, or arrays by input. None: zeros. Up to four calls are made, and may be charged.
        """
        return self._run(probed(endpoint, row), timeout)


class AsyncEndpoints:
    """The same, awaited."""

    def __init__(self, run: AsyncRun) -> None:
        self._run = run

    async def create(self, name: str, endpoint: Endpoint, *, timeout: float | None = None) -> Endpoint:  # noqa: ASYNC109 - it is sent to the server as the deadline
        """See `Endpoints.create`."""
        return await self._run(created(name, endpoint), timeout)

    async def get(self, name: str, *, timeout: float | None = None) -> Endpoint:  # noqa: ASYNC109 - as above
        """See `Endpoints.get`."""
        return await self._run(got(name), timeout)

    async def list(self, *, timeout: float | None = None) -> list[Endpoint]:  # noqa: ASYNC109 - as above
        """See `Endpoints.list`."""
        return await self._run(listed(), timeout)

    async def delete(self, name: str, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as above
        """See `Endpoints.delete`."""
        await self._run(deleted(name), timeout)

    async def probe(
        self,
        endpoint: str | Endpoint,
        row: Any = None,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as above
    ) -> Probe:
        """See `Endpoints.probe`."""
        return await self._run(probed(endpoint, row), timeout)


def created(name: str, endpoint: Endpoint) -> Steps[Endpoint]:
    declared = endpoint_pb2.Endpoint()
    declared.CopyFrom(endpoint.message)
    declared.name = ""
    request = endpoint_pb2.CreateEndpointRequest(endpoint_id=name.removeprefix(PREFIX), endpoint=declared)
    response: endpoint_pb2.CreateEndpointResponse = yield Call("CreateEndpoint", request)
    return Endpoint.of(response.endpoint)


def got(name: str) -> Steps[Endpoint]:
    request = endpoint_pb2.GetEndpointRequest(name=full(name))
    response: endpoint_pb2.GetEndpointResponse = yield Call("GetEndpoint", request)
    return Endpoint.of(response.endpoint)


def listed() -> Steps[list[Endpoint]]:
    found: list[Endpoint] = []
    token = ""
    while True:
        request = endpoint_pb2.ListEndpointsRequest(page_size=PER_PAGE, page_token=token)
        response: endpoint_pb2.ListEndpointsResponse = yield Call("ListEndpoints", request)
        found.extend(map(Endpoint.of, response.endpoints))
        token = response.next_page_token
        if not token:
            return found


def deleted(name: str) -> Steps[None]:
    yield Call("DeleteEndpoint", endpoint_pb2.DeleteEndpointRequest(name=full(name)))


def full(name: str) -> str:
    """The server's name, "endpoints/NAME", of either form."""
    return name if name.startswith(PREFIX) else f"{PREFIX}{name}"


def probed(endpoint: str | Endpoint, row: Any) -> Steps[Probe]:
    request = endpoint_pb2.ProbeEndpointRequest()
    if isinstance(endpoint, str):
        request.name = full(endpoint)
    elif endpoint.name:
        request.name = endpoint.name
    else:
        request.endpoint.CopyFrom(endpoint.message)
    if row is not None:
        given = instance(row, "row")
        if given.WhichOneof("value") != "tensors":
            raise invalid("row", "pass an array, or a dict of arrays by input name")
        request.row.CopyFrom(given.tensors)
    response: endpoint_pb2.ProbeEndpointResponse = yield Call("ProbeEndpoint", request)
    return view(Probe, response, protocol=protocol_name(response.protocol))
