"""The way to an endpoint, over HTTP or gRPC as each call wants it, and what is known to be wrong beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, Call, HttpCall
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler, denied
from whybox_server.serving.remote.transport.egress import literal_address, refusal
from whybox_server.serving.remote.transport.grpc import GrpcTransport
from whybox_server.serving.remote.transport.headers import headers_of
from whybox_server.serving.remote.transport.http import HttpTransport
from whybox_server.serving.remote.transport.place import Place, place_of
from whybox_server.serving.remote.transport.tls import context_of


@dataclass(frozen=True, slots=True)
class Carrier:
    """A `Transport`: both wires of one endpoint. forwarded: headers of the caller it works for."""

    http: HttpTransport
    grpc: GrpcTransport
    forwarded: Mapping[str, str] = field(default_factory=dict, repr=False)

    def exchange(self, call: Call, timeout_s: float) -> Answer:
        if isinstance(call, HttpCall):
            return self.http.exchange(call, timeout_s, self.forwarded)
        return self.grpc.exchange(call, timeout_s, self.forwarded)

    def forwarding(self, headers: Mapping[str, str]) -> Carrier:
        return Carrier(self.http, self.grpc, dict(headers))

    def close(self) -> None:
        self.http.close()
        self.grpc.close()


def carrier_to(endpoint: Endpoint, dialler: Dialler, wallet: Wallet) -> Carrier:
    """The way to an endpoint; nothing is looked up or opened yet.

    Raises InvalidRequest with everything that is wrong with the declaration, and EgressDenied for an
    address in numbers that may not be asked.
    """
    place = checked(endpoint, wallet)
    address = literal_address(place.host)
    reason = address and refusal(dialler.egress, place, address, trusted=endpoint.trusted)
    if reason:
        raise denied(place, reason)
    parts = (endpoint, place, dialler, wallet)
    return Carrier(HttpTransport(*parts), GrpcTransport(*parts))


def checked(endpoint: Endpoint, wallet: Wallet) -> Place:
    """The endpoint's place. Raises InvalidRequest listing what can be known to be wrong already."""
    place = place_of(endpoint.url)
    wrong: list[Violation] = []
    files = any((endpoint.tls.ca, endpoint.tls.cert, endpoint.tls.key))
    if files and not endpoint.trusted:
        wrong.append(Violation("endpoint.tls", "files of the server may be named by its operator only"))
    try:
        headers_of(endpoint, place, wallet, {}, {})
    except InvalidRequest as error:
        wrong.extend(error.violations)
    try:
        if files and endpoint.trusted:
            context_of(endpoint.tls)
    except InvalidRequest as error:
        wrong.extend(error.violations)
    if wrong:
        raise InvalidRequest(wrong)
    return place
