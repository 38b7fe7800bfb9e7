"""`inference.GRPCInferenceService`: our explanations as an inference server of the Open Inference Protocol has them.

The service's name on the wire is the protocol's; its messages are registered under names of our own, so that a
process may hold other clients of the protocol beside us.
"""

from __future__ import annotations

from typing import Any

import grpc
from google.protobuf import message_factory

from whybox_server.kserve.asked import Metadata
from whybox_server.kserve.desk import Desk
from whybox_server.kserve.infer import EXPLANATION
from whybox_server.kserve.infer_call import Inferring, check_version
from whybox_server.kserve.infer_grpc import from_message, to_message
from whybox_server.kserve.meters import Meters
from whybox_server.kserve.published import SERVICE
from whybox_server.serving.remote.speech.oip import DATATYPES
from whybox_server.serving.remote.speech.oip_rest import EXTENSION
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

SERVER = "whybox"
EXTENSIONS = (EXTENSION,)
ANY_LENGTH = -1


class Inference:
    """version: of this server. Errors are raised; the guard maps them."""

    def __init__(self, desk: Desk, version: str, meters: Meters) -> None:
        self._desk, self._version, self._inferring = desk, version, Inferring(desk, meters)

    async def ServerLive(self, request: pb.ServerLiveRequest, context: Any) -> pb.ServerLiveResponse:
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: pb.ServerReadyRequest, context: Any) -> pb.ServerReadyResponse:
        return pb.ServerReadyResponse(ready=await self._desk.all_ready())

    async def ModelReady(self, request: pb.ModelReadyRequest, context: Any) -> pb.ModelReadyResponse:
        ready = await self._desk.ready(request.name)
        if ready and request.version:
            check_version(await self._desk.metadata(request.name, context), request.version)
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(self, request: pb.ServerMetadataRequest, context: Any) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name=SERVER, version=self._version, extensions=EXTENSIONS)

    async def ModelMetadata(self, request: pb.ModelMetadataRequest, context: Any) -> pb.ModelMetadataResponse:
        metadata = check_version(await self._desk.metadata(request.name, context), request.version)
        return pb.ModelMetadataResponse(**described(metadata))

    async def ModelInfer(self, request: pb.ModelInferRequest, context: Any) -> pb.ModelInferResponse:
        return await self._inferring.answer(
            request.model_name,
            request.model_version,
            request.ByteSize(),
            lambda: from_message(request),
            lambda response, raw: to_message(response, raw=raw),
            context,
        )


def described(metadata: Metadata) -> dict[str, Any]:
    """A model's metadata, by field of ModelMetadataResponse."""
    return {
        "name": metadata.name,
        "versions": list(metadata.versions),
        "platform": SERVER,
        "inputs": [
            {
                "name": one.name,
                "datatype": DATATYPES[one.dtype],
                "shape": [ANY_LENGTH, *(ANY_LENGTH if length is None else length for length in one.shape)],
            }
            for one in metadata.inputs
        ],
        "outputs": [{"name": EXPLANATION, "datatype": "BYTES", "shape": [ANY_LENGTH, 1]}],
    }


def add_to(server: Any, inference: Inference) -> None:
    """Answer the service's calls, under the protocol's name."""
    methods = pb.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            getattr(inference, method.name),
            request_deserializer=message_factory.GetMessageClass(method.input_type).FromString,
            response_serializer=message_factory.GetMessageClass(method.output_type).SerializeToString,
        )
        for method in methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
