"""Triton's own clients take whybox for a server of the Open Inference Protocol: JSON, raw bytes and gRPC."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.e2e.serving import INPUTS
from tests.http_calls import both
from tests.peers.environments import environment

import whybox

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # an environment may have to be made first

ROWS = 50
WIDTH = 0.3  # no whole number: over gRPC a parameter that only Triton has
PARAMETERS = {"method": "lime", "num_samples": ROWS, "kernel_width": WIDTH, "seed": 3, "mode": "REPRODUCIBLE"}
JOBS: dict[str, dict[str, Any]] = {
    "digits": {
        "name": "image",
        "datatype": "FP32",
        "rows": [np.load(INPUTS / "digit.npy").astype(np.float32).tolist()],
        "shape": [-1, 1, 8, 8],
    },
    "sentiment": {"name": "text", "datatype": "BYTES", "rows": ["a good film", "a bad film"], "shape": [-1]},
}


@pytest.mark.parametrize("model", JOBS)
def test_tritons_clients_get_explanations_as_one_tensor_of_texts(model: str) -> None:
    """The oracle is our own client: the same weights from every form."""
    job = {"model": model, "parameters": PARAMETERS, **JOBS[model]}
    script = str(Path(__file__).with_name("triton_client.py"))
    with both() as served:
        command = [str(environment("mlserver") / "python"), script, served.address, served.server.address]
        done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        instances = [np.array(row, np.float32) if job["datatype"] == "FP32" else row for row in job["rows"]]
        with whybox.Client(served.server.address) as client:
            expected = [
                client.explain(
                    f"models/{model}", one, "lime", num_samples=ROWS, kernel_width=WIDTH, seed=3, mode="reproducible"
                )
                for one in instances
            ]
    said = json.loads(done.stdout)
    for answer in said["answers"]:
        assert (answer["id"], answer["shape"]) == ("mine", [len(expected), 1])
        for text, truth in zip(answer["texts"], expected, strict=True):
            [values] = json.loads(text)["attribution"]["values"]["data"]
            np.testing.assert_array_equal(values, truth.values)
    assert said["health"] == [[True] * 3] * 2
    assert said["inputs"] == [[[job["name"], job["datatype"], job["shape"]]]] * 2
    assert all("no model 'nope'" in text for text in said["refused"])
