"""`make demo`: one server, four kinds of instances, every call as a person would type it."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
WHYBOX = str(Path(sys.executable).with_name("whybox"))
OUT = HERE.parents[1] / "out"
INPUTS = HERE.relative_to(Path.cwd()) / "inputs" if HERE.is_relative_to(Path.cwd()) else HERE / "inputs"

CALLS = (
    (
        "A photograph that is brick on the left and grass on the right: what speaks for brick?",
        f"explain --model models/texture --input {INPUTS}/brick_and_grass.png --method lime --target brick",
        "--png out/brick.png --html out/brick.html",
    ),
    (
        "A row of a table: why does the forest call this tumour what it does?",
        f"explain --model models/breast_cancer --input {INPUTS}/patient.csv --method lime",
        "--png out/patient.png",
    ),
    (
        "A text: which words make it positive or negative?",
        f"explain --model models/sentiment --input {INPUTS}/review.txt --method lime",
        "--png out/review.png",
    ),
    (
        "A time series: where is the event?",
        f"explain --model models/events --input {INPUTS}/event.npy --method occlusion",
        "--png out/event.png",
    ),
)


def start_server() -> tuple[subprocess.Popen[str], str]:
    """`whybox serve` with the bundled models on a free port; returns it and its address."""
    process = subprocess.Popen(
        [WHYBOX, "serve", "--models", str(HERE / "models"), "--listen", "127.0.0.1:0", "--log-format", "json"],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    for line in process.stderr:
        if '"serving"' in line:
            return process, json.loads(line)["address"]
    raise SystemExit(f"the server ended with status {process.wait()}")


def main() -> int:
    OUT.mkdir(exist_ok=True)
    started = time.perf_counter()
    print(f"$ whybox serve --models {INPUTS.parent}/models", flush=True)
    server, address = start_server()
    # The server's log would fill the pipe if nobody read it.
    drain = subprocess.Popen(["cat"], stdin=server.stderr, stdout=subprocess.DEVNULL)
    print(f"serving on {address} after {time.perf_counter() - started:.1f} s\n", flush=True)
    try:
        for question, call, pictures in CALLS:
            print(f"\n{question}\n$ whybox {call} {pictures}\n", flush=True)
            command = [WHYBOX, *shlex.split(call), *shlex.split(pictures), "--server", address]
            status = subprocess.run(command, cwd=HERE.parents[1], env={**os.environ, "FORCE_COLOR": "1"}).returncode
            if status:
                return status
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(timeout=60)
        drain.wait(timeout=10)
    print(f"\nPictures are in {OUT}. All of it took {time.perf_counter() - started:.1f} s.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
