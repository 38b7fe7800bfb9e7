"""The instance in a form that a person can look at: a picture, a text in pieces, a table's row, a series."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from whybox_server.core.explanation import Units
from whybox_server.core.instance import Subject
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, TabularSpec, TimeSeriesSpec
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.picture import displayed


@dataclass(frozen=True, slots=True, eq=False)
class PictureView:
    pixels: Array  # (h, w, 3) uint8


@dataclass(frozen=True, slots=True)
class TextView:
    pieces: tuple[str, ...]
    segments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TableView:
    names: tuple[str, ...]
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class SeriesView:
    values: Array  # (time, channels) float64
    channels: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class TensorView:
    values: Array


View: TypeAlias = PictureView | TextView | TableView | SeriesView | TensorView


def view(subject: Subject, units: Units) -> View:
    """How to show the instance that a result with these units is about."""
    return view_of(subject.instance.spec, subject.instance.inputs, units, units.pieces)


def view_of(spec: ModelSpec, inputs: Mapping[str, Array], units: Units, pieces: tuple[str, ...]) -> View:
    """How to show these inputs. pieces: of a text, cut as the instance was; those that are gone are empty."""
    array = inputs[units.input]
    if units.pieces:
        return TextView(pieces, units.piece_segments)
    match spec.details:
        case ImageSpec() as image:
            picture = displayed(array, axes_of(spec, array.shape), image)
            return PictureView(np.rint(picture * np.iinfo(np.uint8).max).astype(np.uint8))
        case TabularSpec(names, _, categories):
            return TableView(names, tuple(_readable(inputs, categories)))
        case TimeSeriesSpec(layout, channels):
            return SeriesView(_time_first(array, layout), channels)
        case _ if spec.modality is Modality.TEXT:
            tokens = tuple(str(value) for value in array.ravel())
            return TextView(tokens, tuple(range(len(tokens))))
        case _:
            return TensorView(array)


def _readable(inputs: Mapping[str, Array], categories: Mapping[int, tuple[str, ...]]) -> list[str]:
    """The row's values in the order of the columns; categories by name."""
    flat = [value for array in inputs.values() for value in np.asarray(array).ravel()]
    texts = []
    for column, value in enumerate(flat):
        names = categories.get(column, ())
        if names and not isinstance(value, str) and 0 <= int(value) < len(names):
            texts.append(names[int(value)])
        else:
            texts.append(value if isinstance(value, str) else f"{value:.6g}")
    return texts


def _time_first(array: Array, layout: str) -> Array:
    values = np.asarray(array, dtype=np.float64)
    return values[:, None] if layout == "T" else values.T if layout == "CT" else values
