"""Declares a model behind an endpoint, for use wherever a model is named. Nothing is asked here.

    client.explain(whybox.Endpoint("https://models.example.com", model="churn"), row, "lime")

Options are the fields of `whybox.v1.Endpoint`, `EndpointLimits` and `EndpointPrice`, by name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from whybox.descriptors import enum_name
from whybox.errors import ExplainError, Violation, invalid, near, refused
from whybox.params import fill
from whybox.spec import ModelSpec
from whybox.v1 import endpoint_pb2

PREFIX = "endpoints/"
PLAIN = ("model", "version", "revision", "output", "credential", "gradient_model", "forward")
NUMPY_NAMES = {"float16": "fp16", "float32": "fp32", "float64": "fp64", "str": "string", "object": "string"}


class Endpoint:
    """One model of one server.

    url: "https://HOST[:PORT][/PATH]", "grpcs://HOST:PORT", or the same without the s for no TLS.
    protocol: "auto" asks the server for its metadata, at the first request; or "oip-grpc", "oip-rest",
        "kserve-v1", "tfserving-rest", "tfserving-grpc", "torchserve", "json".
    options: model, version, revision, output, gradient_model: names at the server.
        inputs: {"x": (30,)} or {"x": ("int64", (30,))}, where its metadata does not say them.
        spec: a ModelSpec. headers: a dict, without secrets. credential: name of one that the operator of
        the whybox server declared. json: {"request": ..., "scores": ...}; see `whybox.v1.JsonMapping`.
        Limits: requests_per_second, concurrency, rows_per_call, bytes_per_call, reply_bytes, timeout_s,
        calls_per_day, rows_per_request. Price: per_call, per_row, currency.
    Raises ExplainError with everything that is wrong.
    """

    __slots__ = ("message",)

    def __init__(self, url: str, *, protocol: str = "auto", **options: Any) -> None:
        self.message = endpoint_pb2.Endpoint()
        wrong: list[Violation] = []
        for part in _parts(options):
            try:
                part(self.message)
            except ExplainError as error:
                wrong.extend(error.violations)
        try:
            fill(self.message, {"url": url, "protocol": protocol}, "endpoint")
        except ExplainError as error:
            wrong.extend(error.violations)
        if wrong:
            raise refused(wrong)

    @classmethod
    def of(cls, message: endpoint_pb2.Endpoint) -> Endpoint:
        """The endpoint of a message."""
        made = cls.__new__(cls)
        made.message = message
        return made

    @property
    def name(self) -> str:
        """Of one that a server knows, "endpoints/NAME"; "" of one that was only declared here."""
        return self.message.name

    @property
    def url(self) -> str:
        return self.message.url

    @property
    def protocol(self) -> str:
        """As it was declared, "auto" if it was not."""
        return protocol_name(self.message.protocol)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Endpoint) and self.message == other.message

    __hash__ = None  # type: ignore[assignment] # messages can be changed

    def __repr__(self) -> str:
        about = {"url": self.url, "protocol": self.protocol, "model": self.message.model}
        said = ", ".join(f"{key}={value!r}" for key, value in about.items() if value)
        return f"<Endpoint {self.name or 'declared here'}: {said}>"


def protocol_name(number: int) -> str:
    """As callers write it."""
    name = enum_name(endpoint_pb2.EndpointProtocol.DESCRIPTOR, number)
    return "auto" if name is None else name.replace("_", "-")


def _parts(options: Mapping[str, Any]) -> Iterable[Any]:
    """What sets each group of options; each may refuse what it is given."""
    limits = endpoint_pb2.EndpointLimits.DESCRIPTOR.fields_by_name
    price = endpoint_pb2.EndpointPrice.DESCRIPTOR.fields_by_name
    named = {"inputs": _set_inputs, "spec": _set_spec, "headers": _set_headers, "json": _set_json}
    for key, value in options.items():
        if value is None:
            continue
        if key in named:
            yield lambda message, set_=named[key], value=value: set_(message, value)
        elif key in limits:
            yield lambda message, key=key, value=value: fill(message.limits, {key: value}, "endpoint.limits")
        elif key in price:
            yield lambda message, key=key, value=value: fill(message.price, {key: value}, "endpoint.price")
        elif key in PLAIN:
            yield lambda message, key=key, value=value: fill(message, {key: value}, "endpoint")
        else:
            known = [*named, *limits, *price, *PLAIN, "protocol", "url"]
            said = f"no such option; {near(key, known)}"
            yield lambda message, key=key, said=said: _refuse(f"endpoint.{key}", said)


def _refuse(field: str, said: str) -> None:
    raise invalid(field, said)


def _set_spec(message: endpoint_pb2.Endpoint, spec: Any) -> None:
    if not isinstance(spec, ModelSpec):
        raise invalid("endpoint.spec", f"pass a ModelSpec, not {type(spec).__name__}")
    message.spec.CopyFrom(spec.message)


def _set_json(message: endpoint_pb2.Endpoint, mapping: Any) -> None:
    """A template may be a text, or what it stands for."""
    if not isinstance(mapping, Mapping):
        raise invalid("endpoint.json", 'pass {"request": ..., "scores": ...}')
    template = mapping.get("request")
    written = template if template is None or isinstance(template, str) else json.dumps(template)
    fill(message, {"json": {**mapping, "request": written}}, "endpoint")


def _set_headers(message: endpoint_pb2.Endpoint, headers: Any) -> None:
    texts = isinstance(headers, Mapping) and all(isinstance(x, str) for pair in headers.items() for x in pair)
    if not texts:
        raise invalid("endpoint.headers", "pass a dict of texts by header name")
    message.headers.update(headers)


def _set_inputs(message: endpoint_pb2.Endpoint, inputs: Any) -> None:
    """{"x": shape}, {"x": (dtype, shape)}, or a list of {"name": ..., "dtype": ..., "shape": ...}."""
    if isinstance(inputs, Mapping):
        inputs = [{"name": name, **_typed(given)} for name, given in inputs.items()]
    if not isinstance(inputs, Sequence) or not all(isinstance(one, Mapping) for one in inputs):
        raise invalid("endpoint.inputs", 'pass {"x": (30,)}, or {"x": ("int64", (30,))}')
    for number, one in enumerate(inputs):
        given = {**one, "dtype": _dtype(one.get("dtype"))}
        fill(message.inputs.add(), given, f"endpoint.inputs[{number}]")


def _typed(given: Any) -> dict[str, Any]:
    """Shape, or dtype and shape; None in a shape is an axis of any length."""
    dtype, shape = (
        given if isinstance(given, Sequence) and given and isinstance(given[0], str) else (None, given)
    )
    lengths = [shape] if isinstance(shape, int) else list(shape)
    return {"dtype": dtype, "shape": [-1 if length is None else length for length in lengths]}


def _dtype(given: Any) -> Any:
    """The wire's name of a dtype that numpy or the wire knows."""
    if given is None:
        return None
    try:
        name = np.dtype(given).name
    except TypeError:
        name = str(given)
    return NUMPY_NAMES.get(name.rstrip("0123456789") if name.startswith("str") else name, name)
