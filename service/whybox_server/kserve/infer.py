"""A call of the Open Inference Protocol as data, whichever wire it came over: tensors in, tensors out.

What every wire has to check of a tensor is checked here; how the wires write it is for `infer_json` and
`infer_grpc`. The table of datatypes is the one that our own client of the protocol reads replies with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from whybox_server.api.decode import MAX_INSTANCES, Findings
from whybox_server.core.errors import ModelOutputInvalid, TooLarge
from whybox_server.core.rows import Array
from whybox_server.http.tensors import MOST_AXES
from whybox_server.serving.remote.speech.declaration import near
from whybox_server.serving.remote.speech.oip import DTYPES, Tensor, array_of, elements_of, raw_bytes

EXPLANATION = "explanation"  # the only output there is
BF16 = "BF16"
UNDERSTOOD = [datatype for datatype in DTYPES if datatype != BF16]
OF_V1 = {"instances": "belongs to POST /v1/models/NAME:explain; here it is inputs, tensors whose axis 0 counts instances"}
SHOWN = 60  # characters of what a caller made up


@dataclass(frozen=True, slots=True, eq=False)
class InferInput:
    """array: (n, *shape) with n instances; texts as objects."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True, slots=True, eq=False)
class InferRequest:
    """parameters: values by name. binary: outputs are wanted as raw bytes."""

    inputs: tuple[InferInput, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    binary: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class InferOutput:
    """array: (n, *shape); of BYTES, objects that are bytes."""

    name: str
    datatype: str
    array: Array
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class InferResponse:
    """version: "" if models here have none."""

    model: str
    version: str
    id: str
    outputs: tuple[InferOutput, ...]


@dataclass(frozen=True, slots=True)
class Head:
    """What an input says of itself before its data. place: in the request, "inputs[2]"."""

    place: str
    name: str
    datatype: str
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        return DTYPES[self.datatype]

    def __str__(self) -> str:
        return f"{self.datatype} {list(self.shape)}"


def head_of(place: str, name: Any, datatype: Any, shape: Any, found: Findings) -> Head | None:
    """None after noting what is wrong. shape: without an empty axis, its first one counts instances."""
    before = len(found.violations)
    if not isinstance(name, str):
        found.add(f"{place}.name", "required: a text")
    if datatype == BF16:
        found.add(f"{place}.datatype", "BF16 is not understood; send FP32, which has all of its values")
    elif not isinstance(datatype, str) or datatype not in DTYPES:
        shown = datatype[:SHOWN] if isinstance(datatype, str) else "none"
        found.add(f"{place}.datatype", f"must be one of {', '.join(UNDERSTOOD)}, got {shown}")
    if not isinstance(shape, list) or not all(type(length) is int for length in shape):
        found.add(f"{place}.shape", "required: a list of whole numbers")
    else:
        _check_shape(f"{place}.shape", shape, found)
    return Head(place, name, datatype, tuple(shape)) if len(found.violations) == before else None


def _check_shape(place: str, shape: Sequence[int], found: Findings) -> None:
    if not shape:
        found.add(place, "axis 0 counts instances: give [1] for a single one")
    elif len(shape) > MOST_AXES:
        found.add(place, f"has {len(shape)} axes; at most {MOST_AXES}")
    elif min(shape) < 1:
        found.add(place, f"lengths must be positive, got {min(shape)}")
    elif shape[0] > MAX_INSTANCES:
        found.add(place, f"axis 0 counts instances: at most {MAX_INSTANCES}, got {shape[0]}; send several requests")


def raw_in(head: Head, raw: bytes, found: Findings) -> Array | None:
    """(*shape) out of little-endian, row-major bytes; None after noting what is wrong."""
    tensor = Tensor(head.name, head.datatype, head.shape, raw, role="input")
    try:
        if head.datatype != "BYTES":
            return array_of(tensor)
        elements = list(elements_of(tensor, raw))
    except ModelOutputInvalid as error:  # our client's word for a tensor that is not what it says
        found.add(head.place, error.message)
        return None
    return texts_in(head, elements, found)


def texts_in(head: Head, elements: Sequence[bytes], found: Findings) -> Array | None:
    """(*shape) objects; None after noting what is wrong."""
    texts = np.empty(len(elements), object)
    for number, element in enumerate(elements):
        try:
            texts[number] = element.decode()
        except UnicodeDecodeError:
            found.add(f"{head.place}.data[{number}]", "is no UTF-8; texts are what BYTES hold here")
            return None
    return laid(head, texts, found)


def laid(head: Head, array: Array, found: Findings) -> Array | None:
    """An array in the head's shape, as it is or from a flat one; None after noting that it does not fit."""
    fits = array.shape == head.shape or (array.ndim == 1 and array.size == prod(head.shape))
    if not fits:
        got = f"{array.size} elements" if array.ndim == 1 else f"the shape {list(array.shape)}"
        found.add(f"{head.place}.data", f"{head} needs {prod(head.shape)} elements, flat or nested as the shape is; got {got}")
        return None
    return array.reshape(head.shape)


def together(inputs: Sequence[InferInput], found: Findings) -> None:
    """Notes what is wrong with inputs beside each other."""
    if not inputs and not found.violations:
        found.add("inputs", "give at least one tensor; axis 0 counts instances")
    seen: dict[str, int] = {}
    for number, one in enumerate(inputs):
        if one.name in seen:
            found.add(f"inputs[{number}].name", f"is that of inputs[{seen[one.name]}], too; names must differ")
        elif len(one.array) != len(inputs[0].array):
            counts = f"{len(one.array)} instances, and inputs[0] has {len(inputs[0].array)}"
            found.add(f"inputs[{number}].shape", f"axis 0 counts instances: this has {counts}")
        seen.setdefault(one.name, number)


def check_outputs(names: Iterable[Any], found: Findings) -> None:
    """Notes outputs that there are not."""
    for number, name in enumerate(names):
        if name != EXPLANATION:
            shown = name[:SHOWN] if isinstance(name, str) else ""
            hint = f"there is only {EXPLANATION!r}; leave outputs out, or name that one"
            found.add(f"outputs[{number}].name", f"no output {shown!r}: {hint}")


def within(request: InferRequest, most_bytes: int) -> InferRequest:
    """The same. most_bytes: of its tensors; their JSON may be larger. Raises TooLarge."""
    size = sum(raw_bytes(one.datatype, one.array) for one in request.inputs)
    if size > most_bytes:
        raise TooLarge(
            f"the tensors have {size} bytes and this server takes {most_bytes}; send less, or raise --message-mib",
            limit=most_bytes,
        )
    return request


def unknown(key: str, known: Iterable[str]) -> str:
    """What to say of a key that nobody knows."""
    return OF_V1.get(key) or f"no such key; {near(key[:SHOWN], known)}"
