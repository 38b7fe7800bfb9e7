"""Fills in what nobody said about a model's tensors, and says what was guessed.

A request's spec goes before `whybox.yaml`, and that before a guess from names, ranks and element
types. Everything here is arithmetic on declarations; no model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import (
    BatchAxis,
    Details,
    ModelSpec,
    ScoreKind,
)
from whybox_server.core.target import Link
from whybox_server.graph.cut import Cut
from whybox_server.serving.onnx.modality import details_of, modality_of
from whybox_server.serving.onnx.signature import Signature, TensorInfo

SHARES_TOLERANCE = 1e-3  # of a sum of probabilities, which may be float16
LEAST_FIXED_RANK = 4  # a fixed rank-4 input is rows of pictures, not one four-dimensional row


@dataclass(frozen=True, slots=True)
class Seen:
    """What one row showed. columns: scores per row; shares: they sum to one. None: not known.

    failure: what the runtime said if it could not run that row. row: which one it was, in words.
    unit: all scores lie between 0 and 1; None if the row says nothing about that.
    """

    columns: int | None = None
    shares: bool | None = None
    failure: str = ""
    row: str = "a row of zeros"
    unit: bool | None = None


def seen(scores: Array, row: str = "a row of zeros", *, typical: bool = False) -> Seen:
    """What a row's scores, (1, columns), show. typical: not of zeros, where many a score is 0 for no reason."""
    columns = int(scores.shape[1])
    unit = bool(scores.min() >= 0 and scores.max() <= 1) if typical else None
    if columns == 1:
        return Seen(columns, row=row, unit=unit)
    shares = bool(scores[0].min() >= 0 and abs(float(scores[0].sum()) - 1) < SHARES_TOLERANCE)
    return Seen(columns, shares, row=row, unit=unit)


def merged(request: ModelSpec, file: ModelSpec) -> ModelSpec:
    """The request's spec over the file's, field by field, details included."""
    names = [entry.name for entry in fields(ModelSpec) if entry.name != "details"]
    given = {name: getattr(request, name) or getattr(file, name) for name in names}
    return ModelSpec(**given, details=_merged_details(request.details, file.details))


def _merged_details(request: Details, file: Details) -> Details:
    """The request's section; where it is empty or has its default, the file's section of the same kind."""
    if request is None or file is None or request.__class__ is not file.__class__:
        return file if request is None else request
    defaults = request.__class__()
    unset = [f.name for f in fields(request) if _unset(getattr(request, f.name), getattr(defaults, f.name))]
    return replace(request, **{name: getattr(file, name) for name in unset})


def _unset(value: object, default: object) -> bool:
    return False if isinstance(value, np.ndarray) else value in (default, "")


def batch_axis(
    inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], given: BatchAxis | None
) -> tuple[Signature, str]:
    """How rows are laid into the inputs, and the guess in words (empty if it was given).

    Raises InvalidRequest if what was given contradicts the graph.
    """
    fixed = {info.shape[0] for info in inputs if info.shape and info.shape[0] is not None}
    axis = given or _guessed_axis(inputs, outputs, fixed)
    if axis is BatchAxis.FIXED and not fixed:
        raise InvalidRequest.of("spec.batch", "no input declares a fixed first axis; use DYNAMIC")
    flat = [info.name for info in inputs if info.shape == ()]
    if axis is not BatchAxis.NONE and flat:
        raise InvalidRequest.of(
            "spec.batch", f"input {flat[0]!r} is a scalar: there is no batch axis; use NONE"
        )
    rows = min(length for length in fixed if length) if axis is BatchAxis.FIXED else None
    said = {
        BatchAxis.DYNAMIC: "axis 0 of the inputs counts rows and may have any length",
        BatchAxis.FIXED: f"axis 0 of the inputs counts rows, always {rows}",
        BatchAxis.NONE: "the inputs have no batch axis: one row per call",
    }
    return Signature(tuple(inputs), axis, rows), "" if given else f"batch {axis.value}: {said[axis]}"


