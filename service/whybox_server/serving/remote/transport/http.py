"""Carries calls over HTTP/1.1: no redirects, no proxies, no cookies, and caps on everything that comes back."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Answer, HttpCall, Refused, Unreachable
from whybox_server.serving.remote.transport.body import Overflow, Undecodable, read_body
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.headers import Sent, headers_of
from whybox_server.serving.remote.transport.lines import Lines
from whybox_server.serving.remote.transport.patience import retry_after
from whybox_server.serving.remote.transport.place import Place
from whybox_server.serving.remote.transport.pool import Pool
from whybox_server.serving.remote.transport.said import MOST_BYTES, line, text_of
from whybox_server.serving.remote.transport.stream import Broken, Countdown, Stream
from whybox_server.serving.remote.transport.tls import context_of, stamps_of
from whybox_server.serving.remote.transport.wire import MOST_HEAD_BYTES, Head, HeadTooLong, Wire, length_of

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
        target = self.place.target(call.path)
        fields = list({"host": sent.host, "accept-encoding": "gzip", **sent.headers}.items())
        try:
            with (
                self._lines.use(stamps_of(self.endpoint.tls), self._pool, timeout_s) as pool,
                pool.use() as wire,
            ):
                head = wire.ask(call.method, target, fields, call.body)
                return self._answer(head, wire.body(head), sent)
        except TimeoutError:
            text = f"{self.place.address}: no whole answer in time"
            raise Unreachable(text, self.place.address, late=True) from None
        except HeadTooLong:
            raise Refused(TOO_LARGE, f"its headers are longer than {MOST_HEAD_BYTES} bytes") from None
        except Broken as error:
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

    def _connected(self, context: ssl.SSLContext | None) -> Wire:
        """A new connection. Raises EgressDenied, Unreachable and TimeoutError."""
        sock = self.dialler.dial(self.place, self._countdown.left(), trusted=self.endpoint.trusted)
        stream = Stream(sock, self._countdown, self.place.address)
        return Wire(stream if context is None else stream.start_tls(context, self.place.host))

    def _answer(self, head: Head, body: Iterable[bytes], sent: Sent) -> Answer:
        headers = head.headers
        if not 200 <= head.status < 300:
            raise refused(head, body, partial(self.wallet.redacted, more=sent.secrets))
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind in WEB_PAGES:
            text = f"a web page ({kind}) in place of an answer: is this the model's own address?"
            raise Refused(head.status, text)
        cap = self.endpoint.limits.reply_bytes
        if length_of(head) > cap:
            raise too_large(cap)
        try:
            whole = read_body(body, headers.get("content-encoding", ""), cap)
        except Overflow:
            raise too_large(cap) from None
        except Undecodable as error:
            raise Refused(head.status, f"a reply that cannot be read: {error}") from None
        return Answer(whole, headers, head.status)


def refused(head: Head, body: Iterable[bytes], redacted: Callable[[str], str]) -> Refused:
    """What the error of a server says."""
    status, headers = head.status, head.headers
    if 300 <= status < 400:
        text = "it redirects, which is not followed; declare the address that it redirects to"
        return Refused(status, text)
    wait = headers.get("retry-after")
    after = None if wait is None else retry_after(wait, datetime.now(UTC))
    try:
        said = read_body(beginning(body), headers.get("content-encoding", ""), MOST_BYTES)
    except (Overflow, Undecodable):
        said = b""
    return Refused(status, text_of(said, headers.get("content-type", ""), redacted), after)


def beginning(chunks: Iterable[bytes]) -> Iterable[bytes]:
    """As much of an error as anybody reads; one that goes on, or breaks off, is none the worse for it."""
    left = MOST_BYTES
    try:
        for chunk in chunks:
            yield chunk[:left]
            left -= len(chunk)
            if left <= 0:
                return
    except (TimeoutError, Broken):
        return


def too_large(cap: int) -> Refused:
    return Refused(TOO_LARGE, f"its reply is longer than {cap} bytes, the limit that was declared")
