"""Open Inference Protocol over HTTP: `POST /v2/models/MODEL/infer`, tensors as JSON or behind it as raw bytes.

The binary extension is Triton's; Triton announces it, and KServe has it without saying so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Answer, Described, Exchange, HttpCall, Refused
from whybox_server.serving.remote.speech import json_text, oip_feeds
from whybox_server.serving.remote.speech.json_text import (
    HEADERS,
    NOT_THERE,
    decoded,
    encoded,
    get,
    kind_of,
    segments,
)
from whybox_server.serving.remote.speech.oip import Tensor, raw_of, values_of
from whybox_server.serving.remote.speech.oip_feeds import ID, datatype_of, feeds
from whybox_server.serving.remote.speech.oip_model import (
    Metadata,
    Says,
    check_there,
    chosen_model,
    described_by,
    says,
)
from whybox_server.serving.remote.speech.oip_scores import scores_of

SERVER = "/v2"
UNKNOWN_MODEL = 400  # Triton's way to say so
JSON_BYTES = "inference-header-content-length"  # how long the JSON part of a body is
BINARY_HEADERS: Mapping[str, str] = {"content-type": "application/octet-stream", "accept": "*/*"}
EXTENSION = "binary_tensor_data"
KSERVE_WITH_BINARY = (0, 14)
BINARY = "binary"  # of `Described.manner`
SYNTHETIC: Mapping[str, str | bool] = {"bias-ignore": "true"}  # TrustyAI's mark of rows that nobody sent


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that is not there, and for inputs nobody tells."""
    server = yield from _server()
    manner = {BINARY: "yes"} if _speaks_binary(server) else {}
    model = endpoint.model or chosen_model((yield from _models()))
    try:
        said = decoded((yield get(_path(model, endpoint.version))))
    except Refused as refused:
        if refused.status not in (UNKNOWN_MODEL, *NOT_THERE):
            raise
        check_there(model, (yield from _models()) if server else None)
        if not endpoint.inputs or refused.status == UNKNOWN_MODEL:
            raise
        return described_by(endpoint, Speech.OIP_REST, model, None, manner)
    return described_by(endpoint, Speech.OIP_REST, model, metadata_of(said), manner)


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    path = f"{_path(described.manner['model'], endpoint.version)}/infer"
    parts = []
    for feed in feeds(described, rows):
        answer = yield _call(path, described, feed.arrays)
        parts.append(scores_of(endpoint, described, outputs_of(answer), feed.sent)[: feed.counted])
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def bytes_per_row(described: Described, rows: Mapping[str, Array]) -> int:
    if BINARY not in described.manner:
        return json_text.bytes_per_row(described, rows)
    return oip_feeds.bytes_per_row(described, rows)


def metadata_of(said: Any) -> Metadata:
    """Raises ModelOutputInvalid for metadata of another protocol."""
    if not isinstance(said, dict) or not ({"inputs", "outputs", "platform", "versions"} & said.keys()):
        raise ModelOutputInvalid(
            f"the model's metadata are {kind_of(said)}, not those of the Open Inference Protocol"
        )
    versions = said.get("versions")
    parameters = said.get("parameters")
    return Metadata(
        _all(said.get("inputs")),
        _all(said.get("outputs")),
        tuple(map(str, versions)) if isinstance(versions, list) else (),
        parameters if isinstance(parameters, dict) else {},
    )


def outputs_of(answer: Answer) -> list[Tensor]:
    """Of a reply, in its order. Raises ModelOutputInvalid."""
    head, raw = _split(answer)
    said = decoded(Answer(head, answer.headers, answer.status))
    outputs = said.get("outputs") if isinstance(said, dict) else None
    if not isinstance(outputs, list):
        raise ModelOutputInvalid(
            f"the reply is {kind_of(said)}, without a list of outputs; check the protocol"
        )
    found, at = [], 0
    for entry in outputs:
        tensor, used = _output(entry, raw[at:])
        at += used
        found.append(tensor)
    return found


