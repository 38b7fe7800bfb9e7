"""Builds the requests of both clients. Pure: no channel, no clock, no file but those that a caller names.

It knows the messages, not the methods: parameters go by the descriptors (`params`), and arrays,
pictures and files become instances in `inputs`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from whybox.endpoint import PREFIX as ENDPOINTS
from whybox.endpoint import Endpoint
from whybox.errors import ExplainError, Violation, invalid, refused
from whybox.params import enum_number, set_method
from whybox.spec import ModelSpec
from whybox.v1 import explain_pb2, model_pb2

CHUNK_BYTES = 1 << 20  # what CreateModel takes at most
MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True)
class ModelRef:
    """A model by the server's name for it, with its bytes when it is the caller's own file.

    endpoint: what the caller declares in place of a name.
    """

    name: str
    content: bytes | None = field(default=None, repr=False)
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """How something is to be explained, as a caller said it; see `Client.explain`."""

    method: str
    target: Any = None
    seed: int = 0
    max_queries: int | None = None
    spec: ModelSpec | None = None
    space: str | None = None
    mode: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)


def model_ref(model: str | Path | bytes | Endpoint) -> ModelRef:
    """A model from its name, its file, the file's bytes, or its endpoint. A file is known by its SHA-256.

    Raises ExplainError when it is none of them.
    """
    if isinstance(model, Endpoint):
        return ModelRef(model.name) if model.name else ModelRef("", endpoint=model)
    if isinstance(model, str) and model.startswith(ENDPOINTS):
        return ModelRef(model)
    if isinstance(model, str) and model.startswith("models/") and not model.endswith(".onnx"):
        return ModelRef(model)
    if isinstance(model, bytes | bytearray | memoryview):
        content = bytes(model)
    elif isinstance(model, str | Path):
        content = _file(Path(model))
    else:
        message = (
            'pass a path to an ONNX file, its bytes, "models/NAME", "endpoints/NAME" or an Endpoint, '
            f"not {type(model).__name__}"
        )
        raise invalid("model", message)
    if not content:
        raise invalid("model", "the file is empty; pass an ONNX model")
    return ModelRef(f"models/sha256-{hashlib.sha256(content).hexdigest()}", content)


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f'cannot read {path} ({error.strerror}); a model in the server\'s folder is "models/NAME"'
        raise invalid("model", message) from error


def upload(ref: ModelRef) -> Iterator[model_pb2.CreateModelRequest]:
    """The messages of a CreateModel call: what is coming, then the file in chunks of at most 1 MiB."""
    content = ref.content or b""
    digest = ref.name.rpartition("-")[2]
    header = model_pb2.ModelHeader(size_bytes=len(content), sha256=digest)
    yield model_pb2.CreateModelRequest(header=header)
    for start in range(0, len(content), CHUNK_BYTES):
        yield model_pb2.CreateModelRequest(chunk=content[start : start + CHUNK_BYTES])


def explain_request(model: str, found: list[explain_pb2.Instance], ask: Ask) -> explain_pb2.ExplainRequest:
    """The request that says all of it. Raises ExplainError with every violation at once."""
    request = explain_pb2.ExplainRequest(model=model)
    request.instances.extend(found)
    violations: list[Violation] = []
    for build in (_set_target, _set_numbers, _set_choices, _set_method):
        try:
            build(request, ask)
        except ExplainError as error:
            violations.extend(error.violations)
    if violations:
        raise refused(violations)
    if ask.spec is not None:
        request.spec.CopyFrom(ask.spec.message)
    return request


def _set_target(request: explain_pb2.ExplainRequest, ask: Ask) -> None:
    if ask.target is None:
        return
    many = ask.target if isinstance(ask.target, list | tuple | np.ndarray) else [ask.target]
    request.targets.extend(target_choice(one, f"targets[{i}]") for i, one in enumerate(many))


def target_choice(target: Any, where: str) -> explain_pb2.TargetChoice:
    """An index, a label, "top:K", or "label:ANYTHING" for labels that look like neither."""
    if isinstance(target, int | np.integer) and not isinstance(target, bool):
        if not 0 <= target < 2**31:
            raise invalid(where, f"an output's index is 0 or more, got {target}")
        return explain_pb2.TargetChoice(index=int(target))
    if isinstance(target, str) and target:
        word, colon, rest = target.partition(":")
        if word == "top" and colon:
            if not rest.isdecimal() or int(rest) < 1:
                raise invalid(where, f'write "top:3" for the three highest scores, not {target!r}')
            return explain_pb2.TargetChoice(top=int(rest))
        return explain_pb2.TargetChoice(label=rest if word == "label" and colon else target)
    raise invalid(where, f'must be an index, a label or "top:3", got {target!r}')


def _set_numbers(request: explain_pb2.ExplainRequest, ask: Ask) -> None:
    for name, value, low, high in (
        ("seed", ask.seed, 0, MAX_SEED),
        ("max_queries", ask.max_queries or 0, 0, 2**63 - 1),
    ):
        if not isinstance(value, int | np.integer) or isinstance(value, bool) or not low <= value <= high:
            raise invalid(name, f"must be a whole number in [{low}, {high}], got {value!r}")
        setattr(request, name, int(value))


def _set_choices(request: explain_pb2.ExplainRequest, ask: Ask) -> None:
    for name, value in (("space", ask.space), ("mode", ask.mode)):
        if value is not None:
            enum = request.DESCRIPTOR.fields_by_name[name].enum_type
            setattr(request, name, enum_number(enum, value, name))


def _set_method(request: explain_pb2.ExplainRequest, ask: Ask) -> None:
    set_method(request, ask.method, ask.params)
