"""Opens connections: looks a name up, judges every address it has, and connects to the one it judged.

Between the judgement and the connection no name is looked up again, so that a name server that changes
its mind gets nowhere. Time is bounded, that of a name server too.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from time import monotonic
from typing import NamedTuple, TypeAlias

from whybox_server.core.errors import EgressDenied
from whybox_server.serving.remote.exchange import Unreachable
from whybox_server.serving.remote.transport.egress import Egress, refusal
from whybox_server.serving.remote.transport.place import Place

MOST_ADDRESSES = 8  # of one name that are tried
MOST_LOOKUPS = 32  # at once: one that hangs keeps its thread


class Found(NamedTuple):
    """A place on the network, ready to be connected to."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


Resolve: TypeAlias = Callable[[str, int], Sequence[Found]]
Connect: TypeAlias = Callable[[Found, float], socket.socket]


def resolve(host: str, port: int) -> Sequence[Found]:
    """What the system says a name is; raises OSError."""
    infos = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [Found(family, sockaddr) for family, _, _, _, sockaddr in infos]  # type: ignore[arg-type]


def connect(found: Found, timeout_s: float) -> socket.socket:
    """A connected TCP socket; raises OSError."""
    opened = socket.socket(found.family, socket.SOCK_STREAM)
    try:
        opened.settimeout(timeout_s)
        opened.connect(found.sockaddr)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        opened.close()
        raise
    return opened


@dataclass(frozen=True, slots=True)
class Dialler:
    """The only way out. `resolve` and `connect` are the system's, but for tests that watch."""

    egress: Egress = Egress()
    resolve: Resolve = resolve
    connect: Connect = connect
    lookups: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MOST_LOOKUPS))

    def dial(self, place: Place, timeout_s: float, *, trusted: bool) -> socket.socket:
        """A connection to the first permitted address that answers.

        Raises EgressDenied if no address is permitted, Unreachable if none answers in time.
        """
        ends = monotonic() + timeout_s
        permitted = self.permitted(place, timeout_s, trusted=trusted)
        text, late = "no connection in time", True
        for tried, found in enumerate(permitted):
            left = ends - monotonic()
            if left <= 0:
                break
            try:
                return self.connect(found, left / (len(permitted) - tried))
            except TimeoutError:
                text, late = "nobody answers", True
            except OSError as error:
                text, late = (error.strerror or "no connection is possible").lower(), False
        raise Unreachable(f"{place.address}: {text}", place.address, sent=False, late=late)

    def permitted(self, place: Place, timeout_s: float, *, trusted: bool) -> list[Found]:
        """Addresses of the place that may be connected to, at least one; raises as `dial` does."""
        every = self._look_up(place, timeout_s)
        refused = ""
        permitted = []
        for found in every:
            address = ipaddress.ip_address(found.sockaddr[0].partition("%")[0])
            reason = refusal(self.egress, place, address, trusted=trusted)
            refused = refused or reason
            if not reason:
                permitted.append(found)
        if not permitted:
            raise denied(place, refused)
        return permitted[:MOST_ADDRESSES]

    def _look_up(self, place: Place, timeout_s: float) -> Sequence[Found]:
        """All addresses, at least one. A name server that hangs keeps a thread of ours, but not the caller."""
        ends = monotonic() + timeout_s
        answers: SimpleQueue[Sequence[Found]] = SimpleQueue()

        def ask() -> None:
            found: Sequence[Found] = ()
            try:
                found = self.resolve(place.host, place.port)
            except (OSError, UnicodeError):
                pass
            finally:
                self.lookups.release()
                answers.put(found)

        try:
            if not self.lookups.acquire(timeout=max(timeout_s, 0.0)):
                raise Empty
            threading.Thread(target=ask, name="whybox-lookup", daemon=True).start()
            found = answers.get(timeout=max(ends - monotonic(), 0.0))
        except Empty:
            text = f"{place.host}: its name could not be looked up in time"
            raise Unreachable(text, place.address, sent=False, late=True) from None
        if not found:
            raise Unreachable(f"{place.host}: no such host is known", place.address, sent=False)
        return found


def denied(place: Place, reason: str) -> EgressDenied:
    """The address that a name leads to is not told: callers shall not read our name server through us."""
    remedy = "the operator can allow it with --allow-egress, by host or network"
    return EgressDenied(f"{place.address} may not be asked: {reason}; {remedy}", address=place.address)
