"""A model server that means no good: each path's first word says how it misbehaves.

    with malicious() as server:
        ask(server.url("nan"))        # http://127.0.0.1:PORT/nan

What stands behind that word is the protocol's own. `seen` holds every request that came, whole.
"""

from __future__ import annotations

import gzip
import json
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

METADATA = "http://169.254.169.254/latest/meta-data/"
DRIP_S = 0.01
CHUNK = 1 << 16


@dataclass(frozen=True)
class Request:
    """What came. headers by lower-case name."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def rows(self) -> int:
        """Rows asked for, in TF-Serving's words; 1 if they are not found."""
        with suppress(ValueError, TypeError, AttributeError):
            return len(json.loads(self.body)["instances"])
        return 1


@dataclass(eq=False)
class Server:
    """Listens on a loopback port of its own. connections: how many were opened."""

    listener: socket.socket
    seen: list[Request] = field(default_factory=list)
    connections: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    open: set[socket.socket] = field(default_factory=set)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    def url(self, behaviour: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}/{behaviour}"

    def accept(self) -> None:
        while not self.over.is_set():
            try:
                wire, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            self.open.add(wire)
            thread = threading.Thread(target=self.serve, args=(wire,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def serve(self, wire: socket.socket) -> None:
        with wire, suppress(OSError, ValueError), wire.makefile("rb") as reader:
            while not self.over.is_set() and (request := read_request(reader)) is not None:
                self.seen.append(request)
                behaviour = request.target.lstrip("/").split("/")[0].partition("?")[0]
                if not BEHAVIOURS[behaviour](Wire(wire, self.over), request):
                    return
        self.open.discard(wire)

    def close(self) -> None:
        self.over.set()
        for wire in (self.listener, *self.open):
            with suppress(OSError):
                wire.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for thread in self.threads:
            thread.join()


@contextmanager
def malicious() -> Iterator[Server]:
    server = Server(socket.create_server(("127.0.0.1", 0)))
    thread = threading.Thread(target=server.accept, daemon=True)
    server.threads.append(thread)
    thread.start()
    try:
        yield server
    finally:
        server.close()


def read_request(reader) -> Request | None:
    line = reader.readline(CHUNK).decode("latin-1").split()
    if len(line) != 3:
        return None
    headers = {}
    while (field_line := reader.readline(CHUNK).strip()) != b"":
        name, _, value = field_line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return Request(line[0], line[1], headers, reader.read(int(headers.get("content-length", "0"))))


@dataclass(frozen=True)
class Wire:
    """The way back to the client. `over`: nobody waits for the rest."""

    sock: socket.socket
    over: threading.Event

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drip(self, data: bytes) -> None:
        """A byte at a time, each before any usual read timeout."""
        for i in range(len(data)):
            if self.over.wait(DRIP_S):
                return
            self.send(data[i : i + 1])

    def reply(self, body: bytes, status: str = "200 OK", kind: str = "application/json", *more: str) -> bool:
        lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", *more]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return True

    def head(self, *lines: str) -> None:
        self.send(
            "\r\n".join(["HTTP/1.1 200 OK", "content-type: application/json", *lines]).encode() + b"\r\n\r\n"
        )


def predictions(rows: int) -> bytes:
    return json.dumps({"predictions": [[0.25, 0.75]] * rows}).encode()


def honest(wire: Wire, request: Request) -> bool:
    return wire.reply(predictions(request.rows))


def zipped(wire: Wire, request: Request) -> bool:
    return wire.reply(
        gzip.compress(predictions(request.rows)), "200 OK", "application/json", "content-encoding: gzip"
    )


def wrong_rows(wire: Wire, request: Request) -> bool:
    return wire.reply(predictions(request.rows + 1))


def nan(wire: Wire, request: Request) -> bool:
    return wire.reply(predictions(request.rows).replace(b"0.75", b"NaN"))


def html(wire: Wire, request: Request) -> bool:
    return wire.reply(b"<html><title>Please log in</title></html>", "200 OK", "text/html; charset=utf-8")


def gzip_bomb(wire: Wire, request: Request) -> bool:
    """A thousand bytes for each one sent, without end."""
    wire.head("content-encoding: gzip", "connection: close")
    bomb = zlib.compressobj(9, wbits=zlib.MAX_WBITS | 16)
    zeros = bytes(1 << 20)
    while not wire.over.is_set():
        wire.send(bomb.compress(zeros) + bomb.flush(zlib.Z_SYNC_FLUSH))
    return False


def not_gzip(wire: Wire, request: Request) -> bool:
    return wire.reply(predictions(request.rows), "200 OK", "application/json", "content-encoding: gzip")


def half_gzip(wire: Wire, request: Request) -> bool:
    body = gzip.compress(predictions(request.rows))[:-9]
    return wire.reply(body, "200 OK", "application/json", "content-encoding: gzip")


def brotli(wire: Wire, request: Request) -> bool:
    return wire.reply(b"\x00", "200 OK", "application/json", "content-encoding: br")


def slow_body(wire: Wire, request: Request) -> bool:
    wire.head("content-length: 100000")
    wire.drip(b" " * 100_000)
    return False


def slow_headers(wire: Wire, request: Request) -> bool:
    wire.drip(b"HTTP/1.1 200 OK\r\nx-padding: " + b"a" * 90_000)
    return False


def slow_error(wire: Wire, request: Request) -> bool:
    wire.send(b"HTTP/1.1 503 Busy\r\ncontent-type: text/plain\r\ncontent-length: 90000\r\n\r\n")
    wire.drip(b"so busy that " * 7000)
    return False


def redirect(wire: Wire, request: Request) -> bool:
    return wire.reply(b"", "302 Found", "text/plain", f"location: {METADATA}")


def endless(wire: Wire, request: Request) -> bool:
    wire.head("transfer-encoding: chunked")
    chunk = f"{CHUNK:x}\r\n".encode() + b" " * CHUNK + b"\r\n"
    while not wire.over.is_set():
        wire.send(chunk)
    return False


def long_length(wire: Wire, request: Request) -> bool:
    """Claims a terabyte and sends nothing."""
    wire.head(f"content-length: {1 << 40}")
    wire.over.wait()
    return False


def huge_headers(wire: Wire, request: Request) -> bool:
    """One header without end."""
    wire.send(b"HTTP/1.1 200 OK\r\nx-padding: ")
    while not wire.over.is_set():
        wire.send(b"a" * CHUNK)
    return False


def many_headers(wire: Wire, request: Request) -> bool:
    """More than anybody needs, less than parsers take."""
    wire.head(*(f"x-{i}: {'a' * 100}" for i in range(600)), "content-length: 2")
    wire.send(b"{}")
    return True


def informational(wire: Wire, request: Request) -> bool:
    """ "Go on" for ever."""
    while not wire.over.wait(DRIP_S):
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
    return False


def silence(wire: Wire, request: Request) -> bool:
    wire.over.wait()
    return False


def hang_up(wire: Wire, request: Request) -> bool:
    return False


def cut(wire: Wire, request: Request) -> bool:
    """Half an answer, then a reset."""
    wire.head("content-length: 1000")
    wire.send(b'{"predictions": [[')
    wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def short(wire: Wire, request: Request) -> bool:
    """Promises more than it sends, then closes in good order."""
    wire.head("content-length: 1000")
    wire.send(predictions(request.rows))
    return False


def two_lengths(wire: Wire, request: Request) -> bool:
    wire.head("content-length: 2", "content-length: 9")
    wire.send(b"{}")
    return False


def not_http(wire: Wire, request: Request) -> bool:
    wire.send(b"-ERR unknown command 'POST'\r\n")
    return False


def echo(wire: Wire, request: Request) -> bool:
    """Repeats what it was told in confidence."""
    told = ", ".join(f"{name}={value}" for name, value in request.headers.items())
    return wire.reply(json.dumps({"error": {"message": f"I know this: {told}"}}).encode(), "401 Unauthorized")


def echo_reason(wire: Wire, request: Request) -> bool:
    token = request.headers.get("authorization", "")
    wire.send(f"HTTP/1.1 500 {token}\r\ncontent-type: text/plain\r\ncontent-length: 0\r\n\r\n".encode())
    return True


def busy(wire: Wire, request: Request) -> bool:
    return wire.reply(
        b'{"detail": "slow down"}', "429 Too Many Requests", "application/json", "retry-after: 7"
    )


def too_large(wire: Wire, request: Request) -> bool:
    return wire.reply(b'{"error": "too large"}', "413 Content Too Large")


def not_found(wire: Wire, request: Request) -> bool:
    return wire.reply(b'{"error": "Model m\\u2028\\r\\nnot \\u0000found"}', "404 Not Found")


def cookie(wire: Wire, request: Request) -> bool:
    return wire.reply(predictions(request.rows), "200 OK", "application/json", "set-cookie: id=1; path=/")


Behaviour = Callable[[Wire, Request], bool]  # True: the connection goes on
BEHAVIOURS: dict[str, Behaviour] = {
    behaviour.__name__.replace("_", "-"): behaviour
    for behaviour in (
        honest,
        zipped,
        wrong_rows,
        nan,
        html,
        gzip_bomb,
        not_gzip,
        half_gzip,
        brotli,
        slow_body,
        slow_headers,
        slow_error,
        redirect,
        endless,
        long_length,
        huge_headers,
        many_headers,
        informational,
        silence,
        hang_up,
        cut,
        short,
        two_lengths,
        not_http,
        echo,
        echo_reason,
        busy,
        too_large,
        not_found,
        cookie,
    )
}
