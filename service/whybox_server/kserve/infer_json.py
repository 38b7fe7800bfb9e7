"""The Open Inference Protocol's JSON, and the raw bytes that may lie behind it.

The binary extension is Triton's: a header says how long the JSON is, `binary_data_size` of each tensor how many
of the bytes behind it are its own, in the order of the tensors. Null stands for what is not there, as in the
requests that clients with typed models make.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from whybox_server.api.decode import Findings
from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.http.decode import BODY, parse
from whybox_server.http.encode import JSON
from whybox_server.http.request import OCTETS
from whybox_server.http.tensors import array_in
from whybox_server.kserve.infer import (
    Head,
    InferInput,
    InferOutput,
    InferRequest,
    InferResponse,
    check_outputs,
    head_of,
    laid,
    raw_in,
    together,
    unknown,
)
from whybox_server.serving.remote.speech.oip import raw_of, values_of
from whybox_server.serving.remote.speech.oip_rest import JSON_BYTES

REQUEST = ("id", "parameters", "inputs", "outputs", "model_name", "model_version")
INPUT = ("name", "shape", "datatype", "parameters", "data")
OUTPUT = ("name", "parameters")
SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"
MOST_DIGITS = 12


def from_body(body: bytes, json_bytes: str | None) -> InferRequest:
    """json_bytes: the header's value, None where there is none. Raises InvalidRequest, with every violation."""
    text, raw = _split(body, json_bytes)
    found = Findings()
    said = _object(parse(text), BODY, REQUEST, found)
    parameters = _object(said.get("parameters"), "parameters", None, found)
    inputs = _inputs(said.get("inputs"), raw, found)
    together(inputs, found)
    request = InferRequest(
        tuple(inputs),
        {name: value for name, value in parameters.items() if name != ALL_BINARY},
        _id(said.get("id"), found),
        _wants_binary(said.get("outputs"), parameters.get(ALL_BINARY) is True, found),
    )
    found.settle()
    return request


def to_body(response: InferResponse, *, binary: bool) -> tuple[bytes, dict[str, str]]:
    """A body, and the headers that say what it is."""
    raw = [raw_of(one.datatype, one.array) for one in response.outputs] if binary else []
    outputs = [_written(one, raw[number] if binary else None) for number, one in enumerate(response.outputs)]
    version = {"model_version": response.version} if response.version else {}
    said = msgspec.json.encode({"model_name": response.model, **version, "id": response.id, "outputs": outputs})
    if not binary:
        return said, {"content-type": JSON}
    return b"".join([said, *raw]), {"content-type": OCTETS, JSON_BYTES: str(len(said))}


def _split(body: bytes, json_bytes: str | None) -> tuple[bytes, bytes]:
    """The JSON, and what comes behind it."""
    if json_bytes is None:
        return body, b""
    if not (json_bytes.isascii() and json_bytes.isdecimal() and len(json_bytes) <= MOST_DIGITS):
        raise InvalidRequest.of(JSON_BYTES, "must be the length of the JSON in bytes")
    if int(json_bytes) > len(body):
        raise InvalidRequest.of(JSON_BYTES, f"the body has {len(body)} bytes")
    return body[: int(json_bytes)], body[int(json_bytes) :]


def _inputs(given: Any, raw: bytes, found: Findings) -> list[InferInput]:
    if not isinstance(given, list):
        found.add("inputs", "required: a list of tensors, each with name, shape, datatype and data")
        return []
    inputs, at = [], 0
    for number, entry in enumerate(given):
        place = f"inputs[{number}]"
        said = _object(entry, place, INPUT, found)
        parameters = _object(said.get("parameters"), f"{place}.parameters", None, found)
        size = _size(parameters.get(SIZE), len(raw) - at, f"{place}.parameters.{SIZE}", found)
        head = head_of(place, said.get("name"), said.get("datatype"), said.get("shape"), found)
        part = None if size is None else raw[at : at + size]
        array = None if head is None else _array(head, said.get("data"), part, found)
        if head is not None and array is not None:
            inputs.append(InferInput(head.name, head.datatype, array))
        at += size or 0
    if at != len(raw) and not found.violations:
        found.add(BODY, f"{len(raw) - at} bytes behind the JSON belong to no input; {SIZE} of each says how many do")
    return inputs


def _size(given: Any, left: int, place: str, found: Findings) -> int | None:
    """How many raw bytes an input has; None if it has its data in the JSON."""
    if given is None:
        return None
    if type(given) is not int or not 0 <= given <= left:
        hint = f"say how long the JSON is in the header {JSON_BYTES}" if not left else f"{left} bytes are left"
        found.add(place, f"must be how many bytes behind the JSON are this input's; {hint}")
        return 0
    return given


def _array(head: Head, data: Any, raw: bytes | None, found: Findings) -> Array | None:
    place = f"{head.place}.data"
    if raw is not None:
        if data is not None:
            found.add(place, f"is given together with {SIZE}; give one of them")
            return None
        return raw_in(head, raw, found)
    if head.datatype == "FP16":
        found.add(place, f"FP16 has no form in JSON; send it as raw bytes with {SIZE}, or send FP32")
    elif not isinstance(data, list):
        found.add(place, f"required: a list, flat or nested as the shape is, or {SIZE} in parameters")
    else:
        array = array_in(data, head.dtype, place, found)
        return None if array is None else laid(head, array, found)
    return None


def _wants_binary(outputs: Any, otherwise: bool, found: Findings) -> bool:
    """What an output says of itself goes before what the request says of all."""
    if outputs is None:
        return otherwise
    if not isinstance(outputs, list):
        found.add("outputs", "must be a list of objects with a name")
        return otherwise
    said = [_object(entry, f"outputs[{number}]", OUTPUT, found) for number, entry in enumerate(outputs)]
    check_outputs((one.get("name") for one in said), found)
    own = [_object(one.get("parameters"), f"outputs[{n}].parameters", None, found) for n, one in enumerate(said)]
    return next((one[BINARY] for one in own if isinstance(one.get(BINARY), bool)), otherwise)


def _object(given: Any, place: str, known: Collection[str] | None, found: Findings) -> dict[str, Any]:
    """An object's keys; what is null is not there. known: keys there are, None for any."""
    if given is None and known is None:
        return {}
    if not isinstance(given, dict):
        found.add(place, "must be an object")
        return {}
    for key in given:
        if known is not None and key not in known:
            found.add(key[:60] if place == BODY else f"{place}.{key[:60]}", unknown(key, known))
    return {key: value for key, value in given.items() if value is not None}


def _id(given: Any, found: Findings) -> str:
    if given is not None and not isinstance(given, str):
        found.add("id", "must be a text")
    return given if isinstance(given, str) else ""


def _written(output: InferOutput, raw: bytes | memoryview | None) -> dict[str, Any]:
    said = {"name": output.name, "shape": list(output.array.shape), "datatype": output.datatype}
    if raw is None:
        return {**said, "parameters": dict(output.parameters), "data": values_of(output.datatype, output.array)}
    return {**said, "parameters": {**output.parameters, SIZE: len(raw)}}
