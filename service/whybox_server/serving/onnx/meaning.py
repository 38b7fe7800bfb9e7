"""Fills in what nobody said about a model's tensors, and says what was guessed.

A request's spec goes before `whybox.yaml`, and that before a guess from names, ranks and element
types. Everything here is arithmetic on declarations; no model is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import (
    BatchAxis,
    Details,
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)
from whybox_server.core.target import Link
from whybox_server.graph.cut import Cut
from whybox_server.graph.walk import Shape
from whybox_server.serving.onnx.signature import Signature, TensorInfo, described

IMAGE_CHANNELS = (1, 3, 4)
SMALLEST_IMAGE_SIDE = 8
IMAGE_RANK = 3
SERIES_RANK = 2
LEAST_FIXED_RANK = 4  # a fixed rank-4 input is rows of pictures, not one four-dimensional row

DETAILS: dict[Modality, type[TabularSpec | ImageSpec | TextSpec | TimeSeriesSpec]] = {
    Modality.TABULAR: TabularSpec,
    Modality.IMAGE: ImageSpec,
    Modality.TEXT: TextSpec,
    Modality.TIME_SERIES: TimeSeriesSpec,
}


@dataclass(frozen=True, slots=True)
class Seen:
    """What a row of zeros showed. columns: scores per row; shares: they sum to one. None: not known.

    failure: what the runtime said if it could not run that row.
    """

    columns: int | None = None
    shares: bool | None = None
    failure: str = ""


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
    said_of_output = "" if given.output else f"output {cut.source!r}"
    modality, said_of_modality = _modality(given, signature)
    details, said_of_details = _details(given.details, modality, signature)
    binary = _is_binary(given.labels or cut.labels, cut, score)
    labels = _labels(given, cut, 2 if binary and seen.columns == 1 else seen.columns)
    spec = ModelSpec(modality, labels, cut.source, score, signature.batch, details)
    guesses = (said_of_score, said_of_output, said_of_modality, *said_of_details)
    kind = ScoreKind.LOGIT if cut.note else score
    return Meaning(spec, tuple(filter(None, guesses)), kind, binary)


def _is_binary(labels: tuple[str, ...], cut: Cut, score: ScoreKind) -> bool:
    sigmoid = bool(cut.note) and cut.link is Link.SIGMOID
    probability = score is ScoreKind.PROBABILITY
    return score is not ScoreKind.VALUE and (len(labels) == 2 or (not labels and (sigmoid or probability)))  # noqa: PLR2004


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
        return ScoreKind.PROBABILITY, "score probability: the scores of a row of zeros sum to one"
    if seen.columns == 1 and not (given.labels or cut.labels):
        return ScoreKind.VALUE, "score value: the model has one output and no Sigmoid behind it"
    return ScoreKind.LOGIT, "score logit: several outputs and no Softmax behind them"


def _modality(given: ModelSpec, signature: Signature) -> tuple[Modality, str]:
    """What an instance is, and the guess in words."""
    if given.modality is not None:
        return given.modality, ""
    for kind, details in DETAILS.items():
        if isinstance(given.details, details):
            return kind, f"modality {kind.value}: its section of the spec is there"
    info = max(signature.inputs, key=lambda entry: _size(signature.row_shape(entry)))
    row = signature.row_shape(info)
    guess = _guessed_modality(signature, info, row)
    return guess, f"modality {guess.value}: input {info.name!r} is {described(info.dtype, row)}"


def _guessed_modality(signature: Signature, info: TensorInfo, row: Shape | None) -> Modality:
    if row is None:
        return Modality.TENSOR
    scalars = all(_size(signature.row_shape(entry)) == 1 for entry in signature.inputs)
    if scalars and len(signature.inputs) > 1:
        return Modality.TABULAR
    if info.dtype == object and _size(row) == 1:
        return Modality.TEXT
    if len(row) == IMAGE_RANK and image_layout(row):
        return Modality.IMAGE
    if len(row) <= 1:
        return Modality.TABULAR
    return Modality.TIME_SERIES if len(row) == SERIES_RANK else Modality.TENSOR


def image_layout(row: Shape) -> str:
    """Which axis holds channels; empty if this is no picture. Axes of any length may be sides."""

    def sides(*lengths: int | None) -> bool:
        return all(length is None or length >= SMALLEST_IMAGE_SIDE for length in lengths)

    if len(row) == SERIES_RANK:
        return "HW" if sides(*row) else ""
    if len(row) != IMAGE_RANK:
        return ""
    if row[0] in IMAGE_CHANNELS and sides(row[1], row[2]):
        return "CHW"
    return "HWC" if row[2] in IMAGE_CHANNELS and sides(row[0], row[1]) else ""


def series_layout(row: Shape) -> str:
    """Give "CT" when the first axis is the shorter one, else "TC"; "T" for a single axis."""
    if len(row) == 1:
        return "T"
    first, second = row[0], row[1]
    shorter = first is not None and (second is None or first < second)
    return "CT" if shorter else "TC"


def _details(given: Details, kind: Modality, signature: Signature) -> tuple[Details, list[str]]:
    """The section of the spec that belongs to a modality, complete, and the guesses in words.

    Raises InvalidRequest for a section or a layout that does not fit the modality or the input.
    """
    wanted = DETAILS.get(kind)
    if given is not None and (wanted is None or not isinstance(given, wanted)):
        raise InvalidRequest.of(
            "spec.details", f"a {type(given).__name__} does not describe modality {kind.value}"
        )
    info = max(signature.inputs, key=lambda entry: _size(signature.row_shape(entry)))
    row = signature.row_shape(info)
    if kind is Modality.TABULAR:
        return _table(given if isinstance(given, TabularSpec) else TabularSpec(), signature)
    if kind is Modality.IMAGE:
        return _image(given if isinstance(given, ImageSpec) else None, info.name, row)
    if kind is Modality.TIME_SERIES:
        return _series(given if isinstance(given, TimeSeriesSpec) else None, info.name, row)
    return (given or TextSpec() if kind is Modality.TEXT else None), []


def _table(given: TabularSpec, signature: Signature) -> tuple[TabularSpec, list[str]]:
    columns = [
        (info.name, _size(row)) if row is not None and None not in row else (info.name, None)
        for info in signature.inputs
        for row in (signature.row_shape(info),)
    ]
    total = sum(width or 0 for _, width in columns)
    known = all(width is not None for _, width in columns)
    if given.feature_names:
        if known and len(given.feature_names) != total:
            raise InvalidRequest.of(
                "spec.tabular.feature_names",
                f"must be {total} names, one per column, got {len(given.feature_names)}",
            )
        return given, []
    if not known:
        return given, []
    if all(width == 1 for _, width in columns) and total > 1:
        names = tuple(name for name, _ in columns)
        return replace(given, feature_names=names), ["feature names: those of the model's inputs"]
    names = tuple(f"x{number}" for number in range(total))
    return replace(given, feature_names=names), [f"feature names: x0 to x{total - 1}"]


def _image(given: ImageSpec | None, name: str, row: Shape | None) -> tuple[ImageSpec, list[str]]:
    guess = image_layout(row) if row is not None else ""
    if given is None:
        return ImageSpec(guess or "CHW"), [f"layout {guess or 'CHW'} of input {name!r}; values from 0 to 1"]
    if given.layout == ImageSpec().layout and guess:  # the default cannot be told from no layout at all
        given = replace(given, layout="" if guess != given.layout else guess)
    if given.layout and row is not None and len(given.layout) != len(row):
        raise InvalidRequest.of(
            "spec.image.layout",
            f"{given.layout!r} names {len(given.layout)} axes, input {name!r} has {len(row)}",
        )
    if given.layout:
        return given, []
    return replace(given, layout=guess or "CHW"), [f"layout {guess or 'CHW'} of input {name!r}"]


def _series(given: TimeSeriesSpec | None, name: str, row: Shape | None) -> tuple[TimeSeriesSpec, list[str]]:
    guess = series_layout(row) if row else "TC"
    if given is not None and given.layout:
        if row is not None and len(given.layout) != len(row):
            raise InvalidRequest.of(
                "spec.time_series.layout",
                f"{given.layout!r} names {len(given.layout)} axes, input {name!r} has {len(row)}",
            )
        return given, []
    return replace(given or TimeSeriesSpec(), layout=guess), [f"layout {guess} of input {name!r}"]


def _size(row: Shape | None) -> int:
    """Elements of a row; an axis of any length counts as 2, so that it is larger than a scalar."""
    return int(np.prod([2 if length is None else length for length in row or ()], dtype=np.int64))
