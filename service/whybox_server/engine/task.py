"""What a caller wants explained, decoded and checked, before any model is known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from whybox_server.core.explanation import Finding
from whybox_server.core.instance import Subject
from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.core.target import Choice, Space
from whybox_server.engine.endpoints import NOBODY, Caller
from whybox_server.methods.method import Method
from whybox_server.serving.lane import Mode, Usage
from whybox_server.serving.model import Bill, Served


@dataclass(frozen=True, slots=True, eq=False)
class Tensors:
    """Arrays by input name."""

    arrays: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Text:
    """For a model with one string input."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """(height, width, 1 or 3) uint8, to be resized and normalised as the spec says."""

    pixels: Array


@dataclass(frozen=True, slots=True)
class Record:
    """A table's row by column name."""

    fields: Mapping[str, float | str]


Given: TypeAlias = Tensors | Text | Picture | Record


@dataclass(frozen=True, slots=True, eq=False)
class ExplainTask:
    """One request: many instances, one method. model: "" for the endpoint that the caller brings."""

    model: str
    instances: tuple[Given, ...]
    method: Method[Any, Any]
    params: Any
    choices: tuple[Choice, ...] = ()
    space: Space | None = None  # None: logits where there are any
    spec: ModelSpec = field(default_factory=ModelSpec)
    seed: int = 0
    mode: Mode = Mode.FAST
    max_queries: int = 0
    caller: Caller = NOBODY


@dataclass(frozen=True, slots=True)
class Plan:
    """Rows per instance, at most; `exact` if always that many. seconds: None if not yet learnt.

    bill: None where rows cost nothing but time.
    """

    rows: tuple[int, ...]
    exact: bool
    seconds: float | None
    notes: tuple[str, ...]
    bill: Bill | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    rows_done: int
    rows_planned: int
    instances_done: int


@dataclass(frozen=True, slots=True, eq=False)
class Provenance:
    """What is needed to get the same answer again; baseline and cut are in the finding."""

    model: str
    model_digest: str
    method: str
    method_version: str
    seed: int
    mode: Mode
    libraries: Mapping[str, str]
    provider: str
    nodes: Mapping[str, int]  # by the provider that ran them
    guesses: tuple[str, ...]
    request_id: str
    served: Served = Served()


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One instance, explained."""

    index: int
    subject: Subject
    finding: Finding
    usage: Usage
    provenance: Provenance


Update: TypeAlias = Plan | Progress | Answer
