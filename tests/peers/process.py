"""A server of somebody else's as a process on loopback ports of its own."""

from __future__ import annotations

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.redis import free_port

START_S, STOP_S = 90.0, 10.0
TRIES = 3  # a port that was free may be taken before the server has it


@dataclass(frozen=True)
class Ports:
    http: int
    grpc: int
    metrics: int


@dataclass(frozen=True)
class Peer:
    """A running server. http, grpc: URLs."""

    http: str
    grpc: str


@contextmanager
def running(command: Callable[[Ports], Sequence[str]], log: Path, models: Iterable[str]) -> Iterator[Peer]:
    """A process until the context ends. command: made for these ports. models: all of them are ready then."""
    for left in reversed(range(TRIES)):
        ports = Ports(free_port(), free_port(), free_port())
        with log.open("wb") as said:
            process = subprocess.Popen(
                command(ports), cwd=log.parent, env=environ(), stdout=said, stderr=subprocess.STDOUT
            )
        try:
            if all(
                came_up(process, f"http://127.0.0.1:{ports.http}/v2/models/{name}/ready") for name in models
            ):
                yield Peer(f"http://127.0.0.1:{ports.http}", f"grpc://127.0.0.1:{ports.grpc}")
                return
        finally:
            stop(process)
        if not left:
            raise RuntimeError(f"{command(ports)[0]} did not start:\n{log.read_text()[-3000:]}")


def came_up(process: subprocess.Popen[bytes], url: str) -> bool:
    end = time.monotonic() + START_S
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1.0):
                return True
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def environ() -> dict[str, str]:
    """One thread, and nothing of our own on its path."""
    ours = ("PYTHONPATH", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
