"""The inside of a loaded model: probed graphs, their sessions, and what there is to probe.

Nothing here is built before somebody asks; a probe's session is kept, since differentiating takes
seconds. One model has one `Whitebox`, whatever the shapes of its instances.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto

from whybox_server.core.errors import InvalidRequest, MethodUnsupported, ModelFailed
from whybox_server.core.probe import POOLED, Pooled, Probe, Site
from whybox_server.core.query import Want
from whybox_server.core.rows import Array
from whybox_server.core.rows_probed import REFERENCE, SEED
from whybox_server.core.spec import BatchAxis, GradientOutput
from whybox_server.graph.declared import as_declared, differentiated
from whybox_server.graph.gradient.notes import STRAIGHT
from whybox_server.graph.gradient.tables import composite
from whybox_server.graph.head import Head
from whybox_server.graph.pooled import pooled
from whybox_server.graph.probed import ProbedGraph, leading_back, reading
from whybox_server.graph.survey import Survey, survey
from whybox_server.serving.onnx.agreement import disagreement, refusal
from whybox_server.serving.onnx.runner import Plan
from whybox_server.serving.onnx.session import Execution, Opened, open_session
from whybox_server.serving.onnx.signature import DTYPES

INTEGER_KERNELS = (
    "the runtime's integer kernels round other than the graph that is differentiated, so that sums over "
    "gradients may miss the score's difference"
)
MOST_PROBES = 8  # sessions kept per model beside its own; each holds the weights once more


@dataclass(frozen=True, slots=True, eq=False)
class Probed:
    """A probe's session. plan: without shapes. fields: of a row's answers. notes: for the reader."""

    plan: Plan
    fields: tuple[str, ...]
    notes: tuple[str, ...]


class Declared:
    """A gradient that the model's author supplies. data: the whole file. of: the input it is a gradient of."""

    def __init__(self, data: bytes, output: GradientOutput, plain: ModelProto) -> None:
        self.data, self.output = data, output
        self.of = differentiated(plain, output)

    def serves(self, probe: Probe, head: Head) -> bool:
        """Whether it is what this probe asks for."""
        plain = probe.rules == "gradient" and not probe.options and probe.enters is None
        return plain and probe.at == self.of and head.mirror is None and not head.converts(probe.space)


