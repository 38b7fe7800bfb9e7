"""Threads that model calls run on: always the same ones, because a runtime keeps things per thread.

onnxruntime's CUDA provider grows by the memory of a run whenever consecutive runs come from different
threads (onnxruntime#29351), and the CPU runner reuses one input buffer per thread.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

Job = Callable[[], None]


class Crew:
    """`size` threads that take jobs from one queue, in order. A job must not raise."""

    def __init__(self, size: int, name: str) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # Daemons: a model that never returns must not keep the process from ending.
        self._threads = [
            threading.Thread(target=work, args=(self._jobs,), name=f"{name}-{i}", daemon=True)
            for i in range(size)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def do(self, job: Job) -> None:
        self._jobs.put(job)

    def stop(self) -> None:
        """Let every thread end after the jobs that are queued already."""
        for _ in self._threads:
            self._jobs.put(None)

    def join(self, timeout_s: float) -> None:
        """Wait for the threads to end, at most so long in all; blocks."""
        end = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))


def work(jobs: queue.SimpleQueue[Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        del job  # an idle thread must not keep a model alive
