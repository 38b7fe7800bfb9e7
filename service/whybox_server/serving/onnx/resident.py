"""A model in memory: its sessions, and the runners that share them. The one thing here with a lifetime."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

import onnxruntime as ort

from whybox_server.core.errors import ModelFailed
from whybox_server.serving.onnx.inside import Probed, Whitebox
from whybox_server.serving.onnx.runner import OnnxRunner, Plan
from whybox_server.serving.onnx.session import Execution, open_session

MOST_RUNNERS = 16  # shapes of instances for which a model with axes of any length keeps buffers


class Resident:
    """Its methods may be called from any thread; `close` may be called twice."""

    def __init__(
        self, plan: Plan, whole: bytes, whitebox: Whitebox, execution: Execution, replicas: int
    ) -> None:
        """plan: without shapes. whole: the model with all its own outputs, for `session`."""
        self.execution = execution
        self.whitebox = whitebox
        self.tensor = plan.outputs[0]
        self._plan: Plan | None = plan
        self._whole = whole
        self._session: ort.InferenceSession | None = None
        self._replicas = replicas
        self._runners: OrderedDict[object, OnnxRunner] = OrderedDict()
        self._lock = threading.Lock()

    def runner(self, shapes: Mapping[str, tuple[int, ...]], probed: Probed | None = None) -> OnnxRunner:
        """The runner for rows of these shapes, by buffer; the same one every time. probed: of a probe's graph.

        A runner keeps what it was made for: the address of one that is gone may be another's.
        """
        key = (probed, tuple(shapes.items()))
        with self._lock:
            if key not in self._runners:
                plan = self._open() if probed is None else probed.plan
                self._runners[key] = OnnxRunner(replace(plan, shapes=dict(shapes)), self._replicas)
            self._runners.move_to_end(key)
            if len(self._runners) > MOST_RUNNERS:
                self._runners.popitem(last=False)  # its buffers go with the last lane that uses it
            return self._runners[key]

    def session(self) -> ort.InferenceSession:
        """The whole graph, loaded when it is first asked for: explaining never needs it."""
        with self._lock:
            self._open()
            if self._session is None:
                self._session = open_session(self._whole, self.execution).session
            return self._session

    def close(self) -> None:
        """Let go of sessions and buffers; calls that are running still end."""
        with self._lock:
            for runner in self._runners.values():
                runner.close()
            self._runners.clear()
            self._plan = self._session = None
            self._whole = b""
        self.whitebox.close()

    def _open(self) -> Plan:
        if self._plan is None:
            raise ModelFailed("the model was unloaded meanwhile; ask again")
        return self._plan
