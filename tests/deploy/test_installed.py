"""What the image runs, without an engine: a wheel in an empty environment, then entry point and health check."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tests.deploy.dockerfile import FINAL, command, environment_of, last
from tests.deploy.manifests import ROOT

import whybox

NOBODY = 65532
MODELS, INPUTS = ROOT / "tests" / "demo" / "models", ROOT / "tests" / "demo" / "inputs"
NAMES = "import importlib.metadata as m; print(*sorted(one.name.lower() for one in m.distributions()))"
DEVELOPERS = {"pip", "setuptools", "pytest", "hypothesis", "grpcio-tools", "torch"}


def pip(*words: str) -> None:
    """This environment's pip, that sees no packages but those of the environment it works on."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-m", "pip", *words]
    subprocess.run(command, check=True, cwd=ROOT, env=environment, timeout=270, stdout=subprocess.DEVNULL)


def closure(root: Distribution, extra: str) -> dict[str, Distribution]:
    """By name, a distribution, what it asks for with this extra, and what that asks for, as it is installed here.

    The environment of these tests is pip's work under constraints.txt, as the image's is.
    """
    found = {root.name: root}
    asked = [(root.name, ""), (root.name, extra)]
    for name, wanted in asked:  # grows as it is read
        for requirement in map(Requirement, found[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                other = canonicalize_name(requirement.name)
                if other not in found:
                    found[other] = importlib.metadata.distribution(other)
                asked += [(other, one) for one in ("", *requirement.extras) if (other, one) not in asked]
    return found


def copy(distribution: Distribution, packages: Path) -> None:
    """Its files, without those that are no packages' (programs) and what Python compiled of them."""
    for file in distribution.files or ():
        if ".." not in file.parts and "__pycache__" not in file.parts:
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(str(file.locate()), target)


@pytest.fixture
def python() -> Iterator[Path]:
    """Of an empty environment with the wheel, and with what the wheel says that it needs."""
    with tempfile.TemporaryDirectory(prefix="whybox-image-") as name:
        folder = Path(name)
        folder.chmod(0o755)  # for the user that the image runs as
        tree = folder / "tree"  # building leaves folders behind, and the checkout is everybody's
        for part in ("service", "clients/python"):
            ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
            shutil.copytree(ROOT / part, tree / part, ignore=ignored)
        for part in ("pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(ROOT / part, tree / part)
        pip("--quiet", "wheel", "--no-deps", "--wheel-dir", str(folder), str(tree))
        (wheel,) = folder.glob("whybox-*.whl")
        found = folder / "environment" / "bin" / "python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(found.parents[1])], check=True)
        pip("--python", str(found), "--quiet", "install", "--no-compile", "--no-deps", wheel.as_uri())
        (packages,) = (folder / "environment").glob("lib/python*/site-packages")
        (own,) = importlib.metadata.distributions(name="whybox", path=[str(packages)])
        for one in closure(own, "server").values():
            if one is not own:
                copy(one, packages)
        yield found


def run(words: list[str], python: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    """As in the container: nothing of our environment, and its user, where we may and it can reach Python."""
    open_to_all = all(folder.stat().st_mode & 0o001 for folder in python.resolve().parents)
    may = os.geteuid() == 0 and open_to_all
    nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if may else {}
    return subprocess.Popen(
        [str(python), *words], env=environment, cwd="/tmp", text=True, stderr=subprocess.PIPE, **nobody
    )


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_images_entry_point_serves_from_an_installed_wheel(python: Path) -> None:
    """Entry point, environment and health check are the Dockerfile's; an explanation is the proof.

    Some ten seconds of CPU, most of it pip's.
    """
    names = subprocess.run([str(python), "-c", NAMES], capture_output=True, text=True, check=True, env={})
    assert "whybox" in names.stdout.split()
    assert not DEVELOPERS & set(names.stdout.split()), "what is missing in the wheel could hide"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    own = {"WHYBOX_LISTEN": address, "WHYBOX_METRICS_LISTEN": "127.0.0.1:0", "WHYBOX_MODELS": str(MODELS)}
    environment = {**environment_of(FINAL), **own}
    entry, check = (command(last(FINAL, word))[1:] for word in ("ENTRYPOINT", "HEALTHCHECK"))
    with run(entry, python, environment) as server:
        assert server.stderr is not None
        try:
            lines = []
            for line in server.stderr:
                lines.append(line)
                if '"serving"' in line:
                    break
            assert '"serving"' in lines[-1], "".join(lines)
            assert json.loads(lines[-1])["address"] == address
            with run(check, python, environment) as probe:
                assert probe.wait(30) == 0
            with whybox.Client(address) as client:
                found = client.explain("models/digits", np.load(INPUTS / "digit.npy"), "occlusion")
            assert found.usage.rows_sent > 0
        finally:
            server.send_signal(signal.SIGTERM)
        assert server.wait(60) == 0
    with run(check, python, environment) as probe:
        assert probe.wait(30) == 1
