"""What a servicer sees of an HTTP call: the few parts of gRPC's context that it and the guard use."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, NoReturn

from google.protobuf.message import Message
from google.rpc import status_pb2

from whybox_server.core.errors import InvalidRequest

TIMEOUT_HEADER = "x-timeout-s"
GRPC_TIMEOUT_HEADER = "grpc-timeout"
GRPC_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")
UNITS_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
DETAILS = "grpc-status-details-bin"
MOST_S = 1e9


class Refused(Exception):
    """The call ended in an error; `status` is what the caller is told."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class Context:
    """write: sends a message of a stream."""

    def __init__(
        self, headers: Iterable[tuple[str, str]], write: Callable[[Message], Awaitable[None]] | None = None
    ) -> None:
        self.headers = tuple(headers)
        self.trailing: dict[str, str] = {}
        self._write = write
        self._deadline: float | None = None

    def invocation_metadata(self) -> tuple[tuple[str, str], ...]:
        return self.headers

    def set_trailing_metadata(self, metadata: Iterable[tuple[str, str]]) -> None:
        self.trailing = dict(metadata)

    def time_remaining(self) -> float | None:
        """Seconds until the caller's deadline; None if there is none."""
        return None if self._deadline is None else self._deadline - asyncio.get_running_loop().time()

    def limit(self, seconds: float | None) -> None:
        """Set the deadline, counted from now."""
        self._deadline = None if seconds is None else asyncio.get_running_loop().time() + seconds

    async def write(self, message: Message) -> None:
        assert self._write is not None  # only servicers of streams write
        await self._write(message)

    async def abort_with_status(self, status: Any) -> NoReturn:
        """status: a gRPC status with its details, as the guard makes it."""
        details = dict(status.trailing_metadata)[DETAILS]
        raise Refused(status_pb2.Status.FromString(details))


def timeout_in(headers: Mapping[str, str]) -> float | None:
    """Seconds that the caller allows, None if nothing is said. Raises InvalidRequest."""
    plain, grpc = headers.get(TIMEOUT_HEADER), headers.get(GRPC_TIMEOUT_HEADER)
    if plain is not None:
        try:
            seconds = float(plain)
        except ValueError:
            seconds = math.nan
        if not 0 < seconds <= MOST_S:
            raise InvalidRequest.of(TIMEOUT_HEADER, "must be a positive number of seconds")
        return seconds
    if grpc is not None:
        match = GRPC_TIMEOUT.fullmatch(grpc)
        if match is None:
            raise InvalidRequest.of(GRPC_TIMEOUT_HEADER, 'must be digits and a unit of H, M, S, m, u, n: "30S"')
        return int(match[1]) * UNITS_S[match[2]]
    return None
