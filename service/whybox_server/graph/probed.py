"""A model's graph with what a probe asks for: scores, values at a tensor, and a score led back to it.

The result is a plain model: its inputs are the model's own, a seed, and a reference where the rules
compare; its outputs stand in the order of `answers`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnx import ModelProto, helper

from whybox_server.core.probe import Probe
from whybox_server.core.rows_probed import REFERENCE, SEED
from whybox_server.graph.enter import entered
from whybox_server.graph.gradient.differentiate import LARGEST, RESULT, differentiate
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.notes import notes_of
from whybox_server.graph.gradient.tables import composite
from whybox_server.graph.gradient.twin import REFERENCE_SCORE
from whybox_server.graph.head import Head, with_head
from whybox_server.graph.walk import real_inputs

# Fields of `Reply`, and what the names of their outputs contain.
ANSWERS = {
    "gradient": RESULT,
    "largest": LARGEST,
    "reference_scores": REFERENCE_SCORE,
}


@dataclass(frozen=True, slots=True, eq=False)
class ProbedGraph:
    """feeds: input by buffer, where they are not called alike. answers: output by field of `Reply`."""

    model: ModelProto
    feeds: Mapping[str, Value]
    answers: Mapping[str, Value]
    notes: tuple[str, ...] = ()


def reading(model: ModelProto, scores: Value, at: Value) -> ProbedGraph:
    """Scores, and the values of a tensor."""
    copy = ModelProto()
    copy.CopyFrom(model)
    if at not in [entry.name for entry in copy.graph.output]:
        copy.graph.output.append(helper.make_empty_tensor_value_info(at))
    return ProbedGraph(copy, {}, {"scores": scores, "values": at})


def leading_back(
    model: ModelProto, scores: Value, head: Head, probe: Probe, kind: int, *, lrp: bool = True
) -> ProbedGraph:
    """Scores, and one of them led back to `probe.at`, which is set.

    kind: element type of the rows that enter there, if they do. lrp: false if the deployer switched
    relevance off. Raises MethodUnsupported and
    InvalidRequest as `differentiate` does.
    """
    work = ModelProto()
    work.CopyFrom(model)
    if probe.enters is not None and probe.at not in input_names(work):
        work = entered(work, probe.at, kind, probe.enters, batched=head.batched)
    of = with_head(work, scores, head, probe.space)
    known = input_names(work)
    back = differentiate(work, probe.at, of, composite(probe.rules, dict(probe.options), lrp=lrp))
    if probe.at not in known:
        back.graph.output.append(helper.make_empty_tensor_value_info(probe.at))
    feeds = {
        buffer: name
        for buffer in (SEED, REFERENCE)
        for name in input_names(back) - known
        if buffer in name  # it has a longer name where the model has one like it
    }
    made = [entry.name for entry in back.graph.output]
    found = {field: name for field, mark in ANSWERS.items() for name in made if mark in name}
    answers = {"scores": scores} | found | ({} if probe.at in known else {"values": probe.at})
    return ProbedGraph(back, feeds, answers, tuple(filter(None, [notes_of(back)])))


def input_names(model: ModelProto) -> set[Value]:
    return {entry.name for entry in real_inputs(model.graph)}
