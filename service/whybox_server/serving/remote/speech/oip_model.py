"""What a server of the Open Inference Protocol says of a model, and what follows for asking it.

Servers differ: Triton says everything and marks the axis of rows with -1, MLServer and KServe say what
their operator wrote down, often nothing. What was declared goes before what the server says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from whybox_server.core.errors import InvalidRequest, ModelOutputInvalid
from whybox_server.core.spec import BatchAxis, ScoreKind
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.signature import RowInfo, Signature, TensorInfo
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech.declaration import NAME, near, required_inputs
from whybox_server.serving.remote.speech.oip import DATATYPES, DTYPES, SHOWN
from whybox_server.serving.remote.speech.oip_feeds import NO_AXIS

LABEL_KEYS = ("labels", "classes", "class_names")
SCORE_WORDS = ("prob", "score", "logit", "softmax")  # in names of outputs
MOST_LABELS = 100_000
LONGEST_NAME = 256  # of what a server may call things
SILENT = "the server says nothing of the model beforehand"


@dataclass(frozen=True, slots=True)
class Says:
    """An input or output, batch axis included; None for an axis of any length."""

    name: str
    datatype: str
    shape: tuple[int | None, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Everything may be missing. parameters: MLServer's."""

    inputs: tuple[Says, ...] = ()
    outputs: tuple[Says, ...] = ()
    versions: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)


def says(name: Any, datatype: Any, shape: Any, parameters: Any = None) -> Says:
    """One entry of metadata. Raises ModelOutputInvalid for one that is not written as it must be."""
    written = isinstance(shape, list) and all(type(length) is int for length in shape)
    if not isinstance(name, str) or len(name) > LONGEST_NAME or not written:
        raise ModelOutputInvalid(
            "the server's metadata have an input or output without a short name or a shape of numbers"
        )
    known = datatype if isinstance(datatype, str) else ""
    given = parameters if isinstance(parameters, Mapping) else {}
    return Says(name, known, tuple(None if length < 0 else length for length in shape), given)


def described_by(
    endpoint: Endpoint, speech: Speech, model: str, metadata: Metadata | None, manner: Mapping[str, str]
) -> Described:
    """What `ask` needs to know, and what the reader should. metadata: None if the server says nothing.

    manner: words of the protocol's own; "model", "rows" and "datatype:INPUT" come here.
    Raises InvalidRequest for what must be declared, ModelOutputInvalid for metadata that cannot be meant.
    """
    silent = SILENT if metadata is None else ""
    metadata = metadata or Metadata()
    inputs = _inputs(endpoint, metadata)
    signature, said_of_axis = _axis(endpoint, metadata)
    output, said_of_output = _output(endpoint, metadata.outputs)
    found = next((one for one in metadata.outputs if one.name == output), None)
    version, said_of_version = _version(endpoint, metadata)
    columns = _columns(found, signature.batch)
    datatypes = {f"datatype:{one.name}": datatype for one, datatype in inputs}
    return Described(
        speech.value,
        tuple(one for one, _ in inputs),
        output,
        batched=signature.batch is BatchAxis.DYNAMIC or (signature.rows or 1) > 1,
        columns=columns,
        labels=endpoint.spec.labels or _labels(found, metadata, columns),
        labels_only=_says_labels(endpoint, found, columns),
        version=version,
        notes=tuple(filter(None, (silent, said_of_axis, said_of_output, said_of_version))),
        manner={**manner, "model": model, **datatypes, **_rows(signature)},
    )


def chosen_model(names: Sequence[str] | None) -> str:
    """The model of a server that has one, where nobody said which. names: None if it does not say.

    Raises InvalidRequest if there is a choice.
    """
    if names is None or len(names) != 1:
        has = "does not say which it has" if names is None else f"has {len(names)}; {near('', names)}"
        raise InvalidRequest.of("endpoint.model", f"required: the server {has}")
    return names[0]


def check_there(model: str, names: Sequence[str] | None) -> None:
    """Raises InvalidRequest if the server lists its models and this one is not among them."""
    if names is not None and model not in names:
        raise InvalidRequest.of("endpoint.model", f"the server has no model {model!r}; {near(model, names)}")


def best(outputs: Sequence[Says]) -> Says | None:
    """The output that holds scores, as far as one can tell: fractions before labels, and of those a telling name."""
    real = [one for one in outputs if one.datatype in DTYPES]
    scores = [one for one in real if DTYPES[one.datatype].kind == "f"]
    named = [one for one in scores if any(word in one.name.lower() for word in SCORE_WORDS)]
    return next(iter([*named, *scores, *real]), None)


def is_label(endpoint: Endpoint, dtype: np.dtype[Any], columns: int | None) -> bool:
    """Whether an output says which class it is in place of scores: a text, or one whole number that is no value."""
    whole = dtype.kind in "iub" and columns == 1 and endpoint.spec.score is not ScoreKind.VALUE
    return dtype.kind == "O" or whole


