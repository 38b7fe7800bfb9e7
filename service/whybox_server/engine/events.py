"""What happens in the engine, as data. Metrics, logs and traces subscribe; the engine knows none of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from whybox_server.core.errors import Reason
from whybox_server.serving.lane import Usage


@dataclass(frozen=True, slots=True)
class Started:
    """An explanation of one instance was admitted."""

    request_id: str
    method: str
    model: str
    modality: str
    rows_planned: int


@dataclass(frozen=True, slots=True)
class Finished:
    """It ended: `reason` is None for an answer, "CANCELLED" when the caller left."""

    request_id: str
    method: str
    model: str
    modality: str
    complete: bool
    reason: str | None
    usage: Usage


@dataclass(frozen=True, slots=True)
class Failed:
    """A call ended in an error."""

    reason: Reason


@dataclass(frozen=True, slots=True)
class ModelLoaded:
    """A session was made."""

    digest: str
    provider: str
    seconds: float
    notes: tuple[str, ...]


Event: TypeAlias = Started | Finished | Failed | ModelLoaded


@dataclass(slots=True)
class Events:
    """Tells every subscriber, in order of subscription; a subscriber must be quick and not raise."""

    subscribers: list[Callable[[Event], None]] = field(default_factory=list)

    def tell(self, event: Event) -> None:
        for subscriber in self.subscribers:
            subscriber(event)
