"""A server of ONNX models that speaks the Open Inference Protocol over HTTP, in JSON alone.

It runs them in onnxruntime, so that what comes through an endpoint can be held against the file itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnxruntime as ort
from tests.remote.web import Request, Response, Web, web

DATATYPES = {
    "tensor(float)": "FP32",
    "tensor(double)": "FP64",
    "tensor(int64)": "INT64",
    "tensor(string)": "BYTES",
}
DTYPES: Mapping[str, Any] = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64, "BYTES": object}


@contextmanager
def onnx_rest(models: Mapping[str, bytes], version: str = "1") -> Iterator[Web]:
    """Models by name. Rows asked are those of the requests in `asked`."""
    sessions = {name: ort.InferenceSession(data) for name, data in models.items()}
    with web(lambda request: answer(request, sessions, version)) as server:
        yield server


def rows_asked(server: Web) -> int:
    return sum(request.json["inputs"][0]["shape"][0] for request in server.asked)


def answer(request: Request, sessions: Mapping[str, ort.InferenceSession], version: str) -> Response:
    parts = request.path.strip("/").split("/")
    if parts == ["v2"]:
        return Response(200, {"name": "onnx_rest", "version": "1", "extensions": []})
    if len(parts) < 3 or parts[:2] != ["v2", "models"] or parts[2] not in sessions:
        return Response(404, {"error": "there is no such model"})
    session = sessions[parts[2]]
    if request.method == "GET":
        about = {
            "inputs": list(map(tensor, session.get_inputs())),
            "outputs": list(map(tensor, session.get_outputs())),
        }
        return Response(200, {"name": parts[2], "versions": [version], "platform": "onnxruntime", **about})
    given = {
        one["name"]: np.array(one["data"], DTYPES[one["datatype"]]).reshape(one["shape"])
        for one in request.json["inputs"]
    }
    names = [one["name"] for one in request.json.get("outputs", ())] or [
        o.name for o in session.get_outputs()
    ]
    kinds = {one.name: DATATYPES[one.type] for one in session.get_outputs()}
    outputs = [
        {"name": name, "datatype": kinds[name], "shape": list(array.shape), "data": array.ravel().tolist()}
        for name, array in zip(names, session.run(names, given), strict=True)
    ]
    return Response(200, {"model_name": parts[2], "model_version": version, "outputs": outputs})


def tensor(info: Any) -> dict[str, Any]:
    shape = [length if isinstance(length, int) else -1 for length in info.shape]
    return {"name": info.name, "datatype": DATATYPES[info.type], "shape": shape}
