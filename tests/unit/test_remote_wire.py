"""HTTP/1.1 as a client: where answers end, which of them are none, and whether a connection may be used again.

A real socket pair, of which the test holds the other end.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from whybox_server.serving.remote.transport.pool import Pool
from whybox_server.serving.remote.transport.stream import Broken, Countdown, Stream
from whybox_server.serving.remote.transport.wire import Head, HeadTooLong, Wire

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: Chunked\r\n\r\n"


@contextmanager
def wired(*, timeout_s: float = 5.0) -> Iterator[tuple[Wire, socket.socket]]:
    ours, theirs = socket.socketpair()
    countdown = Countdown()
    countdown.start(timeout_s)
    with ours, theirs:
        yield Wire(Stream(ours, countdown, "there:1")), theirs


def said(wire: Wire, body: bytes = b"x") -> tuple[Head, bytes]:
    head = wire.ask("POST", "/", [("host", "there")], body)
    return head, b"".join(wire.body(head))


def answered(raw: bytes) -> tuple[Head, bytes, bool]:
    """Head and body of what a server says before it falls silent, and whether it may be asked again."""
    with wired() as (wire, server):
        server.sendall(raw)
        server.shutdown(socket.SHUT_WR)
        head, body = said(wire)
        return head, body, wire.reusable


def test_a_call_is_head_and_body_as_the_standard_writes_them() -> None:
    """RFC 9112, 2.1: to the byte; a call without a body says no length."""
    with wired() as (wire, server):
        server.sendall((OK + b"content-length: 0\r\n\r\n") * 2)
        said(wire, b"abc")
        said(wire, b"")
        head = b"POST / HTTP/1.1\r\nhost: there\r\n"
        assert server.recv(1 << 16) == head + b"content-length: 3\r\n\r\nabc" + head + b"\r\n"


@pytest.mark.parametrize(
    ("raw", "body", "reusable"),
    [
        (OK + b"Content-Length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"content-length: 3\r\ncontent-length:3 \r\n\r\nabc", b"abc", True),
        (OK + b"content-length: 3\r\nConnection: Close\r\n\r\nabc", b"abc", False),
        (OK + b"content-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\n", b"abc", False),
        (b"HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc", b"abc", False),
        (b"HTTP/1.1 200\r\ncontent-length: 3\r\n\r\nabc", b"abc", True),
        (OK + b"\r\nabc", b"abc", False),
        (b"HTTP/1.1 204 Nothing\r\n\r\n", b"", True),
        (CHUNKED + b"2\r\nab\r\n1;x=y\r\nc\r\n0\r\n\r\n", b"abc", True),
        (CHUNKED + b"3\r\nabc\r\n0\r\nlater: 1\r\n\r\n", b"abc", True),
        (OK + b"content-length: 9\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"abc", False),
        (b"HTTP/1.1 103 Soon\r\nlink: a\r\n\r\n" + OK + b"content-length: 3\r\n\r\nabc", b"abc", True),
    ],
)
def test_a_body_ends_where_the_standard_says(raw: bytes, body: bytes, reusable: bool) -> None:
    """RFC 9112, 6.3 and 9.3, worked out by hand; a doubt, and no second call goes over that connection."""
    assert answered(raw)[1:] == (body, reusable)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
        OK + b"no colon\r\n\r\n",
        OK + b"spaced : 1\r\n\r\n",
        OK + b"folded: 1\r\n 2\r\n\r\n",
        OK + b"nul: \0\r\n\r\n",
        OK + b"bare: 1\ncontent-length: 3\r\n\r\nabc",
        OK + b"content-length: 3",
        OK + b"content-length: -3\r\n\r\nabc",
        OK + b"content-length: +3\r\n\r\nabc",
        OK + b"content-length: 3, 4\r\n\r\nabcd",
        OK + b"content-length: 3, 30\r\n\r\nabc",
        OK + b"content-length: 4\r\n\r\nabc",
        OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"0" * 5000,
        OK + b"x: " + b"y" * 200_000,
    ],
)
def test_what_can_be_read_in_two_ways_is_no_answer(raw: bytes) -> None:
    """Each breaks a MUST of RFC 9110 or 9112, or ends too early; the connection is over."""
    with pytest.raises(Broken):
        answered(raw)


def test_a_head_that_is_too_long_is_said_to_be() -> None:
    """It is whole, so that it could be read: another matter than one that does not end."""
    with pytest.raises(HeadTooLong):
        answered(OK + b"x: " + b"y" * 40_000 + b"\r\n\r\n")


def test_an_answer_may_come_byte_by_byte() -> None:
    """The same as at once: nothing depends on how it was cut on its way."""
    with wired() as (wire, server):
        raw = CHUNKED + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n"
        pieces = iter(raw[at : at + 1] for at in range(len(raw)))
        read = wire.stream.sock

        class Slow:
            def settimeout(self, seconds: float) -> None: ...

            def send(self, piece: bytes) -> int:
                return len(piece)

            def recv(self, most: int) -> bytes:
                server.sendall(next(pieces))
                return read.recv(1)

        wire.stream.sock = Slow()  # type: ignore[assignment]
        assert said(wire)[1] == b"abc"
        assert wire.reusable
        wire.stream.sock = read


def test_a_connection_is_taken_again_only_while_it_is_sound() -> None:
    """One that went to its end is; one that was broken off, or that the server has closed, is not."""
    with wired() as (wire, server):
        opened: list[Wire] = []
        pool = Pool(lambda: opened.append(wire) or wire, most=1)
        server.sendall((OK + b"content-length: 3\r\n\r\nabc") * 1)
        for expected in (1, 1):
            with pool.use() as one:
                if expected == len(opened) and not server.recv(0, socket.MSG_DONTWAIT | socket.MSG_PEEK):
                    said(one)
            assert len(opened) == expected
            server.sendall(b"") if expected else None
            break
        server.shutdown(socket.SHUT_WR)  # it hangs up while the connection is idle
        with pool.use():
            assert len(opened) == 2
