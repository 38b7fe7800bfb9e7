"""Carries calls over HTTP/1.1: no redirects, no proxies, no cookies, and caps on everything that comes back.

It stands on httpcore rather than on httpx: of what httpx adds, redirects, proxy variables, cookies and
decoding without a bound would all have to be taken away again.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

import httpcore

from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, HttpCall, Refused, Unreachable
from whybox_server.serving.remote.transport.body import Overflow, Undecodable, read_body
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.headers import Sent, headers_of
from whybox_server.serving.remote.transport.lines import Lines
from whybox_server.serving.remote.transport.patience import retry_after
from whybox_server.serving.remote.transport.place import Place
from whybox_server.serving.remote.transport.pool import IDLE_S, Pool
from whybox_server.serving.remote.transport.said import MOST_BYTES, line, text_of
from whybox_server.serving.remote.transport.stream import Countdown, Stream
from whybox_server.serving.remote.transport.tls import context_of, stamps_of

MOST_HEADER_BYTES = 32 << 10
TOO_LARGE = 413
WEB_PAGES = ("text/html", "application/xhtml+xml")


@dataclass(slots=True, eq=False)
class HttpTransport:
    """Connections to one place, opened when they are needed and kept while they are of use."""

    endpoint: Endpoint
    place: Place
    dialler: Dialler
    wallet: Wallet
    _countdown: Countdown = field(default_factory=Countdown)
    _lines: Lines[Pool] = field(default_factory=lambda: Lines(Pool.close))

    def exchange(self, call: HttpCall, timeout_s: float, forwarded: Mapping[str, str]) -> Answer:
        """As `Transport.exchange`."""
        self._countdown.start(timeout_s)
        sent = headers_of(self.endpoint, self.place, self.wallet, call.headers, forwarded)
        origin, target = self._origin, self.place.target(call.path).encode()
        url = httpcore.URL(scheme=origin.scheme, host=origin.host, port=origin.port, target=target)
        fields = list({"host": sent.host, "accept-encoding": "gzip", **sent.headers}.items())
        try:
            with (
                self._lines.use(stamps_of(self.endpoint.tls), self._pool, timeout_s) as pool,
                pool.use() as connection,
                connection.stream(call.method, url, headers=fields, content=call.body or None) as response,
            ):
                return self._answer(response, sent)
        except (httpcore.TimeoutException, TimeoutError):
            text = f"{self.place.address}: no whole answer in time"
            raise Unreachable(text, self.place.address, late=True) from None
        except (httpcore.NetworkError, httpcore.ProtocolError) as error:
            reason = line(str(error), partial(self.wallet.redacted, more=sent.secrets))
            text = f"{self.place.address}: {reason or 'the connection broke'}"
            raise Unreachable(text, self.place.address) from None

    def close(self) -> None:
        self._lines.drop()

    def _pool(self) -> Pool:
        """Of connections that are as many as there are callers, who count themselves."""
        context = context_of(self.endpoint.tls) if self.place.tls else None
        if context is not None:
            context.set_alpn_protocols(["http/1.1"])
        return Pool(partial(self._connected, context), self.endpoint.limits.concurrency)

    def _connected(self, context: ssl.SSLContext | None) -> httpcore.HTTP11Connection:
        """A new connection. Raises EgressDenied, Unreachable and TimeoutError."""
        sock = self.dialler.dial(self.place, self._countdown.left(), trusted=self.endpoint.trusted)
        stream = Stream(sock, self._countdown, self.place.address)
        if context is not None:
            stream = stream.start_tls(context, self.place.host)
        return httpcore.HTTP11Connection(self._origin, stream, keepalive_expiry=IDLE_S)

    @property
    def _origin(self) -> httpcore.Origin:
        scheme = b"https" if self.place.tls else b"http"
        return httpcore.Origin(scheme, self.place.host.encode(), self.place.port)

    def _answer(self, response: httpcore.Response, sent: Sent) -> Answer:
        headers = flat(response.headers)
        redacted = partial(self.wallet.redacted, more=sent.secrets)
        if not 200 <= response.status < 300:
            raise refused(response, headers, redacted)
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in WEB_PAGES:
            text = f"a web page ({kind}) in place of an answer: is this the model's own address?"
            raise Refused(response.status, text)
        cap = self.endpoint.limits.reply_bytes
        if length_of(headers) > cap:
            raise too_large(cap)
        try:
            body = read_body(response.iter_stream(), headers.get("content-encoding", ""), cap)
        except Overflow:
            raise too_large(cap) from None
        except Undecodable as error:
            raise Refused(response.status, f"a reply that cannot be read: {error}") from None
        return Answer(body, headers, response.status)


def refused(
    response: httpcore.Response, headers: Mapping[str, str], redacted: Callable[[str], str]
) -> Refused:
    """What the error of a server says."""
    status = response.status
    if 300 <= status < 400:
        text = "it redirects, which is not followed; declare the address that it redirects to"
        return Refused(status, text)
    wait = headers.get("retry-after")
    after = None if wait is None else retry_after(wait, datetime.now(UTC))
    try:
        body = read_body(head(response.iter_stream()), headers.get("content-encoding", ""), MOST_BYTES)
    except (Overflow, Undecodable):
        body = b""
    return Refused(status, text_of(body, headers.get("content-type", ""), redacted), after)


def head(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """As much of an error as anybody reads; one that goes on, or breaks off, is none the worse for it."""
    left = MOST_BYTES
    try:
        for chunk in chunks:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return
    except (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError):
        return


def flat(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Headers by lower-case name; those that come again are joined by commas.

    Raises Refused for more than 32 KiB of them.
    """
    found: dict[str, str] = {}
    size = 0
    for raw_name, raw_value in headers:
        size += len(raw_name) + len(raw_value)
        if size > MOST_HEADER_BYTES:
            raise Refused(TOO_LARGE, f"its headers are longer than {MOST_HEADER_BYTES} bytes")
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def length_of(headers: Mapping[str, str]) -> int:
    """Content-Length, 0 if there is none; h11 has made sure that it is one number."""
    text = headers.get("content-length", "")
    return int(text) if text.isdigit() else 0


def too_large(cap: int) -> Refused:
    return Refused(TOO_LARGE, f"its reply is longer than {cap} bytes, the limit that was declared")
