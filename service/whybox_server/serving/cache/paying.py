"""Between the cache and the batcher: every row that a model is asked is counted, every answer kept at once.

It stands at the model's door, not at the explanation's, because an explanation hears of its answers by
the hundred, and whoever is killed in between must not pay for them again.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from whybox_server.core.errors import ModelFailed
from whybox_server.serving.batch.call import finite
from whybox_server.serving.cache.cache import Batches
from whybox_server.serving.cache.codec import layout_of, pack
from whybox_server.serving.cache.desk import Door
from whybox_server.serving.cache.keys import Namer
from whybox_server.serving.cache.paid_file import PaidFile
from whybox_server.serving.lane import ENDLESS, Answers, Flow, Lane, Patience, Runner, Slice

# A model that runs here answers most rows faster than they can be kept (0.1 ms, measured).
WORTH_KEEPING_S = 1e-3


class Paying:
    """Implements `serving.cache.cache.Batches`. namer: the cache's own, of the same secret."""

    def __init__(self, below: Batches, file: PaidFile, namer: Namer) -> None:
        self._below = below
        self._file = file
        self._namer = namer
        # A runner is its own key to the batcher's threads, so each has one of ours as long as it lives.
        self._runners: weakref.WeakKeyDictionary[Runner, dict[bytes, PaidRunner]] = (
            weakref.WeakKeyDictionary()
        )

    def open(self, lane: Lane, flow: Flow) -> Door:
        ours = self._runners.setdefault(lane.runner, {})
        if lane.fingerprint not in ours:
            ours[lane.fingerprint] = PaidRunner(lane, self._file, self._namer)
        return self._below.open(replace(lane, runner=ours[lane.fingerprint]), flow)


class PaidRunner:
    """Implements `serving.lane.Runner` over another one, which whoever has leased the model keeps alive."""

    def __init__(self, lane: Lane, file: PaidFile, namer: Namer) -> None:
        self._runner = weakref.ref(lane.runner)
        self._replicas = lane.runner.replicas
        self._fingerprint = lane.fingerprint
        self._paid = lane.remote  # else a row costs nothing but time
        self._file = file
        self._namer = namer

    @property
    def replicas(self) -> int:
        return self._replicas

    def run(self, slices: Sequence[Slice], pad_to: int | None, patience: Patience = ENDLESS) -> Answers:
        """What the other runner answers. Raises what it raises, and what `PaidFile.take` does."""
        runner = self._runner()
        if runner is None:
            raise ModelFailed("the model was let go while rows were waiting for it; ask again")
        rows = sum(len(one.at) for one in slices)
        if self._paid:  # counted when they leave, as often as they do
            patience = replace(patience, asks=self._file.take)
        else:
            self._file.take(rows)
        started = time.perf_counter()
        answers = runner.run(slices, pad_to, patience)
        worth = self._paid or time.perf_counter() - started > WORTH_KEEPING_S * rows
        if worth and answers and all(array.ndim and len(array) == rows for array in answers):
            self._keep(slices, answers, rows)
        return answers

    def _keep(self, slices: Sequence[Slice], answers: Answers, rows: int) -> None:
        """Answers that are no finite numbers will be refused, and are nothing to keep."""
        layout = layout_of(answers, rows)
        keys = [key for one in slices for key in one.rows.take(np.asarray(one.at)).keys()]
        tags = self._namer.tags([self._fingerprint + key for key in keys])
        records = pack(layout, answers)
        sound = finite(answers, rows)
        if sound is not None:
            tags = [tag for tag, good in zip(tags, sound, strict=True) if good]
            records = [record for record, good in zip(records, sound, strict=True) if good]
        self._file.keep(tags, records)
