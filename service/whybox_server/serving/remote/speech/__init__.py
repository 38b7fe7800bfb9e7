"""Protocols: what is said to servers and what they answer, without the wire. One file each."""

from __future__ import annotations

from collections.abc import Mapping

from whybox_server.serving.remote.endpoint import Speech
from whybox_server.serving.remote.exchange import RemoteProtocol
from whybox_server.serving.remote.speech import (
    auto,
    json_http,
    kserve_v1,
    oip_grpc,
    oip_rest,
    tfserving_grpc,
    tfserving_rest,
    torchserve,
)

PROTOCOLS: Mapping[Speech, RemoteProtocol] = {
    Speech.AUTO: auto,
    Speech.OIP_GRPC: oip_grpc,
    Speech.OIP_REST: oip_rest,
    Speech.KSERVE_V1: kserve_v1,
    Speech.TFSERVING_REST: tfserving_rest,
    Speech.TFSERVING_GRPC: tfserving_grpc,
    Speech.TORCHSERVE: torchserve,
    Speech.JSON: json_http,
}