def _guessed_axis(inputs: Sequence[TensorInfo], outputs: Sequence[TensorInfo], fixed: set[int]) -> BatchAxis:
    """A fixed first axis counts rows if the outputs' first axis has the same length."""
    if any(info.shape == () for info in inputs) or len(fixed) > 1:
        return BatchAxis.NONE
    if not fixed:
        return BatchAxis.DYNAMIC
    if any(info.shape is not None and info.shape[0] is None for info in inputs):
        return BatchAxis.FIXED
    length = next(iter(fixed))
    ranks = [len(info.shape) for info in inputs if info.shape is not None]
    answers = {info.shape[0] if info.shape else 0 for info in outputs if info.shape is not None} - {None}
    if min(ranks) == 1:
        return BatchAxis.NONE
    if answers:
        return BatchAxis.FIXED if answers == {length} else BatchAxis.NONE
    return BatchAxis.FIXED if length == 1 or min(ranks) >= LEAST_FIXED_RANK else BatchAxis.NONE


@dataclass(frozen=True, slots=True, eq=False)
class Meaning:
    """A complete spec and how it was come by.

    kind: what the scores of the cut graph hold. binary: a single column of them speaks for two
    classes, and is the second one's.
    """

    spec: ModelSpec
    guesses: tuple[str, ...]
    kind: ScoreKind
    binary: bool


def complete(given: ModelSpec, signature: Signature, cut: Cut, seen: Seen) -> Meaning:
    """The spec with nothing missing, except labels if the number of outputs is not known.

    Raises InvalidRequest for what was given and does not fit the model.
    """
    score, said_of_score = _score(given, cut, seen)
    said_of_output = "" if given.output or not cut.source else f"output {cut.source!r}"
    modality, said_of_modality = modality_of(given, signature)
    details, said_of_details = details_of(given.details, modality, signature)
    binary = _is_binary(given.labels or cut.labels, cut, score)
    labels = _labels(given, cut, 2 if binary and seen.columns == 1 else seen.columns)
    spec = replace(
        given,
        modality=modality,
        labels=labels,
        output=cut.source,
        score=score,
        batch=signature.batch,
        details=details,
    )
    guesses = (said_of_score, said_of_output, said_of_modality, *said_of_details)
    kind = ScoreKind.LOGIT if cut.note else score
    return Meaning(spec, tuple(filter(None, guesses)), kind, binary)


def _is_binary(labels: tuple[str, ...], cut: Cut, score: ScoreKind) -> bool:
    sigmoid = bool(cut.note) and cut.link is Link.SIGMOID
    probability = score is ScoreKind.PROBABILITY
    return score is not ScoreKind.VALUE and (len(labels) == 2 or (not labels and (sigmoid or probability)))


def _labels(given: ModelSpec, cut: Cut, outputs: int | None) -> tuple[str, ...]:
    """One label per output; empty if their number is not known and nobody gave any."""
    if given.labels and outputs is not None and len(given.labels) != outputs:
        raise InvalidRequest.of(
            "spec.labels", f"output {cut.source!r} has {outputs} scores, got {len(given.labels)} labels"
        )
    if given.labels or outputs is None:
        return given.labels or cut.labels
    return cut.labels if len(cut.labels) == outputs else tuple(map(str, range(outputs)))


def _score(given: ModelSpec, cut: Cut, seen: Seen) -> tuple[ScoreKind, str]:
    """What the model's own output holds, and the guess in words."""
    if given.score is not None:
        return given.score, ""
    named = cut.declared is ScoreKind.PROBABILITY and not cut.note
    if cut.declared is not None and not (named and seen.shares is False):
        return cut.declared, f"score {cut.declared.value}: the graph of output {cut.source!r} says so"
    if seen.shares:
        return ScoreKind.PROBABILITY, f"score probability: the scores of {seen.row} sum to one"
    labelled = bool(given.labels or cut.labels)
    if seen.columns == 1 and not labelled:
        return ScoreKind.VALUE, "score value: the model has one output and no Sigmoid behind it"
    if seen.unit is not None and labelled:
        return _score_of_classes(seen)
    return ScoreKind.LOGIT, "score logit: several outputs and no Softmax behind them"


def _score_of_classes(seen: Seen) -> tuple[ScoreKind, str]:
    """What scores of classes hold that nobody describes, and the guess in words."""
    if seen.unit:
        return ScoreKind.PROBABILITY, f"score probability: the scores of {seen.row} lie between 0 and 1"
    return ScoreKind.LOGIT, f"score logit: the scores of {seen.row} do not all lie between 0 and 1"