def _call(path: str, described: Described, feed: Mapping[str, Array]) -> HttpCall:
    binary = BINARY in described.manner
    raw: list[bytes | memoryview] = []
    inputs = []
    for name, array in feed.items():
        datatype = datatype_of(described, name, array)
        tensor: dict[str, Any] = {"name": name, "shape": list(array.shape), "datatype": datatype}
        if binary:
            raw.append(raw_of(datatype, array))
            tensor["parameters"] = {**SYNTHETIC, "binary_data_size": len(raw[-1])}
        else:
            tensor |= {"parameters": dict(SYNTHETIC), "data": values_of(datatype, array)}
        inputs.append(tensor)
    head = encoded({"id": ID, "inputs": inputs, **_wanted(described.output, binary=binary)})
    if not binary:
        return HttpCall("POST", path, head, HEADERS, asks=True)
    headers = {**BINARY_HEADERS, JSON_BYTES: str(len(head))}
    return HttpCall("POST", path, b"".join([head, *raw]), headers, asks=True)


def _wanted(output: str, *, binary: bool) -> dict[str, Any]:
    if not output:
        return {"parameters": {"binary_data_output": True}} if binary else {}
    return {"outputs": [{"name": output, **({"parameters": {"binary_data": True}} if binary else {})}]}


def _split(answer: Answer) -> tuple[bytes, bytes]:
    """The JSON of a reply, and what comes behind it."""
    length = answer.headers.get(JSON_BYTES, "")
    if not length:
        return answer.body, b""
    if not length.isdecimal() or len(length) > 12 or int(length) > len(answer.body):
        raise ModelOutputInvalid(f"the reply's {JSON_BYTES} is not the length of a part of it")
    return answer.body[: int(length)], answer.body[int(length) :]


def _output(entry: Any, rest: bytes) -> tuple[Tensor, int]:
    """A tensor, and how many bytes of `rest` are its own."""
    given = entry if isinstance(entry, dict) else {}
    said = says(given.get("name"), given.get("datatype"), given.get("shape"), given.get("parameters"))
    shape = tuple(-1 if length is None else length for length in said.shape)
    if "data" in given:
        return Tensor(said.name, said.datatype, shape, values=given["data"]), 0
    size = said.parameters.get("binary_data_size")
    if type(size) is not int or not 0 <= size <= len(rest):
        raise ModelOutputInvalid("the reply has an output with neither data nor as many bytes as it claims")
    return Tensor(said.name, said.datatype, shape, raw=rest[:size]), size


def _all(entries: Any) -> tuple[Says, ...]:
    found = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    return tuple(says(e.get("name"), e.get("datatype"), e.get("shape"), e.get("parameters")) for e in found)


def _path(model: str, version: str = "") -> str:
    return segments("v2", "models", model, *(("versions", version) if version else ()))


def _server() -> Exchange[Mapping[str, Any]]:
    """What the server says of itself; nothing, if a gateway lets only models through."""
    try:
        said = decoded((yield get(SERVER)))
    except (Refused, ModelOutputInvalid):
        return {}
    return said if isinstance(said, dict) else {}


def _speaks_binary(server: Mapping[str, Any]) -> bool:
    extensions, version = server.get("extensions"), str(server.get("version")).split(".")
    if isinstance(extensions, Sequence) and EXTENSION in extensions:
        return True
    numbers = tuple(int(part) for part in version[:2] if part.isdecimal() and len(part) < 5)
    return server.get("name") == "kserve" and numbers >= KSERVE_WITH_BINARY


def _models() -> Exchange[list[str] | None]:
    """Names of all models, KServe's way or Triton's and MLServer's; None if the server does not say."""
    for call in (get(f"{SERVER}/models"), HttpCall("POST", f"{SERVER}/repository/index", b"{}", HEADERS)):
        try:
            said = decoded((yield call))
        except (Refused, ModelOutputInvalid):
            continue
        found = said.get("models") if isinstance(said, dict) else said
        if isinstance(found, list):
            names = [one.get("name") if isinstance(one, dict) else one for one in found]
            return [name for name in names if isinstance(name, str)]
    return None
