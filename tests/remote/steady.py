"""A model behind HTTP that answers so many seconds after a call began, and costs next to nothing meanwhile.

For benchmarks on few cores, where a server that works would be measured along with who asks it: it counts
rows by their brackets, reads no number, and says the same of the same number of rows. It speaks what
`{"instances": "$rows"}` is answered with. `python -m tests.remote.steady SECONDS` serves until standard
input ends; the URL is the only line that is written.
"""

from __future__ import annotations

import asyncio
import json
import re
import selectors
import sys
from functools import lru_cache

LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
HEAD_END = b"\r\n\r\n"


@lru_cache
def reply_to(rows: int) -> bytes:
    """Two scores for every row, that sum to 1."""
    scores = [[row / rows, 1 - row / rows] for row in range(rows)]
    body = json.dumps({"predictions": scores}).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Steady(asyncio.Protocol):
    """One connection, one call at a time."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._come = bytearray()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        if not self._come:
            self._began = loop.time()
        self._come += data
        end = self._come.find(HEAD_END)
        if end < 0:
            return
        length = LENGTH.search(self._come, 0, end)
        if len(self._come) < end + len(HEAD_END) + (int(length[1]) if length else 0):
            return
        rows = self._come.count(b"[", end) - 1  # one bracket is around all of them
        self._come.clear()
        loop.call_at(self._began + self._delay_s, self._transport.write, reply_to(rows))


async def serve(delay_s: float) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Steady(delay_s), "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    over = asyncio.Event()
    loop.add_reader(sys.stdin, over.set)
    await over.wait()
    server.close()


def main() -> None:
    # `select` takes fractions of a millisecond; `epoll`, as asyncio uses it, rounds them up.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        runner.run(serve(float(sys.argv[1])))


if __name__ == "__main__":
    main()
