"""onnxruntime reports to its maker by default; a process that imports the server does not."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SAYS = "import whybox_server.serving.onnx.session, os; print(os.environ['ORT_DISABLE_TELEMETRY'])"


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("0", "0")])
def test_nothing_is_reported_unless_somebody_asks_for_it(given: str | None, expected: str) -> None:
    """Set before onnxruntime is imported; an operator's own word goes before ours."""
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    if given is not None:
        environment["ORT_DISABLE_TELEMETRY"] = given
    said = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-c", SAYS], env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == expected
