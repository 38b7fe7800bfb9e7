"""`endpoints.yaml`: the endpoints and credentials that an operator declares.

Keys are those of `whybox.v1.Endpoint`; a spec's are those of whybox.yaml. A key nobody knows is an
error with the nearest known one. Secrets are not here: a credential says where to find one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

import numpy as np
import yaml

from whybox_server.core.spec import ModelSpec
from whybox_server.serving.onnx.described import DescriptionError, mapping, number, spec_of, text, texts
from whybox_server.serving.onnx.folder import background
from whybox_server.serving.remote.check import violations
from whybox_server.serving.remote.endpoint import (
    Credential,
    Endpoint,
    Input,
    JsonMapping,
    Limits,
    Price,
    Speech,
    Tls,
)
from whybox_server.serving.remote.transport.credentials import goes_to
from whybox_server.serving.remote.transport.place import place_of

T = TypeVar("T")

PREFIX = "endpoints/"
WORDS = ("url", "model", "version", "revision", "output", "gradient_model")
KEYS = (
    *WORDS,
    *("protocol", "inputs", "spec", "headers", "forward", "credential", "limits", "price", "json", "tls"),
)
DTYPES = (
    "bool",
    "float16",
    "float32",
    "float64",
    "string",
    *(f"{u}int{b}" for u in ("", "u") for b in (8, 16, 32, 64)),
)


Entries: TypeAlias = Mapping[str, Mapping[str, Any]]  # of a file, by name
NOTHING: Entries = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Declared:
    """What a file declares: endpoints by full name ("endpoints/NAME"), credentials by name."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    credentials: Mapping[str, Credential] = field(default_factory=dict)


def read(path: Path, under: Entries = NOTHING) -> Declared:
    """Raises DescriptionError, naming the file, for one that cannot be read or says something wrong."""
    try:
        return parse(path.read_text("utf-8"), path.parent, under)
    except (OSError, UnicodeDecodeError, DescriptionError) as error:
        raise DescriptionError(f"{path}: {error}") from error


def parse(content: str, folder: Path, under: Entries = NOTHING) -> Declared:
    """folder: where backgrounds, certificates and secrets with relative paths lie. under: entries of endpoints
    that are known from elsewhere, which the file may add to. Raises DescriptionError.
    """
    try:
        given = yaml.safe_load(content)
    except yaml.YAMLError as error:
        raise DescriptionError(f"is no YAML: {' '.join(str(error).split())}") from error
    top = mapping("the file", given or {}, ("credentials", "endpoints"))
    credentials = {
        name: _credential(f"credentials.{name}", name, one, folder)
        for name, one in _named("credentials", top.get("credentials"))
    }
    endpoints = {
        f"{PREFIX}{name}": _endpoint(f"endpoints.{name}", name, one, credentials, folder)
        for name, one in laid_over(under, dict(_named("endpoints", top.get("endpoints")))).items()
    }
    return Declared(endpoints, credentials)


