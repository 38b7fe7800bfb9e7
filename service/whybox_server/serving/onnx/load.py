"""From the bytes of an ONNX file to a model that works: vet, cut, open, try a row, fill in the spec."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import BatchAxis, ModelSpec, ScoreKind
from whybox_server.core.target import Link
from whybox_server.graph.batch import with_free_batch
from whybox_server.graph.cut import Cut, explained
from whybox_server.graph.declared import without
from whybox_server.graph.head import Head
from whybox_server.serving.lane import Slice
from whybox_server.serving.onnx import meaning
from whybox_server.serving.onnx.device_rows import open_device_rows
from whybox_server.serving.onnx.inside import Declared, Whitebox
from whybox_server.serving.onnx.model import OnnxModel, replicas
from whybox_server.serving.onnx.resident import Resident
from whybox_server.serving.onnx.runner import OnnxRunner, Plan
from whybox_server.serving.onnx.session import CUDA, Execution, Opened, open_session, reason
from whybox_server.serving.onnx.signature import Signature, inputs_of, outputs_of
from whybox_server.serving.onnx.vet import TRUSTED, Limits, vet


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """What rows of zeros showed: a row's scores or what failed; the batch axis that works, and why."""

    scores: Array | None
    signature: Signature
    guess: str = ""
    failure: str = ""


def load(
    data: bytes,
    spec: ModelSpec | None = None,
    execution: Execution | None = None,
    limits: Limits = TRUSTED,
) -> OnnxModel:
    """Load a model. spec: what was said about it; the rest is guessed. Blocks for as long as it takes.

    Raises ModelRejected or TooLarge for a file that is not run, InvalidRequest for a spec that does
    not fit the model.
    """
    given, execution = spec or ModelSpec(), execution or Execution()
    whole_graph = vet(data, limits)
    graph = whole_graph if given.gradient is None else without(whole_graph, given.gradient)
    source = data if given.gradient is None else graph.SerializeToString()
    inputs, outputs = inputs_of(graph), outputs_of(graph)
    signature, axis_guess = meaning.batch_axis(inputs, outputs, given.batch)
    cut = _cut(graph, given, signature)
    freed = _needs_freeing(signature)
    opened = open_session(_bytes_of(cut, source, freed=freed), execution)
    plan = _plan(opened, cut, signature)
    tried = _tried(plan, signature, given.batch)
    seen = _seen(tried, opened)
    meant = meaning.complete(given, tried.signature, cut, seen)
    twin = meant.binary and seen.columns == 1
    mirror = meant.kind if meant.binary else None
    plan = replace(plan, mirror=mirror, rows=tried.signature.rows, batch=tried.signature.batch)
    plan = _with_device_rows(plan, tried.signature, execution, opened)
    whole = with_free_batch(graph).SerializeToString() if freed else source
    columns = 2 if twin else seen.columns
    link = Link.SIGMOID if twin else cut.link
    batched = plan.batch is not BatchAxis.NONE
    head = None if columns is None else Head(columns, meant.kind, link, mirror if twin else None, batched)
    declared = None if given.gradient is None else Declared(data, given.gradient, graph)
    whitebox = Whitebox(
        lambda: _cut(ModelProto.FromString(whole), given, signature).model, plan, head, execution, declared
    )
    return OnnxModel(
        digest=f"sha256-{hashlib.sha256(data).hexdigest()}",
        size_bytes=len(data),
        signature=tried.signature,
        outputs=outputs,
        spec=meant.spec,
        guesses=tuple(filter(None, [*meant.guesses, tried.guess or axis_guess])),
        notes=tuple(filter(None, [cut.note, opened.note])),
        kind=meant.kind,
        link=link,
        columns=columns,
        provider=opened.provider,
        cut=replace(cut, model=ModelProto()),
        seen=seen,
        resident=Resident(plan, whole, whitebox, execution, replicas(opened.provider, execution.cores)),
    )


