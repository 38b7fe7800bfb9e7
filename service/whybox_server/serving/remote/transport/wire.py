"""HTTP/1.1 (RFC 9112) as a client that waits for one answer at a time: a head, a body, and where both end.

Small because it is strict: what two readers could understand differently is no answer, and its connection
is not used again. A general library asks five times as much of the processor, of which many calls at once
have one. It knows no JSON, no caps on bodies and no errors of servers.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from whybox_server.serving.remote.transport.stream import Broken, Stream

MOST_HEAD_BYTES = 32 << 10
MOST_READ_BYTES = 128 << 10  # of a head: what is longer is not waited for
MOST_LINE_BYTES = 1 << 10  # before a chunk
READ_BYTES = 1 << 16
STATUS = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n\0]*)?")
FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n\0]*)?")
LENGTH = re.compile(r"([0-9]{1,15})(?:, ?\1)*")  # one number, however often
BODILESS = (204, 304)
SWITCHING = 101
INTERIM = 200  # below it, another answer follows
END = b"\r\n"


class HeadTooLong(Exception):
    """More header bytes than anybody needs."""


@dataclass(frozen=True, slots=True)
class Head:
    """headers: by lower-case name; those that come again are joined by commas. minor: of HTTP/1."""

    status: int
    headers: Mapping[str, str]
    minor: int = 1


@dataclass(slots=True, eq=False)
class Wire:
    """A connection, used for one call after another. reusable: the last one went to its end."""

    stream: Stream
    reusable: bool = True
    _come: bytearray = field(default_factory=bytearray)  # and not read yet

    def ask(self, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes) -> Head:
        """Send a call; the head of its answer, whose `body` is to be read next.

        headers: known to keep to their lines, and without any that say where the body ends.
        Raises Broken, TimeoutError and HeadTooLong.
        """
        self.reusable = False
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        if body:
            lines.append(f"content-length: {len(body)}")
        # A server may answer before it has read everything, and hang up.
        with suppress(Broken):
            self.stream.write("\r\n".join((*lines, "", "")).encode("ascii"), body)
        while True:
            raw = self._until(END + END, MOST_READ_BYTES)
            if len(raw) > MOST_HEAD_BYTES:
                raise HeadTooLong
            head = head_of(raw)
            if head.status == SWITCHING:
                raise Broken("it wants to speak something else than HTTP")
            if head.status >= INTERIM:
                return head

    def body(self, head: Head) -> Iterator[bytes]:
        """The body of an answer, as it comes. Raises Broken and TimeoutError."""
        encoding, length = head.headers.get("transfer-encoding"), head.headers.get("content-length")
        ends = True
        if head.status in BODILESS:
            pass
        elif encoding is not None:
            if encoding.lower() != "chunked":
                raise Broken("its answer has a transfer-encoding that was not asked for")
            yield from self._chunks()
        elif length is not None:
            yield from self._exactly(length_of(head))
        else:
            ends = False
            yield from self._rest()
        doubtful = encoding is not None and length is not None
        stays = head.minor == 1 and "close" not in head.headers.get("connection", "").lower()
        self.reusable = ends and stays and not doubtful and not self._come

    def close(self) -> None:
        self.stream.close()

    def _chunks(self) -> Iterator[bytes]:
        while True:
            line = CHUNK.fullmatch(self._until(END, MOST_LINE_BYTES)[: -len(END)])
            if line is None:
                raise Broken("its answer has a chunk without a size")
            size = int(line[1], 16)
            if not size:
                break
            yield from self._exactly(size)
            if self._until(END, MOST_LINE_BYTES) != END:
                raise Broken("its answer has a chunk that is longer than it said")
        left = MOST_HEAD_BYTES
        while (trailer := self._until(END, left)) != END:
            left -= len(trailer)

    def _exactly(self, size: int) -> Iterator[bytes]:
        while size:
            if not self._come:
                self._more()
            piece = bytes(self._come[:size])
            del self._come[:size]
            size -= len(piece)
            yield piece

    def _rest(self) -> Iterator[bytes]:
        """All until the end of the connection."""
        yield bytes(self._come)
        self._come.clear()
        while piece := self.stream.read(READ_BYTES):
            yield piece

    def _until(self, end: bytes, most: int) -> bytes:
        """What comes up to `end`, which included has about `most` bytes. Raises Broken for more."""
        seen = 0
        while (at := self._come.find(end, max(0, seen - len(end)), most)) < 0:
            seen = len(self._come)
            if seen >= most:
                raise Broken("its answer has a line or a head without an end")
            self._more()
        found = bytes(self._come[: at + len(end)])
        del self._come[: at + len(end)]
        return found

    def _more(self) -> None:
        piece = self.stream.read(READ_BYTES)
        if not piece:
            raise Broken("it ended the connection before its answer was over")
        self._come += piece


def head_of(raw: bytes) -> Head:
    """Raises Broken for anything that is not plainly the head of an answer."""
    first, *rest = raw[: -2 * len(END)].split(END)
    status = STATUS.fullmatch(first)
    if status is None:
        raise Broken("what it says is not HTTP/1.1")
    headers: dict[str, str] = {}
    for line in rest:
        match = FIELD.fullmatch(line)
        if match is None:
            raise Broken("its answer has a header that cannot be read")
        name, value = match[1].decode("ascii").lower(), match[2].rstrip(b" \t").decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return Head(int(status[2]), headers, int(status[1]))


def length_of(head: Head) -> int:
    """Content-Length, 0 if there is none. Raises Broken if it is not one number."""
    text = head.headers.get("content-length")
    match = None if text is None else LENGTH.fullmatch(text)
    if text is not None and match is None:
        raise Broken("its answer has a content-length that is no number")
    return int(match[1]) if match else 0
