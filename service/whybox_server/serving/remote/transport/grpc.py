"""Carries calls over gRPC: bytes in, bytes out. Channels go to an address that was judged before.

A channel would look names up itself, ask for a proxy and take its service's configuration from the name
server; so it is given an address in numbers, and the name only to check the certificate against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

import grpc

from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, GrpcCall, Refused, Unreachable
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.headers import Sent, headers_of
from whybox_server.serving.remote.transport.lines import Lines
from whybox_server.serving.remote.transport.patience import pushback, retry_info
from whybox_server.serving.remote.transport.place import Place
from whybox_server.serving.remote.transport.said import line
from whybox_server.serving.remote.transport.tls import credentials_of, stamps_of

# google.rpc.Code to HTTP, as the comments of google/rpc/code.proto have it.
STATUS = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DATA_LOSS: 500,
}
TOO_LARGE = 413
LARGER = "larger than max"  # "Received message larger than max (5 vs. 4)", of gRPC in every language
# BoringSSL's words, and C-core's.
UNTRUSTED = ("CERTIFICATE_VERIFY_FAILED", "Hostname Verification Check failed")
NOT_IMPLEMENTED = 501
NOT_GRPC = "Failed parsing HTTP/2"  # who answers in HTTP/1 will go on doing so
CLOCK_S = 0.05  # C-core's clock and ours need not agree better on when time was over
UNCOMPRESSED_ONLY = 1  # a bit per algorithm
MOST_METADATA_BYTES = 32 << 10


@dataclass(slots=True, eq=False)
class GrpcTransport:
    """The channel to one place: opened when it is needed, and anew when it breaks or certificates change."""

    endpoint: Endpoint
    place: Place
    dialler: Dialler
    wallet: Wallet
    _lines: Lines[Any] = field(default_factory=lambda: Lines(lambda channel: channel.close()))

    def exchange(self, call: GrpcCall, timeout_s: float, forwarded: Mapping[str, str]) -> Answer:
        """As `Transport.exchange`."""
        ends = monotonic() + timeout_s
        sent = headers_of(self.endpoint, self.place, self.wallet, call.metadata, forwarded)
        metadata = tuple((name, value) for name, value in sent.headers.items() if name != "user-agent")
        stamp = (sent.host, stamps_of(self.endpoint.tls))
        try:
            with self._lines.use(stamp, partial(self._open, sent.host, timeout_s), timeout_s) as channel:
                method = channel.unary_unary(call.method)  # no serialisers: bytes as they are
                left = max(ends - monotonic(), 0.0)
                try:
                    body, rpc = method.with_call(call.body, timeout=left, metadata=metadata)
                except grpc.RpcError as error:
                    raise self._outcome(error, channel, sent, ends - monotonic()) from None
                return Answer(body, headers_in(rpc.initial_metadata(), rpc.trailing_metadata()))
        except TimeoutError:
            raise self._late(sent=False) from None

    def close(self) -> None:
        self._lines.drop()

    def _open(self, authority: str, timeout_s: float) -> Any:
        """A channel to the address that has just taken a connection of ours, and to no other."""
        with self.dialler.dial(self.place, timeout_s, trusted=self.endpoint.trusted) as sock:
            host, port = sock.getpeername()[:2]
        target = f"ipv6:[{host}]:{port}" if ":" in host else f"ipv4:{host}:{port}"
        options = [
            ("grpc.default_authority", authority),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),  # retries are counted and paid: they are not made in silence
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", self.endpoint.limits.reply_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.compression_enabled_algorithms_bitset", UNCOMPRESSED_ONLY),
            ("grpc.max_metadata_size", MOST_METADATA_BYTES),
            ("grpc.absolute_max_metadata_size", MOST_METADATA_BYTES),
            ("grpc.primary_user_agent", "whybox"),
        ]
        if not self.place.tls:
            return grpc.insecure_channel(target, options)
        options.append(("grpc.ssl_target_name_override", self.place.host))
        return grpc.secure_channel(target, credentials_of(self.endpoint.tls), options)

    def _outcome(self, error: Any, channel: Any, sent: Sent, left_s: float) -> Refused | Unreachable:
        """What went wrong, and whose word it is: the server's, or that of our side of the wire.

        UNAVAILABLE may be either; with trailing metadata it is the server's.
        """
        code, address = error.code(), self.place.address
        details, trailing = error.details() or "", error.trailing_metadata() or ()
        text = line(details, partial(self.wallet.redacted, more=sent.secrets))
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and left_s < CLOCK_S:
            return self._late(sent=True)
        if code is grpc.StatusCode.UNAVAILABLE and not trailing:
            self._lines.drop(channel)  # the name may lead to a better address now
            if any(words in details for words in UNTRUSTED):
                text = f"{address}: its certificate is not trusted"
                return Unreachable(text, address, sent=False, lasting=True)
            if NOT_GRPC in details:
                return Refused(NOT_IMPLEMENTED, "it speaks HTTP/1 there, and no gRPC")
            return Unreachable(f"{address}: {text}", address)
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and LARGER in text:
            return Refused(TOO_LARGE, text)
        return Refused(STATUS[code], text, wait_of(trailing))

    def _late(self, *, sent: bool) -> Unreachable:
        address = self.place.address
        return Unreachable(f"{address}: no whole answer in time", address, sent=sent, late=True)


def wait_of(metadata: Any) -> float | None:
    """When to come again, if the server's trailing metadata say so."""
    found = dict(metadata)
    if "grpc-retry-pushback-ms" in found:
        return pushback(found["grpc-retry-pushback-ms"])
    return retry_info(found.get("grpc-status-details-bin", b""))


def headers_in(*metadata: Any) -> dict[str, str]:
    """Metadata as headers; binary ones are left out."""
    pairs = ((name, value) for part in metadata for name, value in part or ())
    return {name: value for name, value in pairs if isinstance(value, str)}
