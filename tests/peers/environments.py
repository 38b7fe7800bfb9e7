"""Environments of other people's servers: made once, outside of the tree, and kept.

    pytest tests/peers                      uses those that are there, and skips what is not
    WHYBOX_PEERS=1 pytest tests/peers       makes them if need be: two minutes and 600 MB each, from a package index

WHYBOX_PEERS_HOME: where they are, ~/.cache/whybox/peers unless it is set.
The pins are those of Python 3.11 and 3.12; MLServer does not run on later ones.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
DONE = "whybox-complete"  # holds the digest of what was installed


def home() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("WHYBOX_PEERS_HOME") or cache / "whybox" / "peers")


def environment(name: str) -> Path:
    """The bin folder of an environment with what NAME.txt pins. Skips the test if there is none."""
    pins = HERE / f"{name}.txt"
    found = installed(name)
    if found is not None:
        return found
    if os.environ.get("WHYBOX_PEERS") != "1":
        pytest.skip(f"{name} is not installed; WHYBOX_PEERS=1 makes an environment for it (two minutes)")
    folder = home() / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / f"{name}.lock").open("w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed(name) is None:
            _make(folder, pins)
            (folder / DONE).write_text(_digest(pins))
    return folder / "bin"


def installed(name: str) -> Path | None:
    """The same, None if it is not there or pins something else."""
    mark = home() / name / DONE
    fine = mark.exists() and mark.read_text() == _digest(HERE / f"{name}.txt")
    return mark.parent / "bin" if fine else None


def _digest(pins: Path) -> str:
    return hashlib.sha256(pins.read_bytes()).hexdigest()


def _make(folder: Path, pins: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    install = [
        str(folder / "bin" / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*install, "--no-deps", "--requirement", str(pins)], check=True)
