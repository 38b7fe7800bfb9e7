"""The HTTP server: uvicorn on the event loop that is there, with TLS as gRPC has it. It knows an app, no more."""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import ssl
from collections.abc import Iterator

import uvicorn
from h11 import LocalProtocolError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from whybox_server.api.server import MAX_CONCURRENT_RPCS, Transport, stamps_of
from whybox_server.http.ending import IN_SCOPE, Ending

HEADER_BYTES = 1 << 16
KEEP_ALIVE_S = 75  # longer than the proxies in front wait with the next request
BACKLOG = 1024
POLL_S = 0.005
LEAVING_S = 5.0  # for callers to hear, with an answer, that their connection ends
FAREWELL_S = 5.0  # for calls that are ended to let go of a model, and for their callers to read why
CLOSE = (b"connection", b"close")


class Quiet(uvicorn.Server):
    """One that leaves signals to the process it is in."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """drain_s: what running calls get after `stop`; those that take longer are told so."""

    def __init__(self, app: ASGIApp, transport: Transport, drain_s: float) -> None:
        self._transport, self._drain_s = transport, drain_s
        self._ending = Ending()

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            scope[IN_SCOPE] = self._ending
            await app(scope, receive, _patient(send))

        tls = None if transport.tls_cert is None else (lambda config, default: context_of(transport))
        self._server = Quiet(
            uvicorn.Config(
                told,
                http="h11",
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="critical",  # defects are logged where they happen
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                limit_concurrency=MAX_CONCURRENT_RPCS,
                timeout_keep_alive=KEEP_ALIVE_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
                ssl_context_factory=tls,
            )
        )
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> str:
        """Serves from now on; returns "HOST:PORT". Raises OSError when the port is taken."""
        host, _, port = self._transport.listen.rpartition(":")
        try:
            listening = _listen(host.strip("[]"), int(port))
        except OSError as error:
            raise OSError(f"cannot listen on {self._transport.listen}: {error}") from error
        port = listening.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve([listening]))
        while not self._server.started:
            if self._serving.done():
                listening.close()
                await self._serving
            await asyncio.sleep(POLL_S)
        return f"{host}:{port}"

    async def stop(self) -> None:
        """Ends once everybody has heard that it does and the running calls have their answers, or time is up."""
        if self._serving is not None:
            loop = asyncio.get_running_loop()
            over = loop.call_later(self._drain_s, self._ending.end)
            await self._leave()
            left = max(over.when() - loop.time(), 0.0)
            self._server.config.timeout_graceful_shutdown = math.ceil(left + FAREWELL_S)
            self._server.should_exit = True
            await self._serving
            over.cancel()

    async def _leave(self) -> None:
        """Answer calls as ever, each the last of its connection, until nobody is connected.

        HTTP/1.1 has no other word for it: a connection that is closed without one may have a call on its way.
        """
        loop, config = asyncio.get_running_loop(), self._server.config
        config.encoded_headers.append(CLOSE)
        self._server.server_state.default_headers += [CLOSE]  # until its next second comes
        until = loop.time() + min(LEAVING_S, self._drain_s)
        while self._server.server_state.connections and loop.time() < until:  # noqa: ASYNC110 - uvicorn tells nobody
            await asyncio.sleep(POLL_S)


def _patient(send: Send) -> Send:
    """The same, for callers whose request breaks off into what is no HTTP.

    uvicorn has told them so, and hung up; one turn of the loop later it knows, and takes our answer for nobody.
    """

    async def sent(message: Message) -> None:
        try:
            await send(message)
        except LocalProtocolError:
            await asyncio.sleep(0)
            await send(message)

    return sent


def _listen(host: str, port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets that say they are TCP; with it, a short answer
    # waits 40 ms for the acknowledgement of its own header.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # over what a server before left behind
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError:
        listening.close()
        raise
    listening.setblocking(False)
    return listening


def context_of(transport: Transport) -> ssl.SSLContext:
    """TLS from files that are read again at the first handshake after they changed."""
    files = [path for path in (transport.tls_key, transport.tls_cert, transport.tls_client_ca) if path is not None]
    known = stamps_of(files)
    outer = current = _loaded(transport)

    def renew(connection: ssl.SSLObject | ssl.SSLSocket, name: str | None, first: ssl.SSLContext) -> None:
        nonlocal known, current
        stamps = stamps_of(files)
        if stamps != known:
            with contextlib.suppress(OSError):  # half replaced: what is in use stays until the next handshake
                current, known = _loaded(transport), stamps
        connection.context = current

    outer.sni_callback = renew  # called whether or not a name is sent
    return outer


def _loaded(transport: Transport) -> ssl.SSLContext:
    assert transport.tls_cert is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(transport.tls_cert, transport.tls_key)
    if transport.tls_client_ca is not None:
        context.load_verify_locations(transport.tls_client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["http/1.1"])
    return context
