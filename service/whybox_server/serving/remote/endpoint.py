"""What is known of an endpoint before it is asked: where it is, how it speaks, and what it may be asked.

Data only. Secrets are never here: a credential is a reference that the transport resolves at the last
moment, so that nothing that is logged, echoed or hashed can hold one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from whybox_server.core.spec import ModelSpec


class Speech(Enum):
    """Protocols, by the names that callers use."""

    AUTO = "auto"
    OIP_GRPC = "oip-grpc"
    OIP_REST = "oip-rest"
    KSERVE_V1 = "kserve-v1"
    TFSERVING_REST = "tfserving-rest"
    TFSERVING_GRPC = "tfserving-grpc"
    TORCHSERVE = "torchserve"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Credential:
    """Where a secret is: exactly one of file and env. header: it goes there, after `prefix`.

    name: what the operator calls it. hosts: where it may be sent ("*.example.org": everything below);
    none: only to endpoints that the operator declared himself.
    """

    file: str = ""
    env: str = ""
    header: str = "authorization"
    prefix: str = "Bearer "
    name: str = ""
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files: authorities that vouch for the server, and our own certificate for it."""

    ca: str = ""
    cert: str = ""
    key: str = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """How it may be asked. 0: no limit.

    calls_per_day, rows_per_request: budgets, exact to the call; retries count. timeout_s: of one call.
    """

    requests_per_second: float = 0.0
    concurrency: int = 8
    rows_per_call: int = 64
    bytes_per_call: int = 4 << 20  # what gRPC servers take by default
    reply_bytes: int = 64 << 20
    timeout_s: float = 30.0
    calls_per_day: int = 0
    rows_per_request: int = 0


@dataclass(frozen=True, slots=True)
class Price:
    """What asking costs, in `currency`."""

    per_call: float = 0.0
    per_row: float = 0.0
    currency: str = ""


@dataclass(frozen=True, slots=True)
class JsonMapping:
    """Generic JSON over HTTP. No code: a template and paths.

    request: JSON in which "$rows" stands for the list of rows, "$records" for rows by column name,
    "$inputs" for rows by input; with one row per call also "$row" and "$record". scores: JMESPath into the
    reply: (rows, outputs) numbers, or an object by label for each row; (outputs,) with one row per call.
    labels: JMESPath; without scores (rows,) of the label of each row, with them one label per score, for
    servers that sort scores by size.
    """

    request: str = '{"instances": "$rows"}'
    scores: str = ""  # "predictions", unless there are labels
    labels: str = ""
    one_row_per_call: bool = False
    method: str = "POST"

    @property
    def scores_path(self) -> str:
        """Where scores are; "" if there are labels alone."""
        return self.scores or ("" if self.labels else "predictions")


@dataclass(frozen=True, slots=True)
class Input:
    """An input as declared; dtype as numpy names it; shape of one row, None for any length."""

    name: str
    dtype: str = "float32"
    shape: tuple[int | None, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Endpoint:
    """One model of one server.

    name: "endpoints/NAME", or "" for one that came with a request. model, version: at the server; version
    "" is whatever it serves. revision: the operator's word for what is served, part of cache keys.
    inputs: declared where the server's metadata says nothing. headers: no secrets. forward: names of the
    caller's headers that are passed on. trusted: declared by the operator, not by a caller.
    """

    url: str
    speech: Speech = Speech.AUTO
    name: str = ""
    model: str = ""
    version: str = ""
    revision: str = ""
    output: str = ""
    inputs: tuple[Input, ...] = ()
    spec: ModelSpec = field(default_factory=ModelSpec)
    headers: Mapping[str, str] = field(default_factory=dict)
    forward: tuple[str, ...] = ()
    credential: Credential | None = None
    tls: Tls = Tls()
    limits: Limits = Limits()
    price: Price = Price()
    json: JsonMapping | None = None
    trusted: bool = False
    objects: bool = False  # a row of an only input is an object all the same, as its caller writes it
    gradient_model: str = ""  # of the same server: what `whybox differentiate` wrote, under this name


def gradient_endpoint(endpoint: Endpoint, output: str = "") -> Endpoint:
    """The model that says gradients, at the same server: its versions and inputs are its own."""
    return replace(endpoint, model=endpoint.gradient_model, version="", output=output, inputs=())
