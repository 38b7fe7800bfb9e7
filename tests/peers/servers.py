"""MLServer and KServe with the models of `models`, as their operators would set them up."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto
from tests.peers.environments import HERE, environment
from tests.peers.models import CLASSES, MODELS
from tests.peers.process import Peer, Ports, running

DATATYPES = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.INT64: "INT64",
    TensorProto.STRING: "BYTES",
}
VERSION = "v7"


@contextmanager
def mlserver(
    folder: Path,
    graphs: Mapping[str, bytes],
    weights: Mapping[str, np.ndarray] | None = None,
    more: Mapping[str, Any] | None = None,
) -> Iterator[Peer]:
    """weights: of the scikit-learn classifier "iris", if there is to be one. more: settings of the server."""
    tools = environment("mlserver")
    for name, graph in graphs.items():
        place = folder / name
        place.mkdir()
        (place / "model.onnx").write_bytes(graph)
        shutil.copy(HERE / "mlserver_onnx.py", place)
        (place / "model-settings.json").write_text(json.dumps(settings_of(name, graph)))
    if weights:
        iris = folder / "iris"
        iris.mkdir()
        np.savez(iris / "weights.npz", **weights)
        made = [tools / "python", HERE / "sklearn_model.py", iris / "weights.npz", iris / "model.joblib"]
        subprocess.run(list(map(str, made)), check=True)
        settings = {"name": "iris", "implementation": "mlserver_sklearn.SKLearnModel"}
        (iris / "model-settings.json").write_text(
            json.dumps(settings | {"parameters": {"uri": "./model.joblib"}})
        )

    def command(ports: Ports) -> list[str]:
        settings = {
            "host": "127.0.0.1",
            "http_port": ports.http,
            "grpc_port": ports.grpc,
            "metrics_port": ports.metrics,
            "parallel_workers": 0,
            "debug": False,
            **(more or {}),
        }
        (folder / "settings.json").write_text(json.dumps(settings))
        return [str(tools / "mlserver"), "start", str(folder)]

    models = [*graphs, *(["iris"] if weights else [])]
    with running(command, folder / "log.txt", models) as peer:
        yield peer


@contextmanager
def kserve(folder: Path, graphs: Mapping[str, bytes]) -> Iterator[Peer]:
    tools = environment("kserve")
    for name, graph in graphs.items():
        (folder / f"{name}.onnx").write_bytes(graph)

    def command(ports: Ports) -> list[str]:
        script = [str(tools / "python"), str(HERE / "kserve_onnx.py")]
        return [*script, str(folder), str(ports.http), str(ports.grpc)]

    with running(command, folder / "log.txt", graphs) as peer:
        yield peer


def settings_of(name: str, graph: bytes) -> dict[str, Any]:
    """What an operator of MLServer writes down of a model, labels included."""
    found = onnx.load_from_string(graph).graph
    outputs = [said(one) for one in found.output]
    if name == "net":
        outputs[1]["parameters"] = {"content_type": "np", "labels": ",".join(CLASSES)}
    return {
        "name": name,
        "implementation": "mlserver_onnx.OnnxRuntime",
        "inputs": [said(one) for one in found.input],
        "outputs": outputs,
        "parameters": {"uri": "./model.onnx", "version": VERSION},
    }


def said(one: onnx.ValueInfoProto) -> dict[str, Any]:
    tensor = one.type.tensor_type
    shape = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
    return {"name": one.name, "datatype": DATATYPES[tensor.elem_type], "shape": shape}


def all_graphs() -> dict[str, bytes]:
    return {name: one.graph for name, one in MODELS.items()}
