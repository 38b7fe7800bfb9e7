"""`whybox endpoints` and `whybox probe`, and the endpoint that the flags of a command mean."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from whybox.cli.connect import connect
from whybox.cli.tables import columns, tensors, wrapped
from whybox.endpoint import PREFIX, Endpoint
from whybox.errors import invalid
from whybox.inputs import instance

FIELD = "--endpoint-option"


def endpoints(arguments: argparse.Namespace) -> int:
    """One line per endpoint."""
    with connect(arguments) as client:
        found = client.endpoints.list(timeout=arguments.timeout)
    if not found:
        print("no endpoints; name a file with --endpoints, or pass a URL to `whybox explain --endpoint`")
        return 0
    rows = [(one.name, one.protocol, one.message.model, one.message.version, one.url) for one in found]
    print("\n".join(columns([("name", "protocol", "model", "version", "url"), *rows])))
    return 0


def probe(arguments: argparse.Namespace) -> int:
    """What an endpoint says of itself, and whether it says the same again. Returns 1 if it does not."""
    row = None if arguments.input is None else instance(Path(arguments.input), "--input")
    endpoint = asked_endpoint(arguments)
    with connect(arguments) as client:
        found = client.endpoints.probe(endpoint, row, timeout=arguments.timeout)
    about = (
        ("protocol", found.protocol),
        ("version", found.version or "it does not say"),
        ("inputs", tensors(found.inputs)),
        ("labels", ", ".join(found.spec.labels)),
        ("calls", str(found.calls)),
        ("same again", found.determinism),
    )
    print("\n".join(columns(about)))
    for note in (*found.guesses, *found.notes):
        print(wrapped(f"note: {note}", "  "))
    return 0 if found.deterministic else 1


def asked_model(arguments: argparse.Namespace) -> str | Endpoint:
    """The model that --model or --endpoint names. Raises ExplainError."""
    if arguments.endpoint is not None:
        return asked_endpoint(arguments)
    if arguments.endpoint_option:
        raise invalid(FIELD, "belongs to --endpoint")
    model: str = arguments.model
    return model


def asked_endpoint(arguments: argparse.Namespace) -> str | Endpoint:
    """The name that a server knows, or an endpoint declared here. Raises ExplainError."""
    where: str = arguments.endpoint
    if where.startswith(PREFIX):
        if arguments.endpoint_option:
            raise invalid(FIELD, f"{where} is declared already; options are for a URL")
        return where
    return Endpoint(where, **options(arguments.endpoint_option))


def options(pairs: Iterable[str]) -> dict[str, Any]:
    """Options by name from K=V as typed: JSON where it is JSON and no text is meant, else the text itself."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise invalid(FIELD, f"must be written NAME=VALUE, got {pair!r}")
        found[name] = text if name in TEXTS else _value(text)
    return found


TEXTS = ("protocol", "model", "version", "revision", "output", "credential", "gradient_model", "currency")


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
