"""What everything is compared with: onnxruntime alone, on rows that exist already, at its best.

Two ways to use the cores are tried, because the default is not the better one everywhere: one call
at a time with all cores, and one call per core with one thread each.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnxruntime as ort

from whybox_server.settings import usable_cores

BATCHES = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True)
class Setting:
    """A way to run rows: calls at once, threads in each, rows per call."""

    calls: int
    threads: int
    batch: int


class Raw:
    """One model, both ways."""

    def __init__(self, model: bytes, rows: np.ndarray) -> None:
        self._rows = rows
        self._name = ""
        self._sessions = {threads: self._open(model, threads) for threads in {1, usable_cores()}}

    def _open(self, model: bytes, threads: int) -> ort.InferenceSession:
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._name = session.get_inputs()[0].name
        return session

    def seconds(self, count: int, setting: Setting) -> float:
        """Time for `count` rows."""
        session, starts = self._sessions[setting.threads], range(0, count, setting.batch)

        def call(start: int) -> None:
            lo = start % (len(self._rows) - min(setting.batch, count - start) + 1)
            session.run(None, {self._name: self._rows[lo : lo + min(setting.batch, count - start)]})

        started = time.perf_counter()
        with ThreadPoolExecutor(setting.calls) as pool:
            list(pool.map(call, starts))
        return time.perf_counter() - started

    def best(self, count: int, batches: tuple[int, ...] = BATCHES) -> dict[str, Setting]:
        """The fastest setting with onnxruntime's default threads, and with one call per core."""
        found = {}
        for name, (calls, threads) in self._ways().items():
            settings = [Setting(calls, threads, batch) for batch in batches if batch <= len(self._rows)]
            found[name] = min(settings, key=lambda s: min(self.seconds(count, s) for _ in range(2)))
        return found

    def _ways(self) -> dict[str, tuple[int, int]]:
        cores = usable_cores()
        return {"default threads": (1, cores), "a call per core": (cores, 1)}


def masked_rows(picture: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """Rows as LIME asks them: blocks of the picture replaced by grey."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        keep = np.kron(rng.random((7, 7)) < 0.5, np.ones((32, 32), bool))
        yield np.where(keep, picture, 0.5).astype(np.float32)
