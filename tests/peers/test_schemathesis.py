"""Schemathesis reads the OpenAPI document, asks the server whatever it allows and does not allow, and finds nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.http_calls import both
from tests.peers.environments import environment

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # an environment may have to be made first

EXAMPLES = 8  # per call; 128 requests in a quarter of a minute
PATIENCE_S = 110
# A deadline of 1e-300 s is missed, as it should be.
CONFIG = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]\n'
# What a schema cannot say is refused with 400: names of models, shapes that fit them, one of several fields.
LEFT_OUT = "positive_data_acceptance"


def test_schemathesis_finds_nothing(tmp_path: Path) -> None:
    program = environment("schemathesis") / "schemathesis"
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    with both() as http:
        command = [str(program), "--config-file", str(config), "run", f"http://{http.address}/openapi.json"]
        options = ["--checks", "all", "--exclude-checks", LEFT_OUT, "--phases", "fuzzing", "--seed", "1"]
        options += ["--max-examples", str(EXAMPLES), "--suppress-health-check", "all", "--no-color"]
        done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout
        assert not [line for line in http.server.raw if "defect" in line or "Traceback" in line]
