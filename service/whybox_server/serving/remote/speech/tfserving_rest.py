"""TensorFlow Serving over REST: `POST /v1/models/MODEL[/versions/V]:predict`, rows or columns.

Rows (`instances`) where every tensor counts rows, columns (`inputs`) where one does not. Texts of tensors
whose name ends in "_bytes" travel as {"b64": ...}.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described, Exchange, Refused
from whybox_server.serving.remote.speech import json_text
from whybox_server.serving.remote.speech.json_text import NOT_THERE, decoded, get, kind_of, post, segments
from whybox_server.serving.remote.speech.row_values import columns_of, count, each, rows_of
from whybox_server.serving.remote.speech.scores import Reading, scores_of
from whybox_server.serving.remote.speech.tf_signature import (
    DEFAULT,
    Signature,
    Tensor,
    described,
    no_model,
    require_model,
    undescribed,
)

BYTES = "_bytes"
WRONG_MODEL = ("servable not found", "could not find any versions")
AVAILABLE = "AVAILABLE"
REMEDY = "check the protocol, the model's name and `output`"

bytes_per_row = json_text.bytes_per_row


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that is not there, and for what it does not have."""
    require_model(endpoint)
    try:
        status = decoded((yield get(_path(endpoint))))
        metadata = decoded((yield get(f"{_path(endpoint)}/metadata")))
    except Refused as refused:
        if any(text in refused.text.lower() for text in WRONG_MODEL):
            raise no_model(endpoint) from refused
        if refused.status not in NOT_THERE:
            raise
        return undescribed(endpoint, Speech.TFSERVING_REST, endpoint.version)
    signatures = _signatures(metadata)
    if signatures is None:
        return undescribed(endpoint, Speech.TFSERVING_REST, endpoint.version)
    version = _version(status) or endpoint.version
    return described(endpoint, Speech.TFSERVING_REST, signatures, version)


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    if described.batched:
        return (yield from _ask(endpoint, described, rows))
    return (yield from each(rows, lambda one: _ask(endpoint, described, one)))


def _ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    """One call."""
    body: dict[str, Any] = {}
    if described.manner["signature"] != DEFAULT:
        body["signature_name"] = described.manner["signature"]
    if described.manner["by"] == "row":
        body["instances"] = rows_of(rows, _sent)
    else:
        columns = columns_of(rows, _sent)
        body["inputs"] = (
            columns if described.batched else {name: column[0] for name, column in columns.items()}
        )
    reply = decoded((yield post(f"{_path(endpoint)}:predict", body)))
    return _scores(reply, count(rows), endpoint, described)


def _scores(reply: Any, n: int, endpoint: Endpoint, described: Described) -> Array:
    """Whichever way the reply is written."""
    said = reply if isinstance(reply, dict) else {}
    key = next((key for key in ("predictions", "outputs") if key in said), "")
    if not key:
        raise ModelOutputInvalid(
            f"the reply is {kind_of(reply)}, without `predictions` or `outputs`; {REMEDY}"
        )
    found, output = said[key], described.output
    reading = Reading(f"`{key}`", REMEDY, endpoint.spec.labels, output)
    if key == "outputs" and isinstance(found, dict) and not _is_b64(found):
        if output not in found:
            raise reading.refuse(f"is {kind_of(found)}, without {output!r}")
        found, reading = found[output], Reading(f"`outputs.{output}`", REMEDY, endpoint.spec.labels)
    if key == "outputs" and not described.batched:
        found = [found]
    return scores_of(_received(found), n, reading)


def _path(endpoint: Endpoint) -> str:
    """A version is a number, or a label that the server's operator gave one."""
    kind = "versions" if endpoint.version.isdecimal() else "labels"
    version = segments(kind, endpoint.version) if endpoint.version else ""
    return f"/v1/models{segments(endpoint.model)}{version}"


def _sent(name: str, value: Any) -> Any:
    """A row's value as JSON may hold it; texts of any rank."""
    if not name.endswith(BYTES):
        return value
    if isinstance(value, list):
        return [_sent(name, one) for one in value]
    return {"b64": base64.b64encode(value.encode()).decode()} if isinstance(value, str) else value


def _received(found: Any) -> Any:
    """Rows, with texts that came as bytes read; anything that is none stays as it is."""
    if isinstance(found, list):
        return [_text(one) if _is_b64(one) else one for one in found]
    return found


def _is_b64(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"b64"} and isinstance(value["b64"], str)


def _text(value: Mapping[str, str]) -> str:
    try:
        return base64.b64decode(value["b64"], validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError) as error:
        raise ModelOutputInvalid(f"the reply has a text under b64 that is not in base64; {REMEDY}") from error


def _version(status: Any) -> str:
    """The newest version that answers."""
    found = status.get("model_version_status") if isinstance(status, dict) else None
    entries = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    ready = [str(one.get("version", "")) for one in entries if one.get("state") == AVAILABLE]
    return max((version for version in ready if version.isdecimal()), key=int, default="")


def _signatures(metadata: Any) -> dict[str, Signature] | None:
    """None if this is no metadata of TensorFlow Serving."""
    try:
        found = metadata["metadata"]["signature_def"]["signature_def"]
        return {
            name: Signature(_tensors(one.get("inputs")), _tensors(one.get("outputs")))
            for name, one in found.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _tensors(found: Any) -> dict[str, Tensor]:
    """proto3 JSON: what has its default may be missing, and 64-bit numbers are texts."""
    tensors = {}
    for name, one in (found or {}).items():
        shape = one.get("tensor_shape") or {}
        lengths = tuple(int(dim.get("size", 0)) for dim in shape.get("dim") or ())
        known = None if shape.get("unknown_rank") else tuple(None if n < 0 else n for n in lengths)
        tensors[name] = Tensor(str(one.get("dtype", "")), known)
    return tensors
