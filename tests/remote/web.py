"""A small web server of ours: one function answers every request, and what came is kept.

with web(lambda request: Response(200, {"predictions": [1]})) as server:
    ask(server.url)
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Request:
    """What came. headers by lower-case name."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Response:
    """body: bytes as they are, a text as text, anything else as JSON with bare NaN."""

    status: int
    body: Any
    content_type: str = "application/json"

    @property
    def raw(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return self.body.encode() if isinstance(self.body, str) else json.dumps(self.body).encode()


Answering = Callable[[Request], Response]


@dataclass
class Web:
    """A running server. seen: requests, in order."""

    url: str
    answering: Answering
    seen: list[Request] = field(default_factory=list)

    @property
    def asked(self) -> list[Request]:
        """Those that made the model work."""
        return [request for request in self.seen if request.method != "GET"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def answer(self) -> None:
        length = int(self.headers.get("content-length", 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, self.path, headers, self.rfile.read(length))
        web: Web = self.server.web
        web.seen.append(request)
        response = web.answering(request)
        self.send_response(response.status)
        self.send_header("content-type", response.content_type)
        self.send_header("content-length", str(len(response.raw)))
        self.end_headers()
        self.wfile.write(response.raw)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *args: object) -> None:
        """Tests read `seen`."""


@contextmanager
def web(answering: Answering) -> Iterator[Web]:
    """A server on a free port of loopback."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads, server.block_on_close = True, False
        server.web = Web(f"http://127.0.0.1:{server.server_address[1]}", answering)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server.web
        finally:
            server.shutdown()
            thread.join()