def _inputs(endpoint: Endpoint, metadata: Metadata) -> list[tuple[RowInfo, str]]:
    """One row of each input, and its datatype on the wire."""
    wire = {one.name: one.datatype for one in metadata.inputs}
    if endpoint.inputs or not metadata.inputs:
        declared = required_inputs(endpoint)
        _check_names(declared, wire)
        return [(one, wire.get(one.name) or DATATYPES[one.dtype]) for one in declared]
    unknown = next((one for one in metadata.inputs if one.datatype not in DTYPES), None)
    if unknown is not None:
        raise ModelOutputInvalid(
            f"the server's metadata give input {unknown.name[:SHOWN]!r} an unknown datatype"
        )
    rows = _axis(endpoint, metadata)[0].row_infos
    return [(row, wire[row.name]) for row in rows]


def _check_names(declared: Sequence[RowInfo], known: Mapping[str, str]) -> None:
    wrong = next((one.name for one in declared if known and one.name not in known), None)
    if wrong is not None:
        raise InvalidRequest.of(
            "endpoint.inputs", f"the server's model has no input {wrong!r}; {near(wrong, known)}"
        )


def _axis(endpoint: Endpoint, metadata: Metadata) -> tuple[Signature, str]:
    """How rows lie in the inputs; with nothing said, axis 0 counts them."""
    given = endpoint.spec.batch
    infos = [_info(one) for one in metadata.inputs]
    if not infos:
        if given is BatchAxis.FIXED:
            what = "the server does not say how many rows it takes; choose DYNAMIC or NONE"
            raise InvalidRequest.of("spec.batch", what)
        return Signature((), given or BatchAxis.DYNAMIC), ""
    signature, said = meaning.batch_axis(infos, [_info(one) for one in metadata.outputs], given)
    return signature, "" if signature.batch is BatchAxis.DYNAMIC else said


def _info(one: Says) -> TensorInfo:
    return TensorInfo(one.name, DTYPES.get(one.datatype, np.dtype(np.float32)), one.shape)


def _rows(signature: Signature) -> dict[str, str]:
    if signature.batch is BatchAxis.DYNAMIC:
        return {}
    return {"rows": NO_AXIS if signature.batch is BatchAxis.NONE else str(signature.rows)}


def _output(endpoint: Endpoint, outputs: Sequence[Says]) -> tuple[str, str]:
    """Its name, "" if the server chooses, and the guess in words."""
    given, names = endpoint.output or endpoint.spec.output, [one.name for one in outputs]
    if given and names and given not in names:
        raise InvalidRequest.of(
            "endpoint.output", f"the server's model has no output {given!r}; {near(given, names)}"
        )
    chosen = best(outputs)
    if given or chosen is None:
        return given, ""
    return chosen.name, "" if len(outputs) == 1 else f"output {chosen.name[:SHOWN]!r}: one of {len(outputs)}"


def _columns(output: Says | None, axis: BatchAxis) -> int | None:
    """Scores per row, None if the server does not say."""
    if output is None:
        return None
    lengths = output.shape if axis is BatchAxis.NONE else output.shape[1:]
    return None if None in lengths else prod(length for length in lengths if length is not None)


def _says_labels(endpoint: Endpoint, output: Says | None, columns: int | None) -> bool:
    dtype = None if output is None else DTYPES.get(output.datatype)
    return dtype is not None and is_label(endpoint, dtype, columns)


def _version(endpoint: Endpoint, metadata: Metadata) -> tuple[str, str]:
    if endpoint.version:
        return endpoint.version, ""
    if len(metadata.versions) == 1:
        (version,) = metadata.versions
        return (version, "") if NAME.fullmatch(version) else ("", "")
    many = f"version: the server has {len(metadata.versions)} and chooses one itself"
    return "", many if metadata.versions else ""


def _labels(output: Says | None, metadata: Metadata, columns: int | None) -> tuple[str, ...]:
    """Class names, where an operator wrote them into the output's or the model's parameters."""
    for parameters in (() if output is None else (output.parameters,)) + (metadata.parameters,):
        for key in LABEL_KEYS:
            found = _names(parameters.get(key))
            if found and (columns is None or columns == len(found) or (columns == 1 and len(found) == 2)):
                return found
    return ()


def _names(value: Any) -> tuple[str, ...]:
    """A list, one written as JSON, or words between commas: over gRPC parameters are never lists."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = value.split(",")
    if not isinstance(value, list) or len(value) > MOST_LABELS:
        return ()
    names = tuple(str(one).strip() for one in value if isinstance(one, str | int))
    fine = len(names) == len(value) and all(0 < len(name) <= LONGEST_NAME for name in names)
    return names if fine else ()