def laid_over(under: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both say something, `given` wins, in what belongs together key by key."""
    found = {**under, **given}
    for key in under.keys() & given.keys():
        if isinstance(under[key], Mapping) and isinstance(given[key], Mapping):
            found[key] = laid_over(under[key], given[key])
    return found


def _named(where: str, given: Any) -> Iterable[tuple[str, Any]]:
    if given is None:
        return ()
    if not isinstance(given, dict) or not all(isinstance(name, str) and name for name in given):
        raise DescriptionError(
            f"{where} must map names to what they stand for; put names that are numbers in quotes"
        )
    return given.items()


def _credential(where: str, name: str, given: Any, folder: Path) -> Credential:
    keys = mapping(where, given, ("file", "env", "header", "prefix", "hosts"))
    words = ("file", "env", "header", "prefix")
    said = {key: text(f"{where}.{key}", keys[key]) for key in words if key in keys}
    if ("file" in said) == ("env" in said):
        raise DescriptionError(f"{where} needs either file or env: a secret itself has no place here")
    if "file" in said:
        said["file"] = str(folder / said["file"])
    return Credential(
        **said, name=name, hosts=tuple(map(str.lower, texts(f"{where}.hosts", keys.get("hosts"))))
    )


def _endpoint(
    where: str, name: str, given: Any, credentials: Mapping[str, Credential], folder: Path
) -> Endpoint:
    keys = mapping(where, given, KEYS)
    words: dict[str, Any] = {key: text(f"{where}.{key}", keys.get(key, "")) for key in WORDS}
    endpoint = Endpoint(
        **words,
        name=f"{PREFIX}{name}",
        speech=_speech(f"{where}.protocol", keys.get("protocol", Speech.AUTO.value)),
        inputs=tuple(
            _input(f"{where}.inputs[{n}]", one) for n, one in enumerate(_list(f"{where}.inputs", keys))
        ),
        spec=_spec(f"{where}.spec", keys.get("spec"), folder),
        headers=_texts_by_name(f"{where}.headers", keys.get("headers")),
        forward=tuple(name.lower() for name in texts(f"{where}.forward", keys.get("forward"))),
        limits=_numbers(f"{where}.limits", keys.get("limits"), Limits()),
        price=_price(f"{where}.price", keys.get("price")),
        json=_mapping(f"{where}.json", keys["json"]) if "json" in keys else None,
        tls=_tls(f"{where}.tls", keys.get("tls"), folder),
        trusted=True,
    )
    wrong = violations(endpoint, where)
    if wrong:
        raise DescriptionError("; ".join(f"{one.field}: {one.description}" for one in wrong))
    if "credential" not in keys:
        return endpoint
    return replace(
        endpoint,
        credential=_referred(where, text(f"{where}.credential", keys["credential"]), endpoint, credentials),
    )


def _referred(where: str, name: str, endpoint: Endpoint, credentials: Mapping[str, Credential]) -> Credential:
    """The credential that the operator gave this endpoint; it goes nowhere but to the endpoint's own host."""
    known = ", ".join(credentials) or "none"
    if name not in credentials:
        raise DescriptionError(f"{where}.credential: no credential {name!r}; declared are {known}")
    found, place = credentials[name], place_of(endpoint.url)
    if not goes_to(found, place, trusted=True):
        raise DescriptionError(
            f"{where}.credential: {name!r} is for {', '.join(found.hosts)}, not for {place.host}"
        )
    return replace(found, hosts=found.hosts or (place.host,))


def _speech(where: str, given: Any) -> Speech:
    known = [one.value for one in Speech]
    if given not in known:
        raise DescriptionError(f"{where} must be one of {', '.join(known)}, got {given!r}")
    return Speech(given)


def _list(where: str, keys: Mapping[str, Any]) -> list[Any]:
    given = keys.get("inputs") or []
    if not isinstance(given, list):
        raise DescriptionError(f"{where} must be a list of inputs")
    return given


def _input(where: str, given: Any) -> Input:
    keys = mapping(where, given, ("name", "dtype", "shape"))
    dtype = text(f"{where}.dtype", keys.get("dtype", "float32"))
    if dtype not in DTYPES:
        raise DescriptionError(f"{where}.dtype must be one of {', '.join(DTYPES)}, got {dtype!r}")
    shape = keys.get("shape") or []
    if not isinstance(shape, list) or not all(isinstance(length, int) for length in shape):
        raise DescriptionError(f"{where}.shape must be a list of lengths, -1 for any, got {shape!r}")
    lengths = tuple(None if length < 0 else length for length in shape)
    return Input(
        text(f"{where}.name", keys.get("name", "")),
        "object" if dtype == "string" else np.dtype(dtype).name,
        lengths,
    )


def _spec(where: str, given: Any, folder: Path) -> ModelSpec:
    try:
        return spec_of(given, partial(background, folder, folder))
    except DescriptionError as error:
        raise DescriptionError(f"{where}: {error}") from error


def _texts_by_name(where: str, given: Any) -> dict[str, str]:
    return {name: text(f"{where}.{name}", value) for name, value in _named(where, given)}


def _numbers(where: str, given: Any, defaults: T) -> T:
    """A dataclass of numbers; whole ones where the default is whole."""
    known: dict[str, Any] = {one.name: getattr(defaults, one.name) for one in fields(defaults)}  # type: ignore[arg-type]
    found = {
        key: number(f"{where}.{key}", value)
        for key, value in mapping(where, given or {}, tuple(known)).items()
    }
    for key, value in found.items():
        if isinstance(known[key], int) and value != int(value):
            raise DescriptionError(f"{where}.{key} must be a whole number, got {value}")
    return replace(defaults, **{key: type(known[key])(value) for key, value in found.items()})  # type: ignore[type-var]


def _price(where: str, given: Any) -> Price:
    keys = mapping(where, given or {}, ("per_call", "per_row", "currency"))
    numbers = {key: number(f"{where}.{key}", keys[key]) for key in ("per_call", "per_row") if key in keys}
    return Price(**numbers, currency=text(f"{where}.currency", keys.get("currency", "")))


def _mapping(where: str, given: Any) -> JsonMapping:
    """The request may be written as YAML, which is easier on the eye than JSON in a text."""
    keys = dict(mapping(where, given, ("request", "scores", "labels", "one_row_per_call", "method")))
    if "request" in keys and not isinstance(keys["request"], str):
        keys["request"] = json.dumps(keys["request"])
    if not isinstance(keys.get("one_row_per_call", False), bool):
        raise DescriptionError(f"{where}.one_row_per_call must be true or false")
    said: dict[str, Any] = {
        key: text(f"{where}.{key}", value) for key, value in keys.items() if key != "one_row_per_call"
    }
    return JsonMapping(**said, one_row_per_call=keys.get("one_row_per_call", False))


def _tls(where: str, given: Any, folder: Path) -> Tls:
    keys = mapping(where, given or {}, ("ca", "cert", "key"))
    paths = {key: folder / text(f"{where}.{key}", value) for key, value in keys.items()}
    for key, path in paths.items():
        if not path.is_file():
            raise DescriptionError(f"{where}.{key}: {path} is not a file")
    return Tls(**{key: str(path) for key, path in paths.items()})
