"""Talks with a peer the way the service does: through the real sender and transport."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any, TypeVar

from tests.peers.process import Peer

from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described, Exchange
from whybox_server.serving.remote.manners import manners
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.speech import PROTOCOLS
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

V = TypeVar("V")

TIMEOUT_S = 30.0
GRPC = (Speech.OIP_GRPC, Speech.TFSERVING_GRPC)


def endpoint_of(peer: Peer, speech: Speech, model: str, **more: Any) -> Endpoint:
    url = peer.grpc if speech in GRPC else peer.http
    return Endpoint(**{"url": url, "speech": speech, "model": model, "trusted": True, **more})


def sent(endpoint: Endpoint, start: Callable[[], Exchange[V]]) -> V:
    """What an exchange with the endpoint, on loopback, comes to."""
    with closing(carrier_to(endpoint, Dialler(egress_of(["127.0.0.0/8"])), Wallet())) as carrier:
        return Sender(carrier, manners(endpoint), TIMEOUT_S).run(start)


def described(endpoint: Endpoint) -> Described:
    return sent(endpoint, lambda: PROTOCOLS[endpoint.speech].describe(endpoint))


def asked(endpoint: Endpoint, said: Described, rows: Mapping[str, Array]) -> Array:
    return sent(endpoint, lambda: PROTOCOLS[endpoint.speech].ask(endpoint, said, rows))
