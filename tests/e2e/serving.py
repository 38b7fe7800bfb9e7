"""A real server process for tests: `python -m whybox_server` on a free loopback port."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MODELS = Path(__file__).parents[1] / "demo" / "models"
INPUTS = Path(__file__).parents[1] / "demo" / "inputs"
READY_WITHIN_S = 30


@dataclass
class Server:
    """A running server: its address, its process, and the log lines it has written so far."""

    address: str
    process: subprocess.Popen[str]
    lines: list[dict[str, object]] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)

    def calls(self) -> list[dict[str, object]]:
        return [line for line in self.lines if line.get("event") == "call"]

    def stop(self) -> int:
        """SIGTERM, then the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def running(*flags: str, models: Path | None = MODELS) -> Iterator[Server]:
    """A server with these flags, ended when the context is left."""
    chosen = ["--listen", "127.0.0.1:0"] if "--listen" not in flags else []
    folder = [] if models is None else ["--models", str(models)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WHYBOX_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "whybox_server", *chosen, *folder, "--log-format", "json", *flags],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    server = Server("", process)
    ready = threading.Event()

    def listen() -> None:
        assert process.stderr is not None
        for line in process.stderr:
            server.raw.append(line)
            if line.startswith("{"):
                entry = json.loads(line)
                server.lines.append(entry)
                if entry.get("event") == "serving":
                    server.address = str(entry["address"])
                    ready.set()
        ready.set()

    reader = threading.Thread(target=listen, daemon=True)
    reader.start()
    try:
        assert ready.wait(READY_WITHIN_S), "the server did not say that it serves"
        assert server.address, "".join(server.raw)
        yield server
    finally:
        server.stop()
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
