"""Drives a conversation with an endpoint without patience: every call is made once, for looking what is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from whybox_server.serving.remote.exchange import Exchange, Refused, Unreachable
from whybox_server.serving.remote.failure import refused, unreachable
from whybox_server.serving.remote.transport import Transport

V = TypeVar("V")


@dataclass(frozen=True, slots=True, eq=False)
class Once:
    """name: of the endpoint, for messages. timeout_s: of one call."""

    transport: Transport
    name: str
    timeout_s: float

    def run(self, exchange: Exchange[V]) -> V:
        """What the exchange comes to. Blocks. Raises EndpointRefused, EndpointUnreachable, and what it does itself."""
        try:
            call = next(exchange)
            while True:
                try:
                    answer = self.transport.exchange(call, self.timeout_s)
                except (Refused, Unreachable) as failure:
                    call = exchange.throw(failure)
                else:
                    call = exchange.send(answer)
        except StopIteration as done:
            value: V = done.value
            return value
        except Refused as failure:
            raise refused(self.name, failure, 1) from failure
        except Unreachable as failure:
            raise unreachable(self.name, failure, 1) from failure
        finally:
            exchange.close()
