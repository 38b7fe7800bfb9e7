"""An opened endpoint: what it said of itself, and how it is asked. The one thing here with a lifetime.

It is opened at the first request, never when it is declared, and shared by all explanations that go there.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import asdict, dataclass, field, replace
from typing import TypeVar, cast

from whybox_server.core.spec import ModelSpec, TabularSpec
from whybox_server.serving.lane import Runner
from whybox_server.serving.onnx import meaning
from whybox_server.serving.remote.endpoint import Endpoint, Price
from whybox_server.serving.remote.exchange import Described, RemoteProtocol
from whybox_server.serving.remote.first import First
from whybox_server.serving.remote.register import Findings
from whybox_server.serving.remote.runner import Room
from whybox_server.serving.remote.sender import Sender

R = TypeVar("R", bound=Runner)

MOST_RUNNERS = 64  # shapes of instances, and callers with headers of their own
DIGEST_BYTES = 20


@dataclass(slots=True, eq=False)
class Session:
    """Its methods may be called from any thread.

    room: what fits into a call. gradient: of the endpoint's gradient_model; None if it has none. seen: what
    the first answer showed, first: that answer; None until there is one. findings: of all sessions to this endpoint.
    """

    endpoint: Endpoint
    protocol: RemoteProtocol
    described: Described
    sender: Sender
    room: Room
    gradient: Described | None = None
    seen: meaning.Seen | None = None
    first: First | None = None
    findings: Findings = field(default_factory=Findings)
    _runners: OrderedDict[Hashable, Runner] = field(default_factory=OrderedDict)
    _lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def digest(self) -> str:
        """Over all that is known of what is served there."""
        return f"endpoint-{digest_of(self.endpoint, self.described, self.gradient).hex()}"

    def runner(self, key: Hashable, make: Callable[[], R]) -> R:
        """The runner under this key; the same one every time, since threads belong to it."""
        with self._lock:
            if key not in self._runners:
                self._runners[key] = make()
            self._runners.move_to_end(key)
            if len(self._runners) > MOST_RUNNERS:
                self._runners.popitem(last=False)  # it lives on in the lanes that use it
            return cast("R", self._runners[key])

    def close(self) -> None:
        """Hang up; calls under way still end."""
        with self._lock:
            self._runners.clear()
        self.sender.transport.close()


def pinned(endpoint: Endpoint) -> bool:
    """Whether somebody says when the model changes."""
    return bool(endpoint.version or endpoint.revision)


def digest_of(endpoint: Endpoint, described: Described, gradient: Described | None = None) -> bytes:
    """Changes with whatever answers depend on: where, what, which version, and how it is asked."""
    said = [
        endpoint.url,
        described.speech,
        endpoint.model,
        endpoint.version or described.version,
        endpoint.revision,
        described.output,
        sorted(endpoint.headers.items()),
        None if endpoint.credential is None else endpoint.credential.name,
        None if endpoint.json is None else asdict(endpoint.json),
        endpoint.gradient_model,
        None if gradient is None else [gradient.version, gradient.output, sorted(gradient.manner.items())],
        sorted(described.manner.items()),
        [[row.name, row.dtype.str, row.shape] for row in described.inputs],
    ]
    return hashlib.blake2b(json.dumps(said).encode(), digest_size=DIGEST_BYTES).digest()


def identity(endpoint: Endpoint) -> bytes:
    """Equal for endpoints that may share a session: alike in all that a protocol may speak of."""
    spec = endpoint.spec
    columns = spec.details.feature_names if isinstance(spec.details, TabularSpec) else ()
    spoken = ModelSpec(labels=spec.labels, output=spec.output, gradient=spec.gradient)
    plain = asdict(replace(endpoint, spec=spoken, price=Price()))
    said = json.dumps([plain, columns], sort_keys=True, default=str)
    return hashlib.blake2b(said.encode(), digest_size=DIGEST_BYTES).digest()
