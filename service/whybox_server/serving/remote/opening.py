"""From a declared endpoint to an open session: a way there, manners, and what the server says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from whybox_server.serving.remote.endpoint import Endpoint, Speech, gradient_endpoint
from whybox_server.serving.remote.exchange import Described, RemoteProtocol
from whybox_server.serving.remote.register import Register
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.session import Session
from whybox_server.serving.remote.speech import PROTOCOLS
from whybox_server.serving.remote.transport import Transport


@dataclass(frozen=True, slots=True, eq=False)
class Opener:
    """way: the transport to an endpoint. register: what all who ask it share, and have shared so far."""

    way: Callable[[Endpoint], Transport]
    register: Register

    def check(self, endpoint: Endpoint) -> None:
        """Raises InvalidRequest or EgressDenied for what can be known to be wrong without asking."""
        self.way(endpoint).close()

    def open(self, endpoint: Endpoint, headers: Mapping[str, str]) -> Session:
        """Ask the server for its metadata, with the headers of the caller who happens to be the first. Blocks.

        Raises InvalidRequest for what must be declared, EgressDenied, EndpointRefused, EndpointUnreachable.
        """
        known = self.register.of(endpoint)
        sender = Sender(self.way(endpoint), known.manners, endpoint.limits.timeout_s)
        asking = sender.over(sender.transport.forwarding(headers)) if headers else sender
        try:
            described = _described(endpoint, asking, PROTOCOLS[endpoint.speech])
            endpoint = replace(
                endpoint, speech=Speech(described.speech), output=endpoint.output or described.output
            )
            protocol = PROTOCOLS[endpoint.speech]
            gradient = _of_gradient(endpoint, asking, protocol)
        except BaseException:
            sender.transport.close()
            raise
        return Session(endpoint, protocol, described, sender, known.room, gradient, findings=known.findings)


def _described(endpoint: Endpoint, sender: Sender, protocol: RemoteProtocol) -> Described:
    return sender.run(lambda: protocol.describe(endpoint))


def _of_gradient(endpoint: Endpoint, sender: Sender, protocol: RemoteProtocol) -> Described | None:
    """What the server says of the model that says gradients; None if no such model is declared."""
    if not endpoint.gradient_model or endpoint.spec.gradient is None:
        return None
    output = endpoint.spec.gradient.output
    return _described(gradient_endpoint(endpoint, output), sender, protocol)