def _cut(graph: ModelProto, given: ModelSpec, signature: Signature) -> Cut:
    """The graph, cut to the scores that are explained."""
    return explained(
        graph,
        given.output,
        batched=signature.batch is not BatchAxis.NONE,
        # A declared gradient is one of the declared output.
        logits=given.gradient is None and given.score in (None, ScoreKind.PROBABILITY),
    )


def _needs_freeing(signature: Signature) -> bool:
    """True if somebody says that a declared length of the batch axis does not matter."""
    return signature.batch is BatchAxis.DYNAMIC and any(
        info.shape and info.shape[0] is not None for info in signature.inputs
    )


def _bytes_of(cut: Cut, data: bytes, *, freed: bool) -> bytes:
    model: ModelProto = with_free_batch(cut.model) if freed else cut.model
    return model.SerializeToString() if freed or cut.changed else data


def _plan(opened: Opened, cut: Cut, signature: Signature) -> Plan:
    """How to call the session with rows of the declared shapes; {} where one is not fixed."""
    dtypes = {info.name: info.dtype for info in signature.inputs}
    rows = {info.name: signature.row_shape(info) for info in signature.inputs}
    fixed = {
        name: tuple(length for length in row if length is not None)
        for name, row in rows.items()
        if row is not None and None not in row
    }
    shapes = fixed if len(fixed) == len(rows) else {}
    return Plan(
        opened.session, (cut.tensor,), shapes, dtypes, signature.batch, signature.rows, nodes=opened.nodes
    )


def _tried(plan: Plan, signature: Signature, given: BatchAxis | None) -> _Tried:
    """Ask for one row of zeros and, where rows may share a call, for two.

    Zeros may be no sensible input (an unknown category), so that a model that refuses them is no
    worse for it. Raises InvalidRequest if two rows fail together though the spec says they may.
    """
    if not plan.shapes:
        return _Tried(None, signature)
    one, failure = _ask(plan, 1)
    if signature.batch is not BatchAxis.DYNAMIC or one is None:
        return _Tried(one, signature, failure=failure)
    two, failure = _ask(plan, 2)
    if two is not None:
        return _Tried(one, signature)
    if given is not None:
        raise InvalidRequest.of("spec.batch", f"the model fails on two rows in one call: {failure}")
    signature = replace(signature, batch=BatchAxis.FIXED, rows=1)
    return _Tried(one, signature, "batch fixed: one row per call, since the model fails on two")


def _ask(plan: Plan, rows: int) -> tuple[Array | None, str]:
    """Scores of this many rows of zeros, or what went wrong."""
    zeros: dict[str, Array] = {
        name: np.full((rows, *shape), "" if plan.dtypes[name].kind == "O" else 0, plan.dtypes[name])
        for name, shape in plan.shapes.items()
    }
    runner = OnnxRunner(plan, 1)
    try:
        (scores,) = runner.run([Slice(Samples(zeros), np.arange(rows))], None)
    except Exception as error:  # noqa: BLE001  whatever the runtime raises is an answer here
        return None, reason(error)
    return scores, ""


def _seen(tried: _Tried, opened: Opened) -> meaning.Seen:
    if tried.scores is None:
        return meaning.Seen(_declared_columns(opened, tried.signature.batch), failure=tried.failure)
    return meaning.seen(tried.scores)


def _declared_columns(opened: Opened, batch: BatchAxis) -> int | None:
    shape = opened.session.get_outputs()[0].shape
    row = shape if batch is BatchAxis.NONE else shape[1:]
    if not shape or not all(isinstance(length, int) for length in row):
        return None
    return int(np.prod(row))


def _with_device_rows(plan: Plan, signature: Signature, execution: Execution, opened: Opened) -> Plan:
    """Masked rows are built on the device where that saves a transfer, or where it was asked for."""
    wanted = execution.device_rows if execution.device_rows is not None else opened.provider == CUDA
    rows = {info.name: signature.row_shape(info) for info in signature.inputs}
    if not wanted or signature.batch is BatchAxis.NONE or any(row is None for row in rows.values()):
        return plan
    ranks = {name: len(row or ()) for name, row in rows.items()}
    return replace(plan, device_rows=open_device_rows(ranks, plan.dtypes, execution))
