"""A model server of our own: ONNX files in onnxruntime behind the Open Inference Protocol over gRPC, in a process.

    python -m tests.sidecar.model_server FOLDER PORT

FOLDER holds NAME.onnx. "ready" is the only line that is written. On SIGTERM it answers what has come, and ends.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime as ort

from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

SERVICE = "inference.GRPCInferenceService"
DATATYPES = {"tensor(float)": "FP32", "tensor(double)": "FP64", "tensor(int64)": "INT64"}
DTYPES: Mapping[str, Any] = {"FP32": np.float32, "FP64": np.float64, "INT64": np.int64}
THREADS, GRACE_S = 4, 5.0


def session_of(path: Path) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Service:
    """RPCs by name, as functions of a request and a context."""

    def __init__(self, sessions: Mapping[str, ort.InferenceSession]) -> None:
        self._sessions = sessions

    def ServerLive(self, request: Any, context: Any) -> Any:
        return pb.ServerLiveResponse(live=True)

    def ServerReady(self, request: Any, context: Any) -> Any:
        return pb.ServerReadyResponse(ready=True)

    def ModelReady(self, request: Any, context: Any) -> Any:
        return pb.ModelReadyResponse(ready=request.name in self._sessions)

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        session = self._session(request.name, context)
        inputs, outputs = (list(map(said, infos)) for infos in (session.get_inputs(), session.get_outputs()))
        return pb.ModelMetadataResponse(
            name=request.name, versions=["1"], platform="onnxruntime", inputs=inputs, outputs=outputs
        )

    def ModelInfer(self, request: Any, context: Any) -> Any:
        session = self._session(request.model_name, context)
        kinds = {one.name: DATATYPES[one.type] for one in session.get_outputs()}
        names = [one.name for one in request.outputs] or list(kinds)
        answers = session.run(names, dict(zip((one.name for one in request.inputs), arrays(request), strict=True)))
        tensors = [
            pb.InferTensor(name=name, datatype=kinds[name], shape=answer.shape)
            for name, answer in zip(names, answers, strict=True)
        ]
        return pb.ModelInferResponse(
            model_name=request.model_name,
            model_version="1",
            outputs=tensors,
            raw_output_contents=[answer.tobytes() for answer in answers],
        )

    def _session(self, name: str, context: Any) -> ort.InferenceSession:
        if name not in self._sessions:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {name!r}")
        return self._sessions[name]


def arrays(request: Any) -> list[np.ndarray]:
    """Of the inputs in order, from raw bytes or from typed contents."""
    if request.raw_input_contents:
        pairs = zip(request.inputs, request.raw_input_contents, strict=True)
        return [np.frombuffer(raw, DTYPES[one.datatype]).reshape(one.shape) for one, raw in pairs]
    fields = {"FP32": "fp32_contents", "FP64": "fp64_contents", "INT64": "int64_contents"}
    return [
        np.array(getattr(one.contents, fields[one.datatype]), DTYPES[one.datatype]).reshape(one.shape)
        for one in request.inputs
    ]


def said(info: Any) -> Any:
    shape = [length if isinstance(length, int) else -1 for length in info.shape]
    return pb.ModelMetadataResponse.TensorMetadata(name=info.name, datatype=DATATYPES[info.type], shape=shape)


def handlers(service: Service) -> grpc.GenericRpcHandler:
    """Every RPC's request is called as it is, with Request after it."""

    def handler(name: str, call: Callable[[Any, Any], Any]) -> grpc.RpcMethodHandler:
        request = getattr(pb, f"{name}Request")
        return grpc.unary_unary_rpc_method_handler(call, request.FromString, lambda reply: reply.SerializeToString())

    names = ("ServerLive", "ServerReady", "ModelReady", "ModelMetadata", "ModelInfer")
    return grpc.method_handlers_generic_handler(
        SERVICE, {name: handler(name, getattr(service, name)) for name in names}
    )


def main(folder: str, port: str) -> None:
    service = Service({path.stem: session_of(path) for path in sorted(Path(folder).glob("*.onnx"))})
    server = grpc.server(ThreadPoolExecutor(THREADS), options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((handlers(service),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    over = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: over.set())
    server.start()
    print("ready", flush=True)
    over.wait()
    server.stop(GRACE_S).wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
