"""The Node.js example calls a real socket and prints the attribution, where node is installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from google.rpc import code_pb2
from tests.wire.recorder import Recorder, abort, serving

FOLDER = Path(__file__).parents[2] / "clients" / "node"
NODE = shutil.which("node")

pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(not (FOLDER / "node_modules").is_dir(), reason="run `npm install` in clients/node"),
]


def call(*words: str) -> subprocess.CompletedProcess[str]:
    assert NODE is not None
    command = [NODE, str(FOLDER / "explain.js"), *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603


def test_the_example_prints_signed_bars(tmp_path: Path) -> None:
    """The strongest first, with the sign of the value; a row goes as a record, parameters by name."""
    recorder = Recorder()
    (tmp_path / "row.json").write_text(json.dumps({"age": 41, "city": "Bern"}))
    with serving(recorder) as target:
        done = call(target, "models/churn", str(tmp_path / "row.json"), "lime", '{"num_samples": 50}')
    assert (done.returncode, done.stderr) == (0, "")
    head, first, *_, last = done.stdout.splitlines()
    assert head == "yes (1): 0.7500 logit"
    assert first.split() == ["-2.0000", "-" * 24, "income"]
    assert last == "lime, 64 rows in 0 ms"
    request = recorder.calls[0][1]
    assert request.lime.num_samples == 50
    assert request.instances[0].record.fields["city"].text == "Bern"


def test_an_array_arrives_as_the_numbers_it_was(tmp_path: Path) -> None:
    """Nested numbers are FP32, row-major, little-endian."""
    from whybox.tensors import from_tensor

    recorder = Recorder()
    (tmp_path / "x.json").write_text("[[1, 2.5], [3, -4]]")
    with serving(recorder) as target:
        assert call(target, "models/net", str(tmp_path / "x.json")).returncode == 0
    tensor = recorder.calls[0][1].instances[0].tensors.by_name[""]
    assert from_tensor(tensor).tolist() == [[1, 2.5], [3, -4]]


def test_an_error_is_one_line_and_1(tmp_path: Path) -> None:
    """Code and message of the server."""
    recorder = Recorder()
    recorder.answers["Explain"] = lambda _, context: abort(
        context, code_pb2.NOT_FOUND, "UNKNOWN_MODEL", "no model models/x; did you mean models/y?"
    )
    (tmp_path / "t.json").write_text('"a text"')
    with serving(recorder) as target:
        done = call(target, "models/x", str(tmp_path / "t.json"))
    assert done.returncode == 1
    assert done.stderr == "NOT_FOUND: no model models/x; did you mean models/y?\n"


def test_a_server_that_is_about_to_stop_is_asked_again(tmp_path: Path) -> None:
    """UNAVAILABLE and CANCELLED are what callers hear of a closing door; the third time somebody answers."""
    recorder = Recorder()
    doors = [code_pb2.UNAVAILABLE, code_pb2.CANCELLED]
    recorder.answers["Explain"] = lambda _, context: doors and abort(context, doors.pop(), "SERVER_DRAINING", "stops")
    (tmp_path / "t.json").write_text('"a text"')
    with serving(recorder) as target:
        assert call(target, "models/x", str(tmp_path / "t.json")).returncode == 0
    assert recorder.names == ["Explain"] * 3
