"""What TensorFlow Serving says of a model: signatures, the tensors they take, and how to ask for one.

REST and gRPC say the same in different words; here the words are read already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.graph.walk import Shape
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech.declaration import (
    declared_inputs,
    near,
    required_inputs,
)

# tensorflow.DataType by name; object stands for texts. bfloat16 has no name in numpy.
DTYPES: Mapping[str, np.dtype[Any]] = {
    "DT_FLOAT": np.dtype(np.float32),
    "DT_DOUBLE": np.dtype(np.float64),
    "DT_HALF": np.dtype(np.float16),
    "DT_INT8": np.dtype(np.int8),
    "DT_INT16": np.dtype(np.int16),
    "DT_INT32": np.dtype(np.int32),
    "DT_INT64": np.dtype(np.int64),
    "DT_UINT8": np.dtype(np.uint8),
    "DT_UINT16": np.dtype(np.uint16),
    "DT_UINT32": np.dtype(np.uint32),
    "DT_UINT64": np.dtype(np.uint64),
    "DT_BOOL": np.dtype(bool),
    "DT_STRING": np.dtype(object),
}
DEFAULT = "serving_default"
NO_PREDICTION = ("__saved_model_init_op",)  # signatures that every model has
LIKELY = ("probabilities", "probability", "scores", "predictions", "logits", "outputs", "output", "output_0")
UNKNOWN = "the server says nothing of the model beforehand"


@dataclass(frozen=True, slots=True)
class Tensor:
    """dtype: as tensorflow names it. shape: with the batch axis; None lengths are open, None is any rank."""

    dtype: str
    shape: Shape | None

    @property
    def batched(self) -> bool:
        return self.shape is None or (len(self.shape) > 0 and self.shape[0] is None)


@dataclass(frozen=True, slots=True)
class Signature:
    """One way to ask a model."""

    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def described(
    endpoint: Endpoint, speech: Speech, signatures: Mapping[str, Signature], version: str
) -> Described:
    """How to ask the model, of what its server says.

    Raises InvalidRequest for a signature, an output or an input that is not there or cannot be asked.
    """
    name = _signature_name(signatures)
    signature = signatures[name]
    output = _output_name(endpoint, signature)
    batched = all(tensor.batched for tensor in signature.inputs.values())
    by_row = batched and all(tensor.batched for tensor in signature.outputs.values())
    tensor = signature.outputs[output]
    labels_only = tensor.dtype == "DT_STRING"
    if labels_only and not endpoint.spec.labels:
        what = f"required, all of them: output {output!r} is text, and scores go by the labels' order"
        raise InvalidRequest.of("endpoint.spec.labels", what)
    return Described(
        speech.value,
        _inputs(endpoint, signature, batched=batched),
        output,
        batched=batched,
        columns=len(endpoint.spec.labels) if labels_only else _columns(tensor, batched=batched),
        labels=endpoint.spec.labels,
        version=version,
        notes=() if batched else ("the model's inputs have no batch axis: one row per call",),
        labels_only=labels_only,
        manner={"signature": name, "by": "row" if by_row else "column"},
    )


def undescribed(endpoint: Endpoint, speech: Speech, version: str) -> Described:
    """A model of which its server says nothing. Raises InvalidRequest if nothing was declared either."""
    return Described(
        speech.value,
        required_inputs(endpoint),
        endpoint.output or endpoint.spec.output,
        labels=endpoint.spec.labels,
        version=version,
        notes=(UNKNOWN,),
        manner={"signature": DEFAULT, "by": "row"},
    )


def no_model(endpoint: Endpoint) -> InvalidRequest:
    version = f" in version {endpoint.version!r}" if endpoint.version else ""
    return InvalidRequest.of("endpoint.model", f"the server has no model {endpoint.model!r}{version}")


def require_model(endpoint: Endpoint) -> None:
    if not endpoint.model:
        raise InvalidRequest.of(
            "endpoint.model", "required: TensorFlow Serving does not say which models it has"
        )


def _signature_name(signatures: Mapping[str, Signature]) -> str:
    if DEFAULT in signatures:
        return DEFAULT
    usable = [name for name in signatures if name not in NO_PREDICTION]
    if len(usable) != 1:
        what = f"has no signature {DEFAULT!r}; {near(DEFAULT, usable)} Export it with one of that name"
        raise InvalidRequest.of("endpoint.model", what)
    return usable[0]


def _output_name(endpoint: Endpoint, signature: Signature) -> str:
    wanted = endpoint.output or endpoint.spec.output
    if wanted and wanted not in signature.outputs:
        raise InvalidRequest.of("endpoint.output", f"no output {wanted!r}; {near(wanted, signature.outputs)}")
    if wanted or len(signature.outputs) == 1:
        return wanted or next(iter(signature.outputs))
    likely = [name for name in LIKELY if name in signature.outputs]
    if not likely:
        what = f"required: the model has {len(signature.outputs)} outputs; {near('', signature.outputs)}"
        raise InvalidRequest.of("endpoint.output", what)
    return likely[0]


def _inputs(endpoint: Endpoint, signature: Signature, *, batched: bool) -> tuple[RowInfo, ...]:
    """As declared where that was done, else as the server says."""
    declared = declared_inputs(endpoint) if endpoint.inputs else ()
    wrong = list(_input_faults(declared, signature))
    if wrong:
        raise InvalidRequest(wrong)
    return declared or tuple(
        RowInfo(name, DTYPES[tensor.dtype], _row_shape(tensor, batched=batched))
        for name, tensor in signature.inputs.items()
    )


def _input_faults(declared: tuple[RowInfo, ...], signature: Signature) -> Iterator[Violation]:
    for number, one in enumerate(declared):
        if one.name not in signature.inputs:
            hint = near(one.name, signature.inputs)
            yield Violation(f"endpoint.inputs[{number}].name", f"the model has no input {one.name!r}; {hint}")
    names = {one.name for one in declared}
    for name, tensor in signature.inputs.items():
        if declared and name not in names:
            yield Violation("endpoint.inputs", f"the model needs input {name[:64]!r} too")
        if tensor.dtype not in DTYPES:
            yield Violation("endpoint.model", f"input {name!r} is of a type that cannot be sent")


def _row_shape(tensor: Tensor, *, batched: bool) -> Shape:
    return () if tensor.shape is None else tensor.shape[int(batched) :]


def _columns(tensor: Tensor, *, batched: bool) -> int | None:
    """Scores per row, None if their number is open."""
    if tensor.shape is None:
        return None
    lengths = _row_shape(tensor, batched=batched)
    return None if None in lengths else prod(length or 1 for length in lengths)
