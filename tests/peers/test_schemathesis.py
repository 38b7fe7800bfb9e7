"""Schemathesis reads the OpenAPI document, asks the server whatever it allows and does not allow, and finds nothing.

Random requests for every call, and systematic ones (each bound, each kind, each field left out or repeated) for
all but the calls whose bodies have hundreds of fields; `WHYBOX_PEERS=1` asks those too, 19,000 requests in two minutes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.http_calls import both

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # with everything on a busy machine

PROGRAM = Path(sys.executable).with_name("schemathesis")
EXAMPLES = 8  # per call
PATIENCE_S = 540
# A deadline of 1e-300 s is missed, as it should be.
CONFIG = '[checks]\nnot_a_server_error.expected-statuses = ["2xx", "3xx", "4xx", "504"]\n'
# What a schema cannot say is refused with 400: names of models, shapes that fit them, one of several fields.
LEFT_OUT = "positive_data_acceptance"
LESS = """
[[operations]]
include-path-regex = "/explanations:|/endpoints$|/endpoints:probe$"
phases.coverage.enabled = false
"""


def test_random_and_systematic_requests_find_nothing(tmp_path: Path) -> None:
    """Neither schemathesis in what is answered, nor the server in itself."""
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG if os.environ.get("WHYBOX_PEERS") == "1" else CONFIG + LESS)
    with both() as http:
        command = [str(PROGRAM), "--config-file", str(config), "run", f"http://{http.address}/openapi.json"]
        kinds = ["--phases", "coverage,fuzzing", "--max-examples", str(EXAMPLES), "--seed", "1", "--mode", "all"]
        checks = ["--checks", "all", "--exclude-checks", LEFT_OUT, "--suppress-health-check", "all"]
        asked = [*command, *kinds, *checks, "--warnings", "off", "--no-color"]
        done = subprocess.run(asked, capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE_S)
        assert done.returncode == 0, done.stdout + done.stderr
        assert not [line for line in http.server.raw if "defect" in line or "Traceback" in line]
        assert http.server.calls()
