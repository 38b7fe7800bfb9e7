"""The Dockerfile, without an engine: linted, and held against the tree and the server that it packs."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deploy.dockerfile import (
    FILE,
    IGNORE,
    TARGETS,
    base_of,
    command,
    environment_of,
    last,
    stages,
    steps_of,
)
from tests.deploy.manifests import ROOT

from whybox_server.settings import Settings

HADOLINT = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
each_target = pytest.mark.parametrize("target", TARGETS)


@pytest.mark.skipif(HADOLINT is None, reason="hadolint is not installed")
def test_hadolint_finds_nothing() -> None:
    """The linter that knows Dockerfile's grammar, and shells' inside of RUN."""
    assert HADOLINT is not None
    done = subprocess.run([HADOLINT, "--no-color", str(FILE)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@each_target
def test_an_image_runs_as_nobody_in_particular_and_without_a_shell(target: str) -> None:
    """Distroless, a numeric user (Kubernetes cannot check a name), exec forms, nothing run in it while built."""
    assert base_of(target).startswith("gcr.io/distroless/")
    assert last(target, "USER") == "65532:65532"
    assert not [rest for word, rest in steps_of(target) if word == "RUN"]
    for word in ("ENTRYPOINT", "HEALTHCHECK"):
        python, flag, module = command(last(target, word))
        assert (python, flag) == ("/opt/whybox/bin/python", "-m")
        assert importlib.util.find_spec(module)
    assert environment_of(target)["ORT_DISABLE_TELEMETRY"] == "1"


@each_target
def test_an_image_refuses_plain_text_unless_told(target: str) -> None:
    """It listens everywhere; Settings is the oracle, as the server that starts in it."""
    given = {
        key.removeprefix("WHYBOX_").lower(): value
        for key, value in environment_of(target).items()
        if key.startswith("WHYBOX_")
    }
    assert set(given) <= set(Settings.model_fields)
    with pytest.raises(ValueError, match="reachable from other machines"):
        Settings(**given)
    Settings(**given, insecure=True)


@each_target
def test_an_image_takes_its_environment_from_a_stage_that_pins_it(target: str) -> None:
    """Constraints hold, whybox comes from this tree and not from a registry, and both Pythons are Debian 12's."""
    (copied,) = [rest for word, rest in stages()[target].steps if word == "COPY"]
    source = re.fullmatch(r"--from=(\S+) /opt/whybox /opt/whybox", copied)
    assert source
    (install,) = [rest for word, rest in stages()[source[1]].steps if word == "RUN"]
    assert "--constraint constraints.txt" in install
    assert target != "gpu" or "--constraint gpu-constraints.txt" in install
    assert "@ file://$(echo /wheels/*.whl)" in install
    assert "debian12" in base_of(target)
    assert base_of(source[1]) == "debian:12-slim"


def test_what_is_copied_exists_and_is_let_through() -> None:
    """Everything is ignored but what is listed; what is listed is there, and what is copied is listed."""
    lines = [line for line in IGNORE.read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = {
        name
        for stage in stages().values()
        for word, rest in stage.steps
        if word == "COPY" and "--from" not in rest
        for name in rest.split()[:-1]
    }
    assert copied == allowed
    assert all((ROOT / name).exists() for name in copied)
