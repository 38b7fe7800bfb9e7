"""What is remembered of endpoints between two sessions: budgets and learnt limits outlive connections."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from whybox_server.serving.remote.allowance import Allowance
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.failure import called
from whybox_server.serving.remote.manners import Manners, Tally, manners
from whybox_server.serving.remote.runner import Room

MOST_KNOWN = 1000  # of endpoints that callers declared; the operator's are never forgotten
NAME_BYTES = 16


@dataclass(slots=True, eq=False)
class Findings:
    """What was found out about an endpoint. determinism: by the last probe, in words; "": none was made."""

    determinism: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Acquaintance:
    """What all sessions to one endpoint share."""

    manners: Manners
    room: Room
    findings: Findings = field(default_factory=Findings)


@dataclass(slots=True, eq=False)
class Register:
    """All endpoints that were asked lately; thread-safe.

    folder: where the calls of a day are counted, so that a restart forgets none; None counts in memory.
    """

    folder: Path | None = None
    _known: OrderedDict[tuple[object, ...], Acquaintance] = field(default_factory=OrderedDict)
    _forgotten: Tally = Tally()
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def of(self, endpoint: Endpoint) -> Acquaintance:
        """The same one for the same address, name, credential and limits."""
        key = (endpoint.trusted, endpoint.url, endpoint.name, endpoint.model, endpoint.credential, endpoint.limits)
        with self._lock:
            found = self._known.pop(key, None)
            if found is None:
                found = Acquaintance(manners(endpoint, self._allowance(endpoint)), Room.of(endpoint.limits))
            self._known[key] = found
            if len(self._known) > MOST_KNOWN:
                self._forget()
            return found

    def _forget(self) -> None:
        foreign = [key for key in self._known if not key[0]]
        for key in foreign[: max(len(foreign) - MOST_KNOWN, 0)]:
            self._forgotten += self._known.pop(key).manners.tally

    def foreign(self) -> tuple[Tally, int]:
        """What endpoints of callers were asked, all together, and how many of them fail again and again."""
        with self._lock:
            ours = [known.manners for key, known in self._known.items() if not key[0]]
            return sum((one.tally for one in ours), self._forgotten), sum(one.breaker.open for one in ours)

    def _allowance(self, endpoint: Endpoint) -> Allowance:
        per_day = endpoint.limits.calls_per_day
        if self.folder is None or not per_day:
            return Allowance(called(endpoint), per_day)
        said = "\n".join((endpoint.name or endpoint.url, endpoint.model, repr(endpoint.credential)))
        name = hashlib.blake2b(said.encode(), digest_size=NAME_BYTES).hexdigest()
        return Allowance(called(endpoint), per_day, self.folder / f"{name}.calls")
