"""Any JSON over HTTP: a request template and JMESPaths into the reply, declared and checked beforehand.

Nothing of a mapping is code: a template is JSON with placeholders, and a path only selects.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Any

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.core.rows import Array
from whybox_server.core.spec import TabularSpec
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, JsonMapping, Speech
from whybox_server.serving.remote.exchange import Described, Exchange, HttpCall
from whybox_server.serving.remote.speech import json_text, template
from whybox_server.serving.remote.speech.declaration import required_inputs
from whybox_server.serving.remote.speech.json_text import HEADERS, decoded, encoded
from whybox_server.serving.remote.speech.paths import path_fault, read
from whybox_server.serving.remote.speech.row_values import columns_of, count, each, records_of, rows_of

METHODS = ("POST", "PUT")
DEFAULT = JsonMapping()

bytes_per_row = json_text.bytes_per_row


def check_mapping(mapping: JsonMapping) -> list[Violation]:
    """What is wrong with a mapping by itself; fields are its own."""
    wrong = [
        Violation("request", said)
        for said in template.faults(mapping.request, one_row=mapping.one_row_per_call)
    ]
    for name in ("scores", "labels"):
        said = path_fault(getattr(mapping, name))
        wrong += [Violation(name, said)] if said else []
    if mapping.method not in METHODS:
        wrong.append(Violation("method", f"must be {' or '.join(METHODS)}, got {mapping.method[:20]!r}"))
    return wrong


def check_endpoint(endpoint: Endpoint) -> list[Violation]:
    """What is wrong with a mapping for what the endpoint declares; fields are those of the endpoint."""
    mapping = endpoint.json or DEFAULT
    wrong = [Violation(f"json.{one.field}", one.description) for one in check_mapping(mapping)]
    if wrong:
        return wrong
    if mapping.labels and not endpoint.spec.labels:
        what = "required, all of them: the endpoint answers with labels, and scores go by their order"
        wrong.append(Violation("spec.labels", what))
    if template.placeholders(mapping.request) & set(template.BY_COLUMN):
        wrong += _column_faults(endpoint, required_inputs(endpoint))
    return wrong


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Asks nothing: such an endpoint has no metadata. Raises InvalidRequest for what does not fit."""
    inputs, mapping = required_inputs(endpoint), endpoint.json or DEFAULT
    wrong = check_endpoint(endpoint)
    if wrong:
        raise InvalidRequest([Violation(f"endpoint.{one.field}", one.description) for one in wrong])
    yield from ()
    return Described(
        Speech.JSON.value,
        inputs,
        endpoint.output or endpoint.spec.output,
        batched=not mapping.one_row_per_call,
        columns=len(endpoint.spec.labels) if mapping.labels else None,
        labels=endpoint.spec.labels,
        labels_only=not mapping.scores_path,
        version=endpoint.version,
    )


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    if described.batched:
        return (yield from _ask(endpoint, described, rows))
    return (yield from each(rows, lambda one: _ask(endpoint, described, one)))


def _ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    """One call."""
    mapping = endpoint.json or DEFAULT
    body = encoded(template.filled(mapping.request, _values(endpoint, mapping, rows)))
    answer = yield HttpCall(mapping.method, "", body, HEADERS, asks=True)
    return read(mapping, decoded(answer), count(rows), described)


def _values(endpoint: Endpoint, mapping: JsonMapping, rows: Mapping[str, Array]) -> dict[str, Any]:
    """What the placeholders that the template uses stand for."""
    used = template.placeholders(mapping.request)
    values: dict[str, Any] = {}
    if used & {"$rows", "$row"}:
        values["$rows"] = rows_of(rows)
        values["$row"] = values["$rows"][0]
    if used & set(template.BY_COLUMN):
        values["$records"] = records_of(rows, _column_names(endpoint))
        values["$record"] = values["$records"][0]
    if "$inputs" in used:
        values["$inputs"] = columns_of(rows)
    return values


def _column_names(endpoint: Endpoint) -> tuple[str, ...]:
    details = endpoint.spec.details
    return details.feature_names if isinstance(details, TabularSpec) else ()


def _column_faults(endpoint: Endpoint, inputs: tuple[RowInfo, ...]) -> list[Violation]:
    names = _column_names(endpoint)
    if not names:
        what = "required: $records are rows by column name"
        return [Violation("spec.tabular.feature_names", what)]
    lengths = [length for one in inputs for length in one.shape]
    wanted = None if None in lengths else sum(prod(length or 1 for length in one.shape) for one in inputs)
    if wanted is not None and wanted != len(names):
        return [Violation("spec.tabular.feature_names", f"{len(names)} names for rows of {wanted} values")]
    return []
