"""`EndpointService`: endpoints that the operator declared or callers create, and whether they answer."""

from __future__ import annotations

from typing import Any

from whybox.v1 import endpoint_pb2, endpoint_pb2_grpc
from whybox_server.api.decode import check_page_size, to_arrays
from whybox_server.api.endpoints import SPEECH_NUMBERS, from_endpoint, from_rows, to_endpoint
from whybox_server.api.headers import headers_in
from whybox_server.api.spec import from_spec
from whybox_server.core.errors import InvalidRequest
from whybox_server.engine.endpoints import Caller, Endpoints
from whybox_server.serving.remote.endpoint import Speech
from whybox_server.serving.remote.probing import Probed


class EndpointCalls(endpoint_pb2_grpc.EndpointServiceServicer):
    def __init__(self, endpoints: Endpoints) -> None:
        self._endpoints = endpoints

    async def CreateEndpoint(
        self, request: endpoint_pb2.CreateEndpointRequest, context: Any
    ) -> endpoint_pb2.CreateEndpointResponse:
        declared = to_endpoint(request.endpoint, "endpoint")
        made = self._endpoints.create(request.endpoint_id, declared, request.endpoint.credential)
        return endpoint_pb2.CreateEndpointResponse(endpoint=from_endpoint(made))

    async def GetEndpoint(
        self, request: endpoint_pb2.GetEndpointRequest, context: Any
    ) -> endpoint_pb2.GetEndpointResponse:
        return endpoint_pb2.GetEndpointResponse(endpoint=from_endpoint(self._endpoints.get(request.name)))

    async def ListEndpoints(
        self, request: endpoint_pb2.ListEndpointsRequest, context: Any
    ) -> endpoint_pb2.ListEndpointsResponse:
        size = check_page_size(request)
        after = [one for one in self._endpoints.list() if one.name > request.page_token]
        page, rest = after[:size], after[size:]
        token = page[-1].name if rest else ""
        return endpoint_pb2.ListEndpointsResponse(endpoints=map(from_endpoint, page), next_page_token=token)

    async def DeleteEndpoint(
        self, request: endpoint_pb2.DeleteEndpointRequest, context: Any
    ) -> endpoint_pb2.DeleteEndpointResponse:
        self._endpoints.delete(request.name)
        return endpoint_pb2.DeleteEndpointResponse()

    async def ProbeEndpoint(
        self, request: endpoint_pb2.ProbeEndpointRequest, context: Any
    ) -> endpoint_pb2.ProbeEndpointResponse:
        name, headers = request.name, headers_in(context)
        match request.WhichOneof("which"):
            case "endpoint":
                declared = to_endpoint(request.endpoint, "endpoint")
                caller = Caller(declared, headers, request.endpoint.credential)
            case "name":
                caller = Caller(headers=headers)
            case _:
                raise InvalidRequest.of("which", 'required: a name, "endpoints/NAME", or an endpoint')
        row = to_arrays(request.row, "row")
        return from_probed(await self._endpoints.probe(name, caller, row))


def from_probed(found: Probed) -> endpoint_pb2.ProbeEndpointResponse:
    """What a probe showed."""
    model, served = found.model, found.model.served
    return endpoint_pb2.ProbeEndpointResponse(
        protocol=SPEECH_NUMBERS[Speech(served.protocol)],
        version=served.version,
        inputs=from_rows(list(model.rows)),
        spec=from_spec(model.spec),
        guesses=model.guesses,
        determinism=served.determinism,
        deterministic=found.determinism.same,
        calls=found.calls,
        notes=model.session.described.notes,
    )
