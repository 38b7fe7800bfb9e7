"""What a model takes, where its server says nothing: what the caller gives it.

KServe's V1 protocol has no metadata, and many servers of the other one say that their models have no inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from whybox.v1 import explain_pb2, tensor_pb2
from whybox_server.api.tensors import DTYPES
from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.asked import Asked
from whybox_server.serving.remote.endpoint import Input

ONLY = "input-0"  # as KServe calls the input of a model whose inputs have no names
UNDECLARED = "the predictor does not say what it takes; declare `inputs` and `spec` of {} in endpoints.yaml"
PLACEHOLDER = (Input(ONLY),)  # of a server that is asked nothing but whether it is there


def inputs_of(instances: Sequence[explain_pb2.Instance], endpoint: str) -> tuple[Input, ...]:
    """Inputs that fit all of them; an axis along which they differ is open. endpoint: by name.

    Raises InvalidRequest for instances that are not of one kind, and for pictures, whose size nobody knows.
    """
    found: tuple[Input, ...] = ()
    for number, instance in enumerate(instances):
        given = tuple(_of(instance, f"instances[{number}]", endpoint))
        found = given if not number else tuple(_both(found, given, f"instances[{number}]"))
    return found or PLACEHOLDER


def are_objects(asked: Asked) -> bool:
    """Whether they came as objects by input or column: then the rows that the model is asked in V1 are, too.

    The Open Inference Protocol makes its callers name every tensor; what they call an only one says nothing.
    """
    named = any(one.HasField("record") or any(one.tensors.by_name) for one in asked.instances)
    return named and bool(asked.rows)


def _of(instance: explain_pb2.Instance, field: str, endpoint: str) -> Iterator[Input]:
    match instance.WhichOneof("value"):
        case "tensors":
            for name, tensor in sorted(instance.tensors.by_name.items()):
                yield Input(name or ONLY, _dtype(tensor), tuple(tensor.shape))
        case "text":
            yield Input(ONLY, "object")
        case "record":
            for name, value in sorted(instance.record.fields.items()):
                yield Input(name, "object" if value.WhichOneof("kind") == "text" else "float64")
        case _:
            raise InvalidRequest.of(field, UNDECLARED.format(endpoint))


def _dtype(tensor: tensor_pb2.Tensor) -> str:
    return "object" if tensor.dtype == tensor_pb2.DATA_TYPE_STRING else np.dtype(DTYPES[tensor.dtype]).name


def _both(first: Sequence[Input], other: Sequence[Input], field: str) -> Iterator[Input]:
    """Inputs that take rows of either."""
    if [one.name for one in first] != [one.name for one in other]:
        raise InvalidRequest.of(field, "has other inputs than the instances before it")
    for a, b in zip(first, other, strict=True):
        texts = {a.dtype, b.dtype}
        if len(a.shape) != len(b.shape) or ("object" in texts and len(texts) > 1):
            raise InvalidRequest.of(field, "is of another kind, or has another rank, than the instances before it")
        lengths = tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True))
        yield Input(a.name, a.dtype if a.dtype == b.dtype else "float64", lengths)
