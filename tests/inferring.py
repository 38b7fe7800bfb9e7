"""Requests of the Open Inference Protocol for tests of the side that answers: made by our client of it, or by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.remote.oip import ENDPOINT

from whybox_server.kserve.infer import InferRequest
from whybox_server.kserve.infer_grpc import from_message
from whybox_server.kserve.infer_json import from_body
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech import oip_grpc, oip_rest
from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

SOME = settings(max_examples=settings.default.max_examples // 5)  # of a test that there is for every datatype
# Out of the protocol's own text, not out of our tables.
NUMPY = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "u2",
    "UINT32": "u4",
    "UINT64": "u8",
    "INT8": "i1",
    "INT16": "i2",
    "INT32": "i4",
    "INT64": "i8",
    "FP16": "f2",
    "FP32": "f4",
    "FP64": "f8",
    "BYTES": "O",
}
CONTENTS = {
    "BOOL": "bool_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
SHAPES = hnp.array_shapes(min_dims=1, max_dims=3, max_side=3)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)


@st.composite
def arrays(draw: st.DrawFn, datatype: str, *, finite: bool = True) -> np.ndarray:
    """(n, *shape) of a datatype; texts as objects."""
    shape = draw(SHAPES)
    if datatype == "BYTES":
        return draw(hnp.arrays(object, shape, elements=TEXTS))
    elements = {"allow_nan": not finite, "allow_infinity": not finite} if NUMPY[datatype][0] == "f" else {}
    return draw(hnp.arrays(NUMPY[datatype], shape, elements=hnp.from_dtype(np.dtype(NUMPY[datatype]), **elements)))


PARAMETERS = st.one_of(
    st.builds(pb.InferParameter, bool_param=st.booleans()),
    st.builds(pb.InferParameter, int64_param=st.integers(-(2**63), 2**63 - 1)),
    st.builds(pb.InferParameter, uint64_param=st.integers(0, 2**64 - 1)),
    st.builds(pb.InferParameter, double_param=st.floats()),
    st.builds(pb.InferParameter, string_param=TEXTS | st.sampled_from(["{}", "[1]", "NaN", "1e999", "[" * 99])),
    st.just(pb.InferParameter()),
)
KNOWN = ["method", "lime", "seed", "targets", "num_samples", "explain_parameters", "tensors", "subject", "content_type"]
MESSAGES = st.builds(
    pb.ModelInferRequest,
    id=TEXTS,
    model_version=st.sampled_from(["", "1", "2"]),
    parameters=st.dictionaries(st.sampled_from(KNOWN) | TEXTS, PARAMETERS, max_size=2),
    inputs=st.lists(
        st.builds(
            pb.InferTensor,
            name=st.sampled_from(["x", "y", ""]),
            datatype=st.sampled_from(["FP32", "BYTES", "INT8", "UINT64", "BOOL", "FP16", "BF16", ""]),
            shape=st.lists(st.integers(-1, 3) | st.integers(-(2**63), 2**63 - 1), max_size=3),
            contents=st.none()
            | st.builds(
                pb.InferTensorContents,
                fp32_contents=st.lists(st.floats(width=32), max_size=4),
                int_contents=st.lists(st.integers(-300, 300), max_size=4),
                bytes_contents=st.lists(st.binary(max_size=3), max_size=3),
            ),
        ),
        max_size=3,
    ),
    raw_input_contents=st.lists(st.binary(max_size=9), max_size=3),
)


def described(*, binary: bool, **datatypes: str) -> Described:
    """What our client would know of a server."""
    manner = {"model": "m", **{f"datatype:{name}": datatype for name, datatype in datatypes.items()}}
    return Described("oip", (), "", True, None, (), manner={**manner, **({"binary": "yes"} if binary else {})})


def over_rest(rows: Mapping[str, np.ndarray], *, binary: bool, **datatypes: str) -> InferRequest:
    """Written by our client, read by our server."""
    call = next(oip_rest.ask(ENDPOINT, described(binary=binary, **datatypes), rows))
    return from_body(b"".join([call.body]), call.headers.get("inference-header-content-length"))


def over_grpc(rows: Mapping[str, np.ndarray], **datatypes: str) -> InferRequest:
    call = next(oip_grpc.ask(ENDPOINT, described(binary=True, **datatypes), rows))
    return from_message(pb.ModelInferRequest.FromString(bytes(call.body)))


def typed(**tensors: tuple[str, np.ndarray]) -> pb.ModelInferRequest:
    """With typed contents. tensors: datatype and array by name."""
    message = pb.ModelInferRequest(model_name="m")
    for name, (datatype, array) in tensors.items():
        one = message.inputs.add(name=name, datatype=datatype, shape=array.shape)
        values = [v.encode() if isinstance(v, str) else v for v in array.ravel().tolist()]
        getattr(one.contents, CONTENTS[datatype]).extend(values)
    return message


def tensor(name: str = "x", shape: Sequence[int] = (1,), datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": list(shape), "datatype": datatype, **more}


def read(body: Any, raw: bytes = b"", header: str | None = "") -> InferRequest:
    """header: "" for the right length where there are raw bytes."""
    head = body if isinstance(body, bytes) else json.dumps(body).encode()
    length = (str(len(head)) if raw else None) if header == "" else header
    return from_body(head + raw, length)
