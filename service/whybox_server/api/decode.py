"""Wire to tasks. Refuses nonsense with every violation listed at once, before any model is touched.

Parameters of a method are read by field name into the method's own parameter class, so that a new
method needs no line here.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from types import MappingProxyType, UnionType
from typing import Any, TypeVar

import numpy as np
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from whybox.v1 import endpoint_pb2, explain_pb2, explanation_pb2, model_pb2, tensor_pb2
from whybox_server.api.endpoints import to_endpoint
from whybox_server.api.spec import to_spec
from whybox_server.api.tensors import to_array
from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.core.rows import Array
from whybox_server.core.target import Choice, Space
from whybox_server.engine.endpoints import Caller
from whybox_server.engine.task import ExplainTask, Given, Picture, Record, Tensors, Text
from whybox_server.methods import METHOD
from whybox_server.methods.method import violations as out_of_bounds
from whybox_server.serving.lane import Mode

MAX_INSTANCES = 1024
NO_HEADERS: Mapping[str, str] = MappingProxyType({})
MAX_TARGETS = 1000
NO_PIXELS = np.zeros((0, 0, 3), np.uint8)
MODES = {
    explanation_pb2.MODE_UNSPECIFIED: Mode.FAST,
    explanation_pb2.MODE_FAST: Mode.FAST,
    explanation_pb2.MODE_REPRODUCIBLE: Mode.REPRODUCIBLE,
}
SPACES: dict[int, Space | None] = {
    explanation_pb2.SCORE_SPACE_UNSPECIFIED: None,
    explanation_pb2.SCORE_SPACE_LOGIT: Space.LOGIT,
    explanation_pb2.SCORE_SPACE_PROBABILITY: Space.PROBABILITY,
    explanation_pb2.SCORE_SPACE_VALUE: Space.VALUE,
}

T = TypeVar("T")


class Findings:
    """Collects violations while decoding goes on."""

    def __init__(self) -> None:
        self.violations: list[Violation] = []

    def add(self, field: str, description: str) -> None:
        self.violations.append(Violation(field, description))

    def attempt(self, make: Callable[[], T], instead: T) -> T:
        """The value, or `instead` after noting what was wrong."""
        try:
            return make()
        except InvalidRequest as error:
            self.violations += error.violations
            return instead

    def settle(self) -> None:
        if self.violations:
            raise InvalidRequest(self.violations)


def to_task(request: explain_pb2.ExplainRequest, headers: Mapping[str, str] = NO_HEADERS) -> ExplainTask:
    """The task of a request. headers: of the call. Raises InvalidRequest with every violation found."""
    found = Findings()
    inline = request.HasField("endpoint")
    if not request.model and not inline:
        found.add("model", 'required: "models/NAME", the name that CreateModel gave, or "endpoints/NAME"')
    if request.model and inline:
        found.add("endpoint", "either a model is named or an endpoint is declared, not both")
    if not 1 <= len(request.instances) <= MAX_INSTANCES:
        found.add("instances", f"give between 1 and {MAX_INSTANCES}, got {len(request.instances)}")
    if len(request.targets) > MAX_TARGETS:
        found.add("targets", f"at most {MAX_TARGETS}, got {len(request.targets)}; use top")
    if request.mode not in MODES:
        found.add("mode", f"must be one of Mode, got {request.mode}")
    if request.space not in SPACES:
        found.add("space", f"must be one of ScoreSpace, got {request.space}")
    if request.max_queries < 0:
        found.add("max_queries", f"must not be negative, got {request.max_queries}")
    for number, render in enumerate(request.render):
        if render not in explanation_pb2.RenderFormat.values() or not render:
            found.add(f"render[{number}]", f"must be one of RenderFormat, got {render}")
    name = request.WhichOneof("method")
    params: Any = None
    if name is None or name not in METHOD:
        found.add("method", f"required: one of {', '.join(METHOD)}")
    else:
        params = read(METHOD[name].params, getattr(request, name), name, found)
        if params is not None:
            found.violations += [Violation(f"{name}.{v.field}", v.description) for v in out_of_bounds(params)]
    instances = tuple(_given(given, f"instances[{n}]", found) for n, given in enumerate(request.instances))
    choices = tuple(_choice(choice, f"targets[{n}]", found) for n, choice in enumerate(request.targets))
    endpoint = found.attempt(lambda: to_endpoint(request.endpoint, "endpoint"), None) if inline else None
    spec = found.attempt(lambda: to_spec(request.spec, "spec"), to_spec(type(request.spec)(), "spec"))
    found.settle()
    assert name is not None  # a missing method is a violation
    return ExplainTask(
        model=request.model,
        instances=instances,
        method=METHOD[name],
        params=params,
        choices=choices,
        space=SPACES[request.space],
        spec=spec,
        seed=request.seed,
        mode=MODES[request.mode],
        max_queries=request.max_queries,
        caller=Caller(endpoint, headers, request.endpoint.credential),
    )


def to_givens(instances: Sequence[explain_pb2.Instance]) -> tuple[Given, ...]:
    """Instances on their own. Raises InvalidRequest with every violation found."""
    found = Findings()
    givens = tuple(_given(given, f"instances[{n}]", found) for n, given in enumerate(instances))
    found.settle()
    return givens


def to_arrays(tensors: tensor_pb2.Tensors, field: str) -> dict[str, Array]:
    """Arrays by input name. Raises InvalidRequest naming the first wrong one."""
    return {name: to_array(tensor, f"{field}[{name!r}]") for name, tensor in tensors.by_name.items()}


def check_page_size(request: model_pb2.ListModelsRequest | endpoint_pb2.ListEndpointsRequest) -> int:
    """Entries per page; unset is 100."""
    size: int = request.page_size or 100
    if not 1 <= size <= 1000:
        raise InvalidRequest.of("page_size", f"must be in [1, 1000], got {size}")
    return size


def _given(instance: explain_pb2.Instance, field: str, found: Findings) -> Given:
    match instance.WhichOneof("value"):
        case "tensors":
            if not instance.tensors.by_name:
                found.add(f"{field}.tensors", "empty: give an array per input of the model")
            nothing: dict[str, Array] = {}
            return Tensors(found.attempt(lambda: to_arrays(instance.tensors, f"{field}.tensors"), nothing))
        case "text":
            return Text(instance.text)
        case "picture":
            return Picture(_pixels(instance.picture, f"{field}.picture", found))
        case "record":
            values = {key: _value(value) for key, value in instance.record.fields.items()}
            for key, value in values.items():
                if value is None:
                    found.add(f"{field}.record[{key!r}]", "has neither a number nor a text")
            return Record({key: value for key, value in values.items() if value is not None})
        case _:
            found.add(field, "empty: give tensors, a text, a picture, or a record")
            return Tensors({})


def _pixels(tensor: tensor_pb2.Tensor, field: str, found: Findings) -> Array:
    pixels = found.attempt(lambda: to_array(tensor, field), NO_PIXELS)
    fits = pixels.dtype == np.uint8 and pixels.ndim == NO_PIXELS.ndim and pixels.shape[2] in (1, 3)
    if pixels is not NO_PIXELS and not (fits and pixels.size):
        found.add(field, f"must be UINT8 (height, width, 1 or 3), got {pixels.dtype.name} {pixels.shape}")
    return pixels


def _value(value: explain_pb2.Value) -> float | str | None:
    kind = value.WhichOneof("kind")
    return None if kind is None else getattr(value, kind)


def _choice(choice: explain_pb2.TargetChoice, field: str, found: Findings) -> Choice:
    kind = choice.WhichOneof("choice")
    if kind is None:
        found.add(field, "empty: give an index, a label, or top")
        return Choice(index=0)
    return Choice(**{kind: getattr(choice, kind)})


def read(cls: type[T], message: Message, field: str, found: Findings) -> T | None:
    """A frozen dataclass with the message's field names; what is unset keeps the class's default."""
    hints = typing.get_type_hints(cls)
    values: dict[str, Any] = {}
    before = len(found.violations)
    for descriptor in message.DESCRIPTOR.fields:
        path, value = f"{field}.{descriptor.name}", getattr(message, descriptor.name)
        if descriptor.is_repeated and descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            of = typing.get_args(hints[descriptor.name])[0]  # of tuple[X, ...]
            many = (_nested(of, one, f"{path}[{n}]", found) for n, one in enumerate(value))
            values[descriptor.name] = tuple(many)
        elif descriptor.is_repeated:
            values[descriptor.name] = tuple(value)
        elif descriptor.type == FieldDescriptor.TYPE_ENUM:
            if value:
                values[descriptor.name] = _enum(descriptor.enum_type, hints[descriptor.name], value, path, found)
        elif descriptor.type == FieldDescriptor.TYPE_MESSAGE:
            if message.HasField(descriptor.name):
                values[descriptor.name] = _nested(hints[descriptor.name], value, path, found)
        elif not descriptor.has_presence or message.HasField(descriptor.name):
            values[descriptor.name] = value
    return cls(**values) if len(found.violations) == before else None


def _nested(hint: Any, message: Message, field: str, found: Findings) -> Any:
    if isinstance(message, tensor_pb2.Tensor):
        return found.attempt(lambda: to_array(message, field), None)
    return read(_member(hint), message, field, found)


def _enum(descriptor: Any, hint: Any, number: int, field: str, found: Findings) -> Any:
    """The Python member whose value is the proto value's name without the enum's prefix, lower case."""
    members: type[Enum] = _member(hint)
    by_value = {str(member.value): member for member in members}
    known = descriptor.values_by_number.get(number)
    name = "" if known is None else known.name.lower()
    match_ = next((member for value, member in by_value.items() if name.endswith("_" + value)), None)
    if match_ is None:
        found.add(field, f"must be one of {', '.join(by_value)}, got {number}")
    return match_


def _member(hint: Any) -> Any:
    """X of `X | None` or of X."""
    options = typing.get_args(hint) if isinstance(hint, UnionType) or typing.get_args(hint) else (hint,)
    return next(option for option in options if option is not type(None))
