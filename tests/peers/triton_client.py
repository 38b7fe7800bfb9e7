"""Triton's own clients, against any server; they live in MLServer's environment, without whybox.

    python triton_client.py HTTP GRPC < JOB > ANSWERS

HTTP, GRPC: HOST:PORT each. JOB is a JSON object with `model`, `name`, `datatype` and `rows` of its only input, and
`parameters`; ANSWERS is a list with what came of it over REST in JSON, over REST with raw bytes, and over gRPC.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, triton_to_np_dtype


def inferred(client: Any, library: Any, job: dict[str, Any], **how: bool) -> Any:
    rows = np.array(job["rows"], triton_to_np_dtype(job["datatype"]))
    given = library.InferInput(job["name"], rows.shape, job["datatype"])
    given.set_data_from_numpy(rows, **({"binary_data": how["binary"]} if how else {}))
    wanted = library.InferRequestedOutput("explanation", **({"binary_data": how["binary"]} if how else {}))
    reply = client.infer(job["model"], [given], outputs=[wanted], request_id="mine", parameters=job["parameters"])
    said = reply.get_response()
    array = reply.as_numpy("explanation")
    return {
        "id": said["id"] if isinstance(said, dict) else said.id,
        "shape": list(array.shape),
        "texts": [one.decode() if isinstance(one, bytes) else one for one in array.ravel().tolist()],
    }


def health(client: Any, model: str) -> list[bool]:
    return [client.is_server_live(), client.is_server_ready(), client.is_model_ready(model)]


def refused(client: Any, library: Any, job: dict[str, Any]) -> str:
    """What is said of a model that is not there."""
    try:
        inferred(client, library, {**job, "model": "nope"})
    except InferenceServerException as error:
        return error.message()
    return ""


def main() -> None:
    job = json.load(sys.stdin)
    rest = tritonclient.http.InferenceServerClient(sys.argv[1], network_timeout=60.0)
    grpc = tritonclient.grpc.InferenceServerClient(sys.argv[2])
    answers = [
        inferred(rest, tritonclient.http, job, binary=False),
        inferred(rest, tritonclient.http, job, binary=True),
        inferred(grpc, tritonclient.grpc, job),
    ]
    found = {
        "answers": answers,
        "health": [health(rest, job["model"]), health(grpc, job["model"])],
        "inputs": [
            [(one["name"], one["datatype"], one["shape"]) for one in rest.get_model_metadata(job["model"])["inputs"]],
            [
                (one.name, one.datatype, list(one.shape))
                for one in grpc.get_model_metadata(job["model"]).inputs
            ],
        ],
        "refused": [refused(rest, tritonclient.http, job), refused(grpc, tritonclient.grpc, job)],
    }
    rest.close()
    grpc.close()
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
