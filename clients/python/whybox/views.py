"""Frozen, typed views of the small messages that a caller reads: targets, usage, plans, methods, models.

Each has exactly the fields of its message (a test holds it to that), with enums as their lower-case
names and what is unset as None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from google.protobuf.message import Message

from whybox.descriptors import Field, enum_name, map_value

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """One output, class or margin that is explained; see `whybox.v1.Target`."""

    index: int
    label: str
    score: float
    probability: float | None
    space: str  # "logit", "probability" or "value": the unit of score and values


@dataclass(frozen=True, slots=True)
class Usage:
    """What was asked and what it cost; see `whybox.v1.Usage`. Rows are model inputs."""

    rows_planned: int
    rows_asked: int
    rows_unique: int
    rows_cached: int
    rows_sent: int
    batches: int
    mean_fill: float
    queued_ms: float
    model_ms: float
    method_ms: float
    wall_ms: float


@dataclass(frozen=True, slots=True)
class Provenance:
    """What is needed to get the same answer again; see `whybox.v1.Provenance`."""

    model_digest: str
    model: str
    method: str
    method_version: str
    seed: int
    mode: str | None
    baseline: str
    segmentation: str
    libraries: Mapping[str, str]
    provider: str
    guesses: tuple[str, ...]
    request_id: str
    nodes: Mapping[str, int] = field(default_factory=dict)  # of the graphs that answered, by provider
    protocol: str = ""  # these three of an endpoint only
    model_version: str = ""
    determinism: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a request would cost; rows are an upper bound per instance, or exact."""

    rows: tuple[int, ...]
    exact: bool
    seconds: float | None
    calls: int | None = None  # of an endpoint
    cost: float | None = None  # if the endpoint declares a price
    currency: str = ""
    notes: tuple[str, ...] = ()  # of PlanExplainResponse


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a method; see `whybox.v1.ParameterInfo`."""

    name: str
    type: str
    default: str
    summary: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Method:
    """One method that the server knows; see `whybox.v1.MethodInfo`."""

    name: str
    summary: str
    citation: str
    modalities: tuple[str, ...]
    version: str
    parameters: tuple[Parameter, ...]
    not_applicable: str | None


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output as the graph declares it; -1 where an axis may have any length."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Probe:
    """What an endpoint showed; see `whybox.v1.ProbeEndpointResponse`. `spec` is the wire message."""

    protocol: str
    version: str
    inputs: tuple[TensorInfo, ...]
    spec: Any
    guesses: tuple[str, ...]
    determinism: str
    deterministic: bool
    calls: int
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """A model that the server has; see `whybox.v1.Model`. `spec` is the wire message."""

    name: str
    digest: str
    size_bytes: int
    inputs: tuple[TensorInfo, ...]
    outputs: tuple[TensorInfo, ...]
    spec: Any
    guesses: tuple[str, ...]
    version: str
    loaded: bool
    provider: str
    problem: str


NESTED: Mapping[str, type[Any]] = {
    "whybox.v1.ParameterInfo": Parameter,
    "whybox.v1.TensorInfo": TensorInfo,
    "whybox.v1.EndpointInput": TensorInfo,
}


def view(kind: type[T], message: Message, **more: Any) -> T:
    """The message as a `kind`; `more` fills fields that are not in the message, or are read otherwise."""
    known = message.DESCRIPTOR.fields_by_name
    names = [
        field.name
        for field in fields(kind)  # type: ignore[arg-type]
        if field.name in known and field.name not in more
    ]
    return kind(**{name: _value(message, known[name]) for name in names}, **more)


def _value(message: Message, field: Field) -> Any:
    value = getattr(message, field.name)
    if map_value(field) is not None:
        return dict(value)
    if field.is_repeated:
        return tuple(_one(field, item) for item in value)
    if field.has_presence and field.message_type is None and not message.HasField(field.name):
        return None
    return _one(field, value)


def _one(field: Field, value: Any) -> Any:
    if field.enum_type is not None:
        return enum_name(field.enum_type, value)
    if field.message_type is not None and field.message_type.full_name in NESTED:
        return view(NESTED[field.message_type.full_name], value)
    return value
