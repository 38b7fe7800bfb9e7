"""What the READMEs tell people to type is typed: every `curl`, and the example of clients/node, against servers
that are started as the READMEs say. Only ports differ.

Not typed: `npm install` (it asks a package index; its outcome is what the Node.js test needs), and what needs a
cluster or a Docker engine. An example with a path that is not known here fails, until its answer is checked.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.e2e.serving import MODELS, Server, running
from tests.http_calls import http_address
from tests.remote.onnx_rest import onnx_rest

import whybox
from whybox_server.methods import METHODS

ROOT = Path(__file__).parents[2]
NODE = ROOT / "clients" / "node"
HERE = re.compile(r"(?:http://)?localhost:8080(?=/)")
PREDICTED = "diabetes"  # the model of deploy/kserve/inferenceservice.yaml
WAIT_S = 60

without_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


def commands(text: str, first: str) -> list[str]:
    """Whole commands that begin with this word, in indented and in fenced blocks, over several lines or not."""
    found, begun = [], ""
    for line in text.splitlines():
        plain = line.removeprefix("    ").removeprefix("$ ")
        if begun:
            begun += f"\n{plain}"
        elif plain.startswith(f"{first} "):
            begun = plain
        if begun and _is_whole(begun):
            found.append(begun)
            begun = ""
    assert not begun, f"a command that never ends: {begun}"
    return found


def _is_whole(command: str) -> bool:
    try:
        shlex.split(command)
    except ValueError:  # a quotation is open, or a line is said to go on
        return False
    return not command.endswith("\\")


def curls(name: str) -> list[str]:
    text = (ROOT / name).read_text("utf-8")
    found = commands(text, "curl")
    assert found, f"{name} shows no curl"
    assert len(found) == len(re.findall(r"\bcurl -", text)), "a curl in the middle of a line is not typed here"
    return found


def typed(command: str, folder: Path) -> str:
    """What it writes; a command that fails fails the test."""
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def check(command: str, answer: str, method: str = "lime") -> None:
    """An answer is what its path promises. method: of calls that name none."""
    assert HERE.search(command), f"whom does it ask? {command}"
    path = HERE.split(command)[1].split()[0].strip("'\"")
    body = next((word for word in shlex.split(command) if word.startswith("{") and "instances" in word), "{}")
    asked, said = json.loads(body), json.loads(answer)
    named = [name for name in re.findall(r"\w+", command) if name in {each.name for each in METHODS}]
    wanted = named[-1] if named else method  # the body stands last, and wins
    if path in ("/v2/health/ready", "/v2/health/live"):
        assert list(said.values()) == [True]
    elif path.startswith("/v1/models/") and path.endswith(":explain"):
        assert len(said["predictions"]) == len(said["explanations"]) == len(asked["instances"])
        for explanation in said["explanations"]:
            assert explanation["provenance"]["method"] == wanted
            assert numbers(explanation["attribution"]["values"]["data"])
    elif path.startswith("/v1/models/") and path.endswith(":predict"):
        assert len(said["predictions"]) == len(asked["instances"])
    elif path == "/api/v1/explanations:explain":
        assert len(said["explanations"]) == len(asked["instances"])
        assert {explanation["provenance"]["method"] for explanation in said["explanations"]} == {wanted}
    else:
        pytest.fail(f"nobody said here what {path} must answer")


def numbers(nested: Any) -> list[float]:
    """Those of nested lists, none of them 0 throughout."""
    flat = [one for part in nested for one in numbers(part)] if isinstance(nested, list) else [float(nested)]
    return flat if any(flat) else []


@pytest.fixture(scope="module")
def served() -> Iterator[Server]:
    """As README.md starts one: the demo models, and HTTP."""
    with running("--http-listen", "127.0.0.1:0") as server:
        yield server


@pytest.fixture(scope="module")
def explainer() -> Iterator[Server]:
    """As KServe starts the container of deploy/kserve/inferenceservice.yaml: its variables, the controller's flags."""
    (file,) = (MODELS / PREDICTED).glob("*/model.onnx")
    with onnx_rest({PREDICTED: file.read_bytes()}) as predictor:
        host = predictor.url.removeprefix("http://")
        appended = ("--model_name", PREDICTED, "--predictor_host", host, "--http_port", "8080")
        said = ("--http-listen", "127.0.0.1:0", "--explain-method", said_by("WHYBOX_EXPLAIN_METHOD"))
        parameters = ("--explain-parameters", said_by("WHYBOX_EXPLAIN_PARAMETERS"))
        with running(*said, *parameters, *appended, models=None) as server:
            yield server


def said_by(name: str) -> str:
    """A variable of the manifest."""
    manifest = yaml.safe_load((ROOT / "deploy" / "kserve" / "inferenceservice.yaml").read_text())
    variables = manifest["spec"]["explainer"]["containers"][0]["env"]
    value: str = next(one["value"] for one in variables if one["name"] == name)
    return value


@without_curl
@pytest.mark.parametrize("command", curls("README.md"))
def test_curl_in_the_readme_is_answered(served: Server, command: str) -> None:
    check(command, typed(HERE.sub(f"http://{http_address(served)}", command), ROOT))


@without_curl
@pytest.mark.parametrize("command", curls("deploy/README.md"))
def test_curl_in_the_readme_of_deploy_is_answered(explainer: Server, command: str) -> None:
    method = said_by("WHYBOX_EXPLAIN_METHOD")
    ready = f"curl --retry 50 --retry-all-errors --retry-delay 1 -fs http://{http_address(explainer)}/v2/health/ready"
    typed(ready, ROOT)
    check(command, typed(HERE.sub(f"http://{http_address(explainer)}", command), ROOT), method)


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.skipif(not (NODE / "node_modules").is_dir(), reason="run `npm install` in clients/node")
def test_the_example_for_node_prints_what_the_python_client_gets(tmp_path: Path) -> None:
    """Its README line by line; numbers agree to the four decimals that are printed."""
    text = (NODE / "README.md").read_text("utf-8")
    ((serve,), (write,), (run,)) = (commands(text, first) for first in ("whybox serve", "echo", "node"))
    flags = shlex.split(serve.removesuffix("&"))
    assert flags[:3] == ["whybox", "serve", "--models"]
    with running(*flags[4:], models=(NODE / flags[3]).resolve()) as server:
        typed(write, tmp_path)
        there = run.replace("explain.js", str(NODE / "explain.js")).replace("localhost:50051", server.address)
        head, first, *_ = typed(there, tmp_path).splitlines()
        _, _, _, model, file, method, params = shlex.split(there)
        with whybox.Client(server.address) as client:
            words = json.loads((tmp_path / file).read_text())
            e = client.explain(model, words, method, **json.loads(params))
    strongest = max(range(len(e.values)), key=lambda at: abs(e.values[at]))
    assert head.split(" ")[0] == e.target.label
    value, bar, word = first.split()
    assert (float(value), word) == (pytest.approx(e.values[strongest], abs=5e-5), e.names[strongest])
    assert set(bar) == {"+" if e.values[strongest] > 0 else "-"}
