"""The Open Inference Protocol's messages of gRPC: typed contents, or raw ones of all tensors.

Fractions have no place among the parameters of the protocol itself: they come as texts, or as Triton's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from whybox_server.api.decode import Findings
from whybox_server.core.rows import Array
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
    texts_in,
    together,
)
from whybox_server.serving.remote.speech.oip import raw_of
from whybox_server.serving.remote.speech.oip_grpc import FIELDS, parameters_of
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

RAW = "raw_input_contents"


def from_message(message: pb.ModelInferRequest) -> InferRequest:
    """Raises InvalidRequest, with every violation."""
    found = Findings()
    raw: list[Any] = list(message.raw_input_contents)
    if raw and len(raw) != len(message.inputs):
        found.add(RAW, f"there are {len(raw)} for {len(message.inputs)} inputs; give them for all, in their order, or for none")
        raw = [b""] * len(message.inputs)
    inputs = []
    for number, one in enumerate(message.inputs):
        head = head_of(f"inputs[{number}]", one.name, one.datatype, list(one.shape), found)
        array = None if head is None else _array(head, one, raw[number] if raw else None, found)
        if head is not None and array is not None:
            inputs.append(InferInput(head.name, head.datatype, array))
    together(inputs, found)
    check_outputs((one.name for one in message.outputs), found)
    found.settle()
    return InferRequest(tuple(inputs), parameters_of(message), message.id, binary=bool(raw))


def to_message(response: InferResponse, *, raw: bool) -> pb.ModelInferResponse:
    """raw: where contents go; as they came in."""
    message = pb.ModelInferResponse(model_name=response.model, model_version=response.version, id=response.id)
    for output in response.outputs:
        one = message.outputs.add(name=output.name, datatype=output.datatype, shape=output.array.shape)
        for name, value in output.parameters.items():
            one.parameters[name].string_param = value
        if raw:
            message.raw_output_contents.append(bytes(raw_of(output.datatype, output.array)))
        else:
            getattr(one.contents, FIELDS[output.datatype]).extend(_elements(output))
    return message


def _elements(output: InferOutput) -> list[Any]:
    elements: list[Any] = output.array.ravel().tolist()
    return elements


def _array(head: Head, given: pb.InferTensor, raw: bytes | None, found: Findings) -> Array | None:
    place = f"{head.place}.contents"
    if raw is not None:
        if given.HasField("contents"):
            found.add(place, f"is given together with {RAW}; give one of them")
            return None
        return raw_in(head, raw, found)
    field = FIELDS.get(head.datatype)
    if field is None:
        found.add(place, f"{head.datatype} has no field in contents; send {RAW}, or send FP32")
        return None
    filled = [descriptor.name for descriptor, _ in given.contents.ListFields()]
    if filled != [field]:
        found.add(place, f"of {head.datatype} must hold {field}, and no more; got {', '.join(filled) or 'nothing'}")
        return None
    values = list(getattr(given.contents, field))
    return texts_in(head, values, found) if head.datatype == "BYTES" else _numbers(head, values, found)


def _numbers(head: Head, values: list[Any], found: Findings) -> Array | None:
    """Fields of 32 bits hold the integers of fewer, too."""
    whole = head.dtype.kind in "iu"
    wide = np.array(values, f"{head.dtype.kind}8" if whole else head.dtype)
    if whole:
        limits = np.iinfo(head.dtype)
        wrong = np.flatnonzero((wide < limits.min) | (wide > limits.max))
        if wrong.size:
            what = f"must be in [{limits.min}, {limits.max}] for {head.datatype}, got {values[wrong[0]]}"
            found.add(f"{head.place}.contents[{wrong[0]}]", what)
            return None
    return laid(head, wide.astype(head.dtype, copy=False), found)
