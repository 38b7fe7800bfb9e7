"""One conversation with a server, without the wire: a protocol yields calls and is sent answers.

    def ask(...) -> Exchange[...]:
        answer = yield HttpCall("POST", "/v2/models/m/infer", body)
        ...

Protocols do no I/O, keep no state and know no limits; whoever drives them does (`sender`).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias, TypeVar

from whybox_server.core.rows import Array
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class HttpCall:
    """path: below the endpoint's URL, with a leading slash, or "" for the URL itself.

    asks: whether it makes the model work, so that it is paid for; metadata is not.
    """

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False


@dataclass(frozen=True, slots=True)
class GrpcCall:
    """method: "/package.Service/Method"; body: the serialised request message."""

    method: str
    body: bytes
    metadata: Mapping[str, str] = field(default_factory=dict)
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back of a call that went well (HTTP 2xx, gRPC OK); header names in lower case."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200


Call: TypeAlias = HttpCall | GrpcCall
Exchange: TypeAlias = Generator[Call, Answer, V]


class Refused(Exception):
    """The server said no: HTTP 3xx, 4xx or 5xx, or a gRPC status. A protocol may catch it, to try another way.

    status: HTTP, or that of the gRPC code (NOT_FOUND is 404); 413 for messages that are too large either
    way. text: the server's own, short, on one line, without secrets. retry_after_s: when to come again, if
    the server said so; infinite: it asks not to be tried again.
    """

    def __init__(self, status: int, text: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status}: {text}" if text else str(status))
        self.status, self.text, self.retry_after_s = status, text, retry_after_s


class Unreachable(Exception):
    """No whole answer came: nobody is there, the line was cut, or time ran out.

    address: "HOST:PORT" as declared. sent: the call may have reached the server, which may charge for it.
    late: time ran out. lasting: trying again cannot help (a certificate that is not trusted).
    """

    def __init__(
        self, text: str, address: str = "", *, sent: bool = True, late: bool = False, lasting: bool = False
    ) -> None:
        super().__init__(text)
        self.text, self.address = text, address
        self.sent, self.late, self.lasting = sent, late, lasting


@dataclass(frozen=True, slots=True, eq=False)
class Described:
    """What a server says of its model. columns: scores per row, None if it does not say.

    speech: how it is really spoken to. batched: rows may share a call. labels: class names, if it has them.
    labels_only: it is declared to answer with labels and no scores. version: what it says it serves.
    notes: for the reader. manner: what `ask` must know of how to ask, in the protocol's own words.
    """

    speech: str
    inputs: tuple[RowInfo, ...]
    output: str
    batched: bool = True
    columns: int | None = None
    labels: tuple[str, ...] = ()
    version: str = ""
    notes: tuple[str, ...] = ()
    labels_only: bool = False
    manner: Mapping[str, str] = field(default_factory=dict)


class RemoteProtocol(Protocol):
    """How to speak with one kind of server; an entry of `PROTOCOLS`."""

    def describe(self, endpoint: Endpoint) -> Exchange[Described]:
        """Ask for metadata, if the server has any. Raises InvalidRequest for what the operator must declare."""
        ...

    def ask(self, endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
        """Scores, (n, outputs), of rows (n, *shape) by input; labels alone become one column of objects.

        Raises ModelOutputInvalid for a reply that answers something else.
        """
        ...

    def bytes_per_row(self, described: Described, rows: Mapping[str, Array]) -> int:
        """About how many bytes one of these rows takes in a request."""
        ...
