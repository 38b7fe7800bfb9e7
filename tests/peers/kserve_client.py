"""KServe's own inference clients, against any server; it lives in KServe's own environment, without whybox.

    python kserve_client.py < JOBS > ANSWERS

JOBS is a JSON list of objects with `do` (a function below) and its arguments; ANSWERS is a list of what came of
each: {"said": ...} or {"failed": kind, "text": ...}.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import httpx
import kserve
import numpy as np
from cloudevents.conversion import to_binary, to_structured
from cloudevents.http import CloudEvent
from kserve.inference_client import InferenceGRPCClient, InferenceRESTClient, RESTConfig
from kserve.protocol.infer_type import InferInput, InferRequest

TIMEOUT_S = 120.0
EVENT = {"source": "tests", "type": "some.request", "id": "one", "time": "2026-01-02T03:04:05Z"}


def rest(protocol: str) -> InferenceRESTClient:
    return InferenceRESTClient(RESTConfig(protocol=protocol, timeout=TIMEOUT_S))


async def explain(url: str, model: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    return await rest("v1").explain(url, model, body, headers)


async def predict(url: str, model: str, body: Any) -> Any:
    return await rest("v1").infer(url, body, model)


async def health(url: str, model: str) -> Any:
    v2 = rest("v2")
    return [
        await v2.is_server_live(url),
        await v2.is_server_ready(url),
        await v2.is_model_ready(url, model),
        await rest("v1").is_model_ready(url, model),
    ]


async def grpc_health(address: str, model: str) -> Any:
    async with InferenceGRPCClient(address, timeout=TIMEOUT_S) as client:
        return [await client.is_server_live(), await client.is_server_ready(), await client.is_model_ready(model)]


async def infer(url: str, model: str, rows: Any, parameters: dict[str, Any], binary: bool) -> Any:
    return said(await rest("v2").infer(url, request(model, rows, parameters, binary=binary), model))


async def grpc_infer(address: str, model: str, rows: Any, parameters: dict[str, Any], raw: bool) -> Any:
    async with InferenceGRPCClient(address, timeout=TIMEOUT_S) as client:
        return said(await client.infer(request(model, rows, parameters, binary=raw)))


def request(model: str, rows: Any, parameters: dict[str, Any], *, binary: bool) -> InferRequest:
    array = np.array(rows, np.float32)
    given = InferInput("x", list(array.shape), "FP32")
    given.set_data_from_numpy(array, binary_data=binary)
    return InferRequest(model, [given], request_id="mine", parameters=parameters)


def said(response: kserve.InferResponse) -> Any:
    [output] = response.outputs
    texts = [one.decode() if isinstance(one, bytes) else one for one in output.as_numpy().ravel().tolist()]
    return {"id": response.id, "name": output.name, "shape": list(output.shape), "texts": texts}


async def event(url: str, model: str, body: Any, structured: bool) -> Any:
    """As the SDK of CloudEvents writes it."""
    made = CloudEvent({**EVENT, "datacontenttype": "application/json"}, body)
    headers, content = to_structured(made) if structured else to_binary(made)
    async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
        answer = await client.post(f"{url}/v1/models/{model}:explain", headers=dict(headers), content=content)
    return {"status": answer.status_code, "headers": dict(answer.headers), "body": answer.json()}


async def main() -> None:
    answers = []
    for job in json.load(sys.stdin):
        do = globals()[job.pop("do")]
        try:
            answers.append({"said": await do(**job)})
        except Exception as failure:
            answers.append({"failed": type(failure).__name__, "text": str(failure)})
    json.dump(answers, sys.stdout)


if __name__ == "__main__":
    asyncio.run(main())
