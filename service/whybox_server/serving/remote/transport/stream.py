"""A connected socket and one deadline for a whole call.

Timeouts of a socket start again with every read, so that a server that sends a byte a second is never
late. Here every read and write gets what is left of the call it belongs to.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from dataclasses import dataclass
from time import monotonic

from whybox_server.serving.remote.exchange import Unreachable

MOST_JOINED = 1 << 16  # bytes of a body: what is longer is not copied to join it to its head


class Countdown(threading.local):
    """When the call of this thread must be over: a call is made by one thread from end to end."""

    ends: float = 0.0

    def start(self, timeout_s: float) -> None:
        self.ends = monotonic() + timeout_s

    def left(self) -> float:
        """Seconds, more than 0. Raises TimeoutError when there are none."""
        left = self.ends - monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class Broken(Exception):
    """The connection is over, or what came on it is no answer; the text says why, or nothing."""


@dataclass(slots=True, eq=False)
class Stream:
    """A connected socket, plain or encrypted."""

    sock: socket.socket
    countdown: Countdown
    address: str  # HOST:PORT, for errors

    def read(self, most: int) -> bytes:
        """What has come, `most` bytes of it; b"" at the end. Raises Broken and TimeoutError."""
        try:
            self.sock.settimeout(self.countdown.left())
            return self.sock.recv(most)
        except TimeoutError:
            raise
        except OSError as error:
            raise Broken(words_of(error)) from None

    def write(self, head: bytes, body: bytes) -> None:
        """Send both, in one piece if that costs no large copy. Raises Broken and TimeoutError."""
        if len(body) <= MOST_JOINED:
            self._send(head + body)
        else:
            self._send(head)
            self._send(body)

    def _send(self, piece: bytes) -> None:
        rest = memoryview(piece)
        try:
            while rest:
                self.sock.settimeout(self.countdown.left())
                rest = rest[self.sock.send(rest) :]
        except TimeoutError:
            raise
        except OSError as error:
            raise Broken(words_of(error)) from None

    def close(self) -> None:
        self.sock.close()

    def start_tls(self, context: ssl.SSLContext, host: str) -> Stream:
        """Raises Unreachable: whoever is there, it is not the server that was meant, or not in time."""
        try:
            self.sock.settimeout(self.countdown.left())
            inner = context.wrap_socket(self.sock, server_hostname=host)
        except ssl.SSLCertVerificationError as error:
            self.close()
            text = f"{self.address}: its certificate is not trusted: {error.verify_message}"
            raise Unreachable(text, self.address, sent=False, lasting=True) from None
        except TimeoutError:
            self.close()
            text = f"{self.address}: no TLS handshake in time"
            raise Unreachable(text, self.address, sent=False, late=True) from None
        except OSError as error:
            self.close()
            text = f"{self.address}: no TLS connection: {words_of(error)}"
            raise Unreachable(text, self.address, sent=False) from None
        return Stream(inner, self.countdown, self.address)


def readable(sock: socket.socket) -> bool:
    """An idle connection that has something to say is one that was closed."""
    if sock.fileno() < 0:
        return True
    watch = select.poll()
    watch.register(sock, select.POLLIN)
    return bool(watch.poll(0))


def words_of(error: OSError) -> str:
    """What went wrong, without numbers that differ between systems."""
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or "the connection broke").lower().replace("_", " ")
