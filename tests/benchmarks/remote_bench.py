"""What asking an endpoint costs beside waiting for it: LIME over HTTP, every call answered after 20 ms."""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from urllib.parse import urlsplit

import numpy as np
from tests.answering import instance_of, subject_of
from tests.benchmarks.row import Row, at_most
from tests.remote.scripted import endpoint_of, way_to

from whybox_server.core.spec import Modality
from whybox_server.engine.session import drive
from whybox_server.methods import METHOD
from whybox_server.serving.batch import Batcher
from whybox_server.serving.cache.cache import Cache
from whybox_server.serving.lane import Flow, Lane
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Limits, Speech
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.manners import Manners, manners
from whybox_server.serving.remote.runner import Asked, RemoteRunner, Room
from whybox_server.serving.remote.sender import Sender
from whybox_server.serving.remote.speech import PROTOCOLS
from whybox_server.serving.remote.trial import Trial

LATENCY_S, ROWS, COLUMNS = 0.02, 1000, 12
LIMITS = Limits(concurrency=8, rows_per_call=32, timeout_s=5.0)
REPEATS = 15


def rows() -> list[Row]:
    """Medians; calls are those that were made. The loop by hand says what the machine allows at this moment."""
    with serving() as url:
        measured = asyncio.run(measure(url))
    ideal = [calls / LIMITS.concurrency * LATENCY_S for calls, _, _ in measured]
    ratios = [wall / best for (_, wall, _), best in zip(measured, ideal, strict=True)]
    hands = [hand / best for (_, _, hand), best in zip(measured, ideal, strict=True)]
    walls = statistics.median(wall for _, wall, _ in measured)
    note = f" ({measured[0][0]} calls, {walls * 1e3:.0f} ms)"
    what = "LIME 1000 rows, endpoint of 20 ms, 32 rows a call, 8 at once: wall / (calls / 8 x 20 ms)"
    hand = "    a loop by hand with threads and http.client, of the same calls and no LIME"
    return [
        at_most(what, statistics.median(ratios), 1.2, note),
        Row(hand, f"{statistics.median(hands):.2f}", "", kept=True),
    ]


@contextmanager
def serving() -> Iterator[str]:
    """The server in a process of its own, as it is in life."""
    command = [sys.executable, "-m", "tests.remote.steady", str(LATENCY_S)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.stdin.close()


async def measure(url: str) -> list[tuple[int, float, float]]:
    """Calls and seconds of some explanations, and of the loop by hand, after one that opens the connections."""
    asked, runner = runner_to(url)
    lane = Lane(b"r" * 32, runner, runner.most_rows, remote=True)
    found = []
    with ThreadPoolExecutor(2) as pool:
        async with Batcher() as batcher:
            cache = Cache(batcher, pool=pool)
            for seed in range(REPEATS + 1):
                before, started = asked.tally.paid, time.perf_counter()
                await explain(cache, lane, pool, seed)
                wall, calls = time.perf_counter() - started, asked.tally.paid - before
                found.append((calls, wall, await asyncio.to_thread(by_hand, url, calls)))
    return found[1:]


def by_hand(url: str, calls: int) -> float:
    """Seconds of as many calls from as many threads, whose connections are open before."""
    there = urlsplit(url).netloc
    lines = [HTTPConnection(there) for _ in range(LIMITS.concurrency)]
    rows = np.random.default_rng(0).normal(size=(LIMITS.rows_per_call, COLUMNS))

    def ask(line: HTTPConnection) -> None:
        line.request("POST", "/", json.dumps({"instances": rows.tolist()}))
        np.array(json.loads(line.getresponse().read())["predictions"])

    def share(line: HTTPConnection) -> None:
        for _ in range(calls // LIMITS.concurrency):
            ask(line)

    with ThreadPoolExecutor(LIMITS.concurrency) as threads:
        list(threads.map(ask, lines))
        started = time.perf_counter()
        list(threads.map(share, lines))
        took = time.perf_counter() - started
    for line in lines:
        line.close()
    return took


def runner_to(url: str) -> tuple[Manners, RemoteRunner]:
    endpoint = endpoint_of(url, LIMITS)
    name, dtype, shape = "x0", np.dtype(np.float64), (COLUMNS,)
    described = Described("json", (RowInfo(name, dtype, shape),), "", columns=2)
    asked = Asked(endpoint, PROTOCOLS[Speech.JSON], described, {name: shape}, {name: dtype}, 2)
    ours = manners(endpoint)
    return ours, RemoteRunner(
        asked, Sender(way_to(endpoint), ours, LIMITS.timeout_s, Trial(passed=True)), Room.of(LIMITS)
    )


async def explain(cache: Cache, lane: Lane, pool: ThreadPoolExecutor, seed: int) -> None:
    """LIME of another instance for every seed, so that the cache answers nothing."""
    rng = np.random.default_rng(seed)
    instance = instance_of(Modality.TABULAR, rng.normal(size=COLUMNS))
    method, flow = METHOD["lime"], Flow(str(seed))
    params = method.params(num_samples=ROWS)
    task = method.prepare(subject_of(instance, outputs=2), params, rng)
    with closing(cache.open(lane, flow)) as desk:
        await drive(method.run(task, params, rng), desk, pool, flow.usage)
    assert flow.usage.rows_sent == ROWS
