"""Guesses what an instance is and what its axes are, from the shapes and element types of the inputs.

Fills the section of a `ModelSpec` that belongs to a modality. Says every guess in a sentence; knows
nothing of scores.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import (
    Details,
    ImageSpec,
    Modality,
    ModelSpec,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)
from whybox_server.graph.walk import Shape
from whybox_server.serving.onnx.signature import Signature, TensorInfo, described

IMAGE_CHANNELS = (1, 3, 4)
SMALLEST_IMAGE_SIDE = 8
IMAGE_RANK = 3
SERIES_RANK = 2

DETAILS: dict[Modality, type[TabularSpec | ImageSpec | TextSpec | TimeSeriesSpec]] = {
    Modality.TABULAR: TabularSpec,
    Modality.IMAGE: ImageSpec,
    Modality.TEXT: TextSpec,
    Modality.TIME_SERIES: TimeSeriesSpec,
}


def modality_of(given: ModelSpec, signature: Signature) -> tuple[Modality, str]:
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


def details_of(given: Details, kind: Modality, signature: Signature) -> tuple[Details, list[str]]:
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
