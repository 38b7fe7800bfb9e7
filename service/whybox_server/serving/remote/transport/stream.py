"""What httpcore reads and writes: a socket of ours, and one deadline for a whole call.

httpcore's timeouts start again with every read, so that a server that sends a byte a second is never
late. Here every read and write gets what is left of the call it belongs to.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
from dataclasses import dataclass
from time import monotonic
from typing import Any

import httpcore

from whybox_server.serving.remote.exchange import Unreachable

MOST_HELD = 1 << 16  # bytes: what is longer is not copied to join it to its head


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


@dataclass(slots=True, eq=False)
class Stream(httpcore.NetworkStream):
    """A connected socket, plain or encrypted."""

    sock: socket.socket
    countdown: Countdown
    address: str  # HOST:PORT, for errors
    _held: bytes = b""  # written, and sent with what follows

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._held:
            self.write(b"")
        try:
            self.sock.settimeout(self.countdown.left())
            return self.sock.recv(max_bytes)
        except TimeoutError:
            raise httpcore.ReadTimeout from None
        except OSError as error:
            raise httpcore.ReadError(words_of(error)) from None

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send; but the first piece waits for the second, so that a head and its body travel together."""
        held, self._held = self._held, b""
        if buffer and not held and len(buffer) <= MOST_HELD:
            self._held = buffer
        elif len(buffer) <= MOST_HELD:
            self._send(held + buffer)
        else:
            self._send(held)
            self._send(buffer)

    def _send(self, buffer: bytes) -> None:
        rest = memoryview(buffer)
        try:
            while rest:
                self.sock.settimeout(self.countdown.left())
                rest = rest[self.sock.send(rest) :]
        except TimeoutError:
            raise httpcore.WriteTimeout from None
        except OSError as error:
            raise httpcore.WriteError(words_of(error)) from None

    def close(self) -> None:
        self.sock.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> Stream:
        """Raises Unreachable: whoever is there, it is not the server that was meant, or not in time."""
        try:
            self.sock.settimeout(self.countdown.left())
            inner = ssl_context.wrap_socket(self.sock, server_hostname=server_hostname)
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

    def get_extra_info(self, info: str) -> Any:
        """is_readable: an idle connection that has something to say is one that was closed."""
        if info == "is_readable":
            return readable(self.sock)
        return self.sock if info == "socket" else None


def readable(sock: socket.socket) -> bool:
    if sock.fileno() < 0:
        return True
    watch = select.poll()
    watch.register(sock, select.POLLIN)
    return bool(watch.poll(0))


def words_of(error: OSError) -> str:
    """What went wrong, without numbers that differ between systems."""
    reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
    return (reason or "the connection broke").lower().replace("_", " ")
