"""KServe's `:explain` for one instance and for many in one request: what an instance takes among others.

The small CNN of the table (224 x 224, 1500 images a second) fills both cores with one instance's 626 rows already,
so that nothing can be shared but fixed costs; a CNN of digits' size has little else.
"""

from __future__ import annotations

import base64
import io
import json
import statistics
import tempfile
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper
from PIL import Image
from tests.benchmarks import nets
from tests.benchmarks.row import Row, at_most
from tests.benchmarks.speed import picture
from tests.e2e.serving import running

COUNTS = (1, 8, 64)
ROUNDS = {1: 15, 8: 7, 64: 5}
DIGIT_SIDE = 28
YAML = "modality: image\nscore: probability\nimage:\n  layout: CHW\n"


def rows() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        for name, graph in (("small", nets.small_cnn()), ("digit", digit_cnn())):
            place = Path(folder, name, "1")
            place.mkdir(parents=True)
            (place / "model.onnx").write_bytes(graph)
            (place / "whybox.yaml").write_text(YAML)
        with running("--http-listen", "127.0.0.1:0", models=Path(folder)) as server:
            said = next(line["address"] for line in server.lines if line.get("event") == "serving http")
            line = HTTPConnection(str(said))
            found = [
                *measured(line, "digit", {"window": [4]}, "a CNN of 28 x 28, windows of 4 x 4", 0.5),
                *measured(line, "small", {"window": [nets.SIDE // 2]}, "small CNN, windows of 112 x 112", 0.5),
                *measured(line, "small", {}, "small CNN, superpixels (default)", 0.5),
            ]
            line.close()
    return found


def measured(line: HTTPConnection, model: str, parameters: dict[str, Any], what: str, limit: float) -> list[Row]:
    rng = np.random.default_rng(0)
    asked(line, model, [instance(model, rng)], parameters)  # loads it
    each: dict[int, float] = {}
    for count in COUNTS:
        took = [
            asked(line, model, [instance(model, rng) for _ in range(count)], parameters) for _ in range(ROUNDS[count])
        ]
        each[count] = statistics.median(took) / count
    note = " (" + ", ".join(f"{count}: {each[count] * 1e3:.1f} ms" for count in COUNTS) + " per instance)"
    return [at_most(f":explain, {what}: an instance among 64 / alone", each[64] / each[1], limit, note)]


def asked(line: HTTPConnection, model: str, instances: list[Any], parameters: dict[str, Any]) -> float:
    """Seconds from a ready body to the parsed answer."""
    body = json.dumps({"instances": instances, "parameters": {"method": "occlusion", **parameters}}).encode()
    started = time.perf_counter()
    line.request("POST", f"/v1/models/{model}:explain", body, {"content-type": "application/json"})
    answer = line.getresponse()
    said = json.loads(answer.read())
    took = time.perf_counter() - started
    assert answer.status == 200, said
    assert len(said["explanations"]) == len(said["predictions"]) == len(instances)
    return took


def instance(model: str, rng: np.random.Generator) -> Any:
    """Another one every time, so that the cache answers none of its rows."""
    if model == "digit":
        return rng.random((1, DIGIT_SIDE, DIGIT_SIDE)).astype(np.float32).tolist()
    shifted = np.roll(picture().transpose(1, 2, 0), tuple(rng.integers(0, nets.SIDE, 2)), (0, 1))
    file = io.BytesIO()
    Image.fromarray((shifted * 255).astype(np.uint8)).save(file, "png")
    return {"b64": base64.b64encode(file.getvalue()).decode()}


def digit_cnn() -> bytes:
    """Two strided convolutions on (1, 28, 28)."""
    b, x, into = nets.Builder(np.random.default_rng(0)), "image", 1
    for out in (16, 32):
        x = b.add("Relu", b.conv(x, into, out, 3, 2))
        into = out
    logits = b.add("Gemm", b.add("Flatten", b.add("GlobalAveragePool", x)), b.weight(into, 10))
    b.nodes.append(helper.make_node("Softmax", [logits], ["probabilities"], axis=1))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, DIGIT_SIDE, DIGIT_SIDE])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])
    graph = helper.make_graph(b.nodes, "digit", [image], [out], b.weights)
    return bytes(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9).SerializeToString())
