"""Conversations with a server over the real transport, without the manners that cost time in a test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TypeVar

from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, Call, Described, Exchange, Refused, RemoteProtocol
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

V = TypeVar("V")

TIMEOUT_S = 30.0


def held(exchange: Exchange[V], answer: Callable[[Call], Answer]) -> V:
    """What an exchange comes to when `answer` answers it; refusals are thrown in."""
    try:
        call = next(exchange)
        while True:
            try:
                said = answer(call)
            except Refused as refused:
                call = exchange.throw(refused)
            else:
                call = exchange.send(said)
    except StopIteration as done:
        return done.value


def spoken(endpoint: Endpoint, exchange: Exchange[V]) -> V:
    """The same with the endpoint itself, which is on loopback."""
    with closing(carrier_to(endpoint, Dialler(egress_of(["127.0.0.0/8"])), Wallet())) as carrier:
        return held(exchange, lambda call: carrier.exchange(call, TIMEOUT_S))


def asked(endpoint: Endpoint, protocol: RemoteProtocol, rows: Mapping[str, Array]) -> tuple[Described, Array]:
    """What a server says of itself, and of these rows."""
    described = spoken(endpoint, protocol.describe(endpoint))
    return described, spoken(endpoint, protocol.ask(endpoint, described, rows))
