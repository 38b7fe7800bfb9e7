"""How calls are carried to a server and what may go wrong on the way; nothing here knows what is said."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from whybox_server.serving.remote.exchange import Answer, Call


class Transport(Protocol):
    """The way to one endpoint. Calls may be made from several threads at once."""

    def exchange(self, call: Call, timeout_s: float) -> Answer:
        """One call, made once, in at most `timeout_s` seconds with everything that belongs to it.

        Raises Refused for whatever the server says that is no answer, Unreachable if it says nothing, or
        not in time, and EgressDenied, before anything is sent, for a place that may not be asked.
        """
        ...

    def forwarding(self, headers: Mapping[str, str]) -> Transport:
        """The same connections, with those of a caller's headers on every call that the endpoint asks for."""
        ...

    def close(self) -> None:
        """Ends connections that nobody uses; a call under way is not waited for."""
        ...
