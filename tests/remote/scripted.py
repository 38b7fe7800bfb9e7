"""A model behind HTTP whose every call goes as a script says: answered, refused, cut off, garbled or late.

It listens on loopback, keeps connections open as real servers do, and counts what really reached it.
The model: scores are (the sum of x, 2 x_0 - x_last), so that each wrong answer is known as one.
`python -m tests.remote.scripted SECONDS` serves it in a process of its own, answering after so long.
"""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from socketserver import StreamRequestHandler, ThreadingTCPServer

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, Limits
from whybox_server.serving.remote.exchange import Described, Exchange, HttpCall
from whybox_server.serving.remote.transport.carrier import carrier_to
from whybox_server.serving.remote.transport.credentials import Wallet
from whybox_server.serving.remote.transport.dial import Dialler
from whybox_server.serving.remote.transport.egress import egress_of

LOOPBACK = "127.0.0.0/8"
SHAPES, DTYPES = {"x": (2,)}, {"x": np.dtype(np.float64)}


def model(x: Array) -> Array:
    return np.stack([x.sum(axis=1), 2 * x[:, 0] - x[:, -1]], axis=1)


@dataclass(frozen=True)
class Does:
    """What happens to a call. status: below 0, none comes. delay_s: before that."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    garbage: bool = False  # 200, and a body that is no JSON
    short: int = 0  # rows that are missing
    cut: bool = False  # half the body, then the end of the connection
    reset: bool = False  # no answer, and the connection is reset
    delay_s: float = 0.0  # from the first byte that came to the first that goes


ANSWERS = Does()
Script = Callable[[int, int], Does]  # number of the call, from 0, and its rows -> what happens


@dataclass
class Scripted:
    """A running server. calls: rows of every call that reached it, in order; busiest: calls at once."""

    url: str
    script: Script = lambda number, rows: ANSWERS
    calls: list[int] = field(default_factory=list)
    now: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, rows: int) -> Does:
        with self.lock:
            self.now += 1
            self.busiest = max(self.busiest, self.now)
            self.calls.append(rows)
            return self.script(len(self.calls) - 1, rows)

    def end(self) -> None:
        with self.lock:
            self.now -= 1


class Server(ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    scripted: Scripted

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that hang up are what these tests are about."""


class Handler(StreamRequestHandler):
    disable_nagle_algorithm = True
    server: Server

    def handle(self) -> None:
        while self._call():
            pass

    def _call(self) -> bool:
        """Serve one call; False when the connection is over."""
        if not self.rfile.readline():
            return False
        started, length = time.monotonic(), 0
        while (line := self.rfile.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        x = np.array(json.loads(self.rfile.read(length))["x"])
        does = self.server.scripted.begin(len(x))
        reply = self._reply(x, does)
        if does.delay_s:
            time.sleep(max(started + does.delay_s - time.monotonic(), 0.0))
        self.server.scripted.end()
        if does.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            return False
        self.wfile.write(reply)
        return not does.cut

    def _reply(self, x: Array, does: Does) -> bytes:
        body = json.dumps({"scores": model(x)[: len(x) - does.short].tolist()}).encode()
        if does.status != 200:
            body = b'{"error": "as the script says"}'
        if does.garbage:
            body = b'{"scores": [[0.1, '
        lines = [f"HTTP/1.1 {does.status} X", "content-type: application/json", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in does.headers.items()]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head + (body[: len(body) // 2] if does.cut else body)


@contextmanager
def scripted(script: Script | None = None) -> Iterator[Scripted]:
    """A server on a free port of loopback."""
    with Server(("127.0.0.1", 0), Handler) as server:
        server.scripted = Scripted(f"http://127.0.0.1:{server.server_address[1]}")
        if script is not None:
            server.scripted.script = script
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.scripted
        finally:
            server.shutdown()
            thread.join()


class Plain:
    """The protocol of such a server; a `RemoteProtocol`. name: of the input."""

    def __init__(self, name: str = "x") -> None:
        self._name = name

    def describe(self, endpoint: Endpoint) -> Exchange[Described]:
        """It says nothing of itself."""
        yield from ()
        return DESCRIBED

    def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
        body = json.dumps({"x": rows[self._name].tolist()}).encode()
        answer = yield HttpCall("POST", "/predict", body, {"content-type": "application/json"}, asks=True)
        try:
            return np.array(json.loads(answer.body)["scores"])
        except ValueError as error:
            raise ModelOutputInvalid(f"no JSON: {error}") from error

    def bytes_per_row(self, described: Described, rows: Mapping[str, Array]) -> int:
        return 40


DESCRIBED = Described("plain", (RowInfo("x", np.dtype(np.float64), (2,)),), "scores", columns=2)


def endpoint_of(url: str, limits: Limits = Limits()) -> Endpoint:
    return Endpoint(url, name="endpoints/scripted", limits=limits, trusted=True)


def way_to(endpoint: Endpoint):  # noqa: ANN201 - a Carrier
    """The real transport, allowed to go to loopback."""
    return carrier_to(endpoint, Dialler(egress_of([LOOPBACK])), Wallet())


def main() -> None:
    """Serve until standard input ends; the URL is the only line that is written."""
    does = Does(delay_s=float(sys.argv[1]))
    with scripted(lambda number, rows: does) as server:
        sys.stdout.write(f"{server.url}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main()