class Whitebox:
    """Its methods may be called from any thread, and block while a graph is built or loaded."""

    def __init__(
        self,
        source: Callable[[], ModelProto],
        plan: Plan,
        head: Head | None,
        execution: Execution,
        declared: Declared | None = None,
    ) -> None:
        """source: the graph cut to its scores, parsed anew. head: None if the number of scores varies."""
        self._source: Callable[[], ModelProto] | None = source
        self._plan: Plan | None = plan
        self._head = head
        self.declared = declared
        self._execution = execution
        self._survey: Survey | None = None
        self._pooled: Pooled | None = None
        self._probed: OrderedDict[tuple[Want, Probe], Probed] = OrderedDict()
        self._agreed: dict[Probe, str] = {}
        self._lock = threading.RLock()

    def survey(self) -> Survey:
        """What there is to see."""
        with self._lock:
            if self._survey is None:
                plan, batched = self._open()
                self._survey = survey(self.graph(), plan.outputs[0], batched=batched)
            return self._survey

    def refusal(self, rules: str) -> str:
        """Why no score can be led back by these rules, or "" if some input can be reached."""
        if self.declared is not None and rules == "gradient":
            return ""
        try:
            composite(rules, lrp=self._execution.lrp)
            seen = self.survey()
        except MethodUnsupported as error:
            return str(error)
        return seen.refusal(seen.inputs[0])

    def lacks(self, what: str) -> str:
        """Why there are no MAPS or no POOLED end inside, or "" if there are."""
        try:
            if what == POOLED:
                self.pooled()
            elif not any(self.survey().layers(name) for name in self.survey().inputs):
                return "no layer of channels at places, as convolutions make them, leads to its scores"
        except MethodUnsupported as error:
            return str(error)
        return ""

    def pooled(self) -> Pooled:
        """The linear end."""
        with self._lock:
            if self._pooled is None:
                mirror = None if self._head is None else self._head.mirror
                self._pooled = pooled(self.survey(), self.graph(), mirror)
            return self._pooled

    def probed(self, want: Want, probe: Probe) -> Probed:
        """The session of a probe whose place is named."""
        with self._lock:
            key = (want, probe)
            if key not in self._probed:
                self._probed[key] = self._made(want, probe)
            self._probed.move_to_end(key)
            if len(self._probed) > MOST_PROBES:
                (_, gone), _ = self._probed.popitem(last=False)  # it lives on in the lanes that use it
                self._agreed.pop(gone, None)
            return self._probed[key]

    def agree(self, probe: Probe, row: Mapping[str, Array], outputs: int) -> str:
        """Compare a probe's graph with the model on one row, the first time; what there is to say of it.

        Raises MethodUnsupported if they differ, unless the model is quantised: a runtime's integer
        kernels saturate where ONNX's definition does not.
        """
        with self._lock:
            ready = self.probed(Want.GRADIENT, probe)
            extra: dict[str, Array] = {}
            if SEED in ready.plan.feeds:
                extra[SEED] = np.zeros(outputs, np.float32)
            if REFERENCE in ready.plan.feeds:
                if probe.at not in row:
                    return ""
                extra[REFERENCE] = row[probe.at]
            if probe not in self._agreed:
                share = disagreement(self._open()[0], ready.plan, row, extra)
                if share > 1 and not any(STRAIGHT in note for note in ready.notes):
                    raise refusal(share)
                self._agreed[probe] = INTEGER_KERNELS if share > 1 else ""
            return self._agreed[probe]

    def close(self) -> None:
        with self._lock:
            self._probed.clear()
            self._source = self._plan = self._survey = self.declared = None

    def _made(self, want: Want, probe: Probe) -> Probed:
        plan, _ = self._open()
        graph = self._graph(want, probe, plan)
        opened: Opened = open_session(graph.model.SerializeToString(), self._execution)
        dtypes: dict[str, np.dtype[Any]] = dict(plan.dtypes)
        kinds = {entry.name: entry.type.tensor_type.elem_type for entry in graph.model.graph.input}
        for buffer in (SEED, REFERENCE):
            if buffer in graph.feeds:
                dtypes[buffer] = DTYPES[kinds[graph.feeds[buffer]]]
        if probe.enters is not None and probe.at in kinds:
            dtypes[probe.at] = DTYPES[kinds[probe.at]]
        made = replace(
            plan,
            session=opened.session,
            outputs=tuple(graph.answers.values()),
            dtypes=dtypes,
            device_rows=None,
            feeds=graph.feeds,
            nodes=opened.nodes,
        )
        return Probed(made, tuple(graph.answers), graph.notes)

    def _graph(self, want: Want, probe: Probe, plan: Plan) -> ProbedGraph:
        scores = plan.outputs[0]
        if want is Want.VALUES:
            return reading(self.graph(), scores, probe.at)
        if self._head is None:
            raise MethodUnsupported(
                "the number of the model's scores depends on the instance, so that no score can be led back; "
                "export the model with a fixed number of outputs"
            )
        if self.declared is not None and self.declared.serves(probe, self._head):
            whole = ModelProto.FromString(self.declared.data)
            return as_declared(whole, scores, self.declared.output, self._head.columns)
        kind = self.survey().facts.kinds.get(probe.at, 0)
        return leading_back(self.graph(), scores, self._head, probe, kind, lrp=self._execution.lrp)

    def graph(self) -> ModelProto:
        """The model, cut to its scores; a copy of its own for everybody."""
        if self._source is None:
            raise ModelFailed("the model was unloaded meanwhile; ask again")
        return self._source()

    def _open(self) -> tuple[Plan, bool]:
        """The plan of the model itself, and whether axis 0 counts rows."""
        if self._plan is None:
            raise ModelFailed("the model was unloaded meanwhile; ask again")
        return self._plan, self._plan.batch is not BatchAxis.NONE


@dataclass(frozen=True, slots=True, eq=False)
class OnnxInside:
    """Implements `core.probe.Inside`. row: an instance by input, the largest is explained. outputs: its scores."""

    whitebox: Whitebox
    row: Mapping[str, Array]
    outputs: int

    @property
    def main(self) -> str:
        return max(self.row, key=lambda name: self.row[name].size)

    def site(self, probe: Probe) -> Site:
        found = self._found(probe)
        placed = replace(probe, at=found.name)
        ready = self.whitebox.probed(Want.GRADIENT, placed)
        said = self.whitebox.agree(placed, self.row, self.outputs)
        return replace(found, notes=(*ready.notes, *filter(None, [said])))

    def layers(self) -> tuple[Site, ...]:
        return self.whitebox.survey().layers(self.main)

    def pooled(self) -> Pooled:
        return self.whitebox.pooled()

    def placed(self, probe: Probe) -> Probe:
        """The same probe with its place named."""
        return probe if probe.at else replace(probe, at=self._found(probe).name)

    def extra_shapes(self, ready: Probed, probe: Probe) -> dict[str, tuple[int, ...]]:
        """Of one row of the buffers that a probe needs beside the inputs."""
        there = probe.enters or (self.row[probe.at].shape if probe.at in self.row else None)
        shapes = {} if probe.enters is None else {probe.at: probe.enters}
        if SEED in ready.plan.feeds:
            shapes[SEED] = (self.outputs,)
        if REFERENCE in ready.plan.feeds:
            if there is None:
                raise InvalidRequest.of(
                    "at", f"{probe.at!r} is no input: rows must enter there to be compared"
                )
            shapes[REFERENCE] = there
        return shapes

    def _found(self, probe: Probe) -> Site:
        declared = self.whitebox.declared
        if declared is not None and probe.rules == "gradient" and probe.at in ("", declared.of):
            return Site(declared.of, self.row[declared.of].shape, (declared.of,))
        seen = self.whitebox.survey()
        return seen.site(probe.at, (probe.at,)) if probe.at else seen.explained(self.main)
