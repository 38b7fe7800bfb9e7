"""A model server as a process that can end, in peace or not, and come back where it was."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from tests.peers.environments import HERE, environment
from tests.peers.process import environ
from tests.redis import free_port

from whybox_server.serving.remote.stubs.inference import predict_v2_pb2 as pb

READY = "/inference.GRPCInferenceService/ModelReady"
START_S, STOP_S = 90.0, 20.0


@dataclass
class ModelServer:
    """protocol, url: how whybox is told of it. model: that it serves. log: what it writes."""

    command: Sequence[str]
    protocol: str
    url: str
    grpc_port: int
    model: str
    log: Path
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns when its model is ready."""
        with self.log.open("ab") as said:
            self.process = subprocess.Popen(self.command, env=environ(), stdout=said, stderr=subprocess.STDOUT)
        patience = time.monotonic() + START_S
        while not self._ready():
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            assert time.monotonic() < patience, self.log.read_text()[-3000:]
            time.sleep(0.05)

    def _ready(self) -> bool:
        with grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}") as channel:
            ask = channel.unary_unary(READY, pb.ModelReadyRequest.SerializeToString, pb.ModelReadyResponse.FromString)
            try:
                answer: bool = ask(pb.ModelReadyRequest(name=self.model), timeout=2.0).ready
            except grpc.RpcError:
                return False
        return answer

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()


def ours(folder: Path, model: str) -> ModelServer:
    """With the model files of a folder, NAME.onnx; over gRPC alone."""
    port = free_port()
    command = [sys.executable, "-m", "tests.sidecar.model_server", str(folder), str(port)]
    return ModelServer(command, "oip-grpc", f"grpc://127.0.0.1:{port}", port, model, folder / "log.txt")


def kserves(folder: Path, model: str) -> ModelServer:
    """KServe's own, asked over HTTP. Skips the test where it is not installed."""
    tools, http_port, grpc_port = environment("kserve"), free_port(), free_port()
    command = [str(tools / "python"), str(HERE / "kserve_onnx.py"), str(folder), str(http_port), str(grpc_port)]
    return ModelServer(command, "oip-rest", f"http://127.0.0.1:{http_port}", grpc_port, model, folder / "log.txt")
