"""Explaining loaded ONNX models without a server: what the engine does, in one thread."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto

from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.rows_probed import Probed
from whybox_server.core.spec import ModelSpec, ScoreKind
from whybox_server.core.target import Choice, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.method import Method
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel
from whybox_server.serving.onnx.session import Execution, Provider


def loaded(proto: ModelProto, spec: ModelSpec) -> OnnxModel:
    """On the CPU."""
    return load(proto.SerializeToString(), spec, Execution(Provider.CPU))


def explained(
    model: OnnxModel, inputs: dict[str, Array], method: Method[Any, Any], *targets: int, **params: Any
) -> Any:
    """The finding about these outputs in the model's own units; by default, about all of them."""
    labels = model.labels_for(inputs)
    space = Space.VALUE if model.kind is ScoreKind.VALUE else Space(model.kind.value)
    choices = tuple(Choice(index=i) for i in targets or range(len(labels)))
    about = Targets(choices, labels, model.kind, params.pop("space", space), model.link)
    subject = Subject(Instance(inputs, model.spec), about, model.inside(inputs, len(labels)))
    settings, rng = method.params(**params), np.random.default_rng(0)
    steps = method.run(method.prepare(subject, settings, rng), settings, rng)
    return run(steps, lambda query: _answer(model, inputs, len(labels), query))


def _answer(model: OnnxModel, inputs: dict[str, Array], outputs: int, query: Query) -> Reply:
    rows = query.rows
    lane = model.lane(query.want, Mode.FAST, inputs, query.probe, outputs)
    if query.target is not None:
        rows = Probed(rows, np.broadcast_to(query.target, len(rows)), query.reference)
    said = lane.runner.run([Slice(rows, np.arange(len(rows)))], lane.fixed_rows)
    return Reply(**dict(zip(lane.answers, said, strict=True)))
