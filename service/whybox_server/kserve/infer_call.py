"""What a ModelInfer comes to, whichever wire it came over: its tensors as instances, their explanations as a tensor.

Axis 0 of every tensor counts instances. Whether an instance fits the model is the engine's affair.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
import numpy as np

from whybox.v1 import explain_pb2, explanation_pb2
from whybox_server.api.guard import request_id
from whybox_server.api.headers import headers_in
from whybox_server.api.tensors import from_array
from whybox_server.core.errors import InvalidRequest, UnknownModel
from whybox_server.core.rows import Array
from whybox_server.http.calls import aside
from whybox_server.http.decode import parse
from whybox_server.kserve.asked import Asked, Metadata
from whybox_server.kserve.desk import Desk
from whybox_server.kserve.infer import EXPLANATION, InferInput, InferOutput, InferRequest, InferResponse
from whybox_server.kserve.meters import Meters
from whybox_server.kserve.parameters import from_headers, merged
from whybox_server.kserve.shown import shown
from whybox_server.serving.onnx.signature import RowInfo

NESTED = "explain_parameters"  # MLServer's place for them
OF_THE_WIRE = ("content_type", "headers")  # MLServer's, about how a request is written
UNCLEAR = ((), (1,), (None,))  # rows that one number may stand for: [n] is n of them
TEXT: Mapping[str, str] = {"content_type": "str"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Inferring:
    """Who answers ModelInfer."""

    desk: Desk
    meters: Meters

    async def answer(
        self,
        name: str,
        version: str,
        size: int,
        read: Callable[[], InferRequest],
        write: Callable[[InferResponse, bool], T],
        context: Any,
    ) -> T:
        """What `write` makes of the answer and of whether it is wanted as raw bytes.

        version: "" for any. size: of what `read` reads, in bytes. Raises UnknownModel for a version that is not
        there, and what reading and `Desk.explain` raise.
        """
        with self.meters.timed(name) as timed:
            with timed.phase("preprocess"):
                request = await aside(size, read)
                metadata = check_version(await self.desk.metadata(name, context), version)
                headers = headers_in(context)
                asked = await aside(size, lambda: asked_of(request, metadata, headers))
            with timed.phase("explain"):
                explanations = await self.desk.explain(name, asked, context)
            with timed.phase("postprocess"):
                served = "".join(metadata.versions[:1])
                given = self.desk.given(asked)

                def response() -> T:
                    output = written(explanations, given)
                    return write(InferResponse(name, served, request.id or request_id.get(), (output,)), request.binary)

                return await aside(sum(one.ByteSize() for one in explanations), response)


def asked_of(request: InferRequest, metadata: Metadata, headers: Mapping[str, str]) -> Asked:
    """Raises InvalidRequest."""
    given = merged(from_headers(headers), parameters_in(request))
    return Asked(instances_of(request.inputs, metadata.inputs), given)


def check_version(metadata: Metadata, version: str) -> Metadata:
    """The same. Raises UnknownModel."""
    if version and version not in metadata.versions:
        there = f"there is {' and '.join(metadata.versions)}" if metadata.versions else "it has none; leave it out"
        raise UnknownModel(f"model {metadata.name!r} has no version {version[:40]!r}: {there}", model=metadata.name)
    return metadata


def parameters_in(request: InferRequest) -> dict[str, Any]:
    """Raises InvalidRequest."""
    plain = {name: value for name, value in request.parameters.items() if name not in (NESTED, *OF_THE_WIRE)}
    nested = request.parameters.get(NESTED, {})
    if isinstance(nested, str):
        try:
            nested = parse(nested.encode())
        except InvalidRequest as error:
            raise InvalidRequest.of(f"parameters.{NESTED}", error.violations[0].description) from None
    if not isinstance(nested, dict):
        raise InvalidRequest.of(f"parameters.{NESTED}", "must be an object, or one written as JSON in a text")
    return merged(plain, nested)


def instances_of(inputs: Sequence[InferInput], takes: Sequence[RowInfo]) -> tuple[explain_pb2.Instance, ...]:
    """An instance per row along axis 0.

    One tensor is the model's only input, whatever its name, or texts. Several are inputs by name, unless each holds
    one value per row under another name than the inputs': then they are the columns of a table. takes: the model's
    inputs; empty if nobody says. Raises InvalidRequest for a tensor without an axis of instances.
    """
    _check_axes(inputs, takes)
    if len(inputs) > 1:
        foreign = bool(takes) and {one.name for one in inputs} != {info.name for info in takes}
        columns = all(one.array.size == len(one.array) for one in inputs)
        return tuple(_records(inputs) if columns and foreign else _tensors(inputs, [one.name for one in inputs]))
    only = inputs[0]
    if only.datatype == "BYTES" and only.array.size == len(only.array):
        return tuple(explain_pb2.Instance(text=text) for text in only.array.ravel())
    return tuple(_tensors(inputs, ["" if len(takes) == 1 else only.name]))


def _check_axes(inputs: Sequence[InferInput], takes: Sequence[RowInfo]) -> None:
    shapes = {info.name: info.shape for info in takes}
    for number, one in enumerate(inputs):
        wanted = takes[0].shape if len(takes) == len(inputs) == 1 else shapes.get(one.name, ())
        got = one.array.shape
        if wanted not in UNCLEAR and _matches(got, wanted):
            hint = f"axis 0 counts instances, and this is the shape of one; give {[1, *got]}"
            raise InvalidRequest.of(f"inputs[{number}].shape", hint)


def _matches(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(want in (None, got) for got, want in zip(shape, wanted, strict=True))


def _tensors(inputs: Sequence[InferInput], names: Sequence[str]) -> Iterator[explain_pb2.Instance]:
    for at in range(len(inputs[0].array)):
        instance = explain_pb2.Instance()
        for name, one in zip(names, inputs, strict=True):
            instance.tensors.by_name[name].CopyFrom(from_array(row_of(one.array, at)))
        yield instance


def _records(inputs: Sequence[InferInput]) -> Iterator[explain_pb2.Instance]:
    columns = {one.name: one.array.ravel().tolist() for one in inputs}
    for at in range(len(inputs[0].array)):
        record = {
            name: explain_pb2.Value(text=values[at]) if isinstance(values[at], str) else explain_pb2.Value(number=values[at])
            for name, values in columns.items()
        }
        yield explain_pb2.Instance(record=explain_pb2.Record(fields=record))


def row_of(array: Array, at: int) -> Array:
    """(*shape), also where it is ()."""
    return array[at : at + 1].reshape(array.shape[1:])


def written(explanations: Sequence[explanation_pb2.Explanation], given: Mapping[str, Any]) -> InferOutput:
    """Each explanation as JSON. given: what was asked for."""
    texts = np.empty((len(explanations), 1), object)
    texts[:, 0] = [msgspec.json.encode(shown(one, given)) for one in explanations]
    return InferOutput(EXPLANATION, "BYTES", texts, TEXT)
