"""Whether a server of the Open Inference Protocol says that its model is ready, over either wire.

Metadata may be there long before: a model that is still being loaded has a name and inputs already.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError

from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Answer, Call, Described, Exchange, GrpcCall, Refused
from whybox_server.serving.remote.speech.json_text import NOT_THERE, get, segments
from whybox_server.serving.remote.speech.oip_grpc import METADATA, SERVICE
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

NOT_READY = (400, 503)  # Triton's and KServe's way to say so over HTTP


def ready(endpoint: Endpoint, described: Described) -> Exchange[bool]:
    """True, too, for a server that has no such question. Raises Refused and Unreachable."""
    try:
        answer = yield _question(endpoint, described)
    except Refused as refused:
        if refused.status in NOT_READY:
            return False
        if refused.status in NOT_THERE:
            return True
        raise
    return described.speech != Speech.OIP_GRPC.value or _says_so(answer)


def _question(endpoint: Endpoint, described: Described) -> Call:
    model = described.manner["model"]
    if described.speech == Speech.OIP_GRPC.value:
        body = pb.ModelReadyRequest(name=model, version=endpoint.version).SerializeToString()
        return GrpcCall(f"{SERVICE}ModelReady", body, METADATA)
    version = ("versions", endpoint.version) if endpoint.version else ()
    return get(segments("v2", "models", model, *version, "ready"))


def _says_so(answer: Answer) -> bool:
    try:
        return bool(pb.ModelReadyResponse.FromString(answer.body).ready)
    except DecodeError:
        return False
