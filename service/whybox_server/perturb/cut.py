"""Cuts an instance that is no string into segments, as its modality asks.

Only chooses and names; the algorithms are in `picture`, `series`, `columns`, `words` and `segments`.
"""

from __future__ import annotations

from whybox_server.core.instance import Instance
from whybox_server.core.spec import ImageSpec, Modality, TextSpec, TimeSeriesSpec
from whybox_server.perturb.columns import cut_columns
from whybox_server.perturb.layout import axes_of, hidden_input
from whybox_server.perturb.options import Segmentation, SegmentationKind
from whybox_server.perturb.picture import SUPERPIXELS, displayed, grid, superpixels
from whybox_server.perturb.segments import Cut, element_names, elements, given, on_channels, wrong_kind
from whybox_server.perturb.series import step_names, windows
from whybox_server.perturb.words import cut_tokens

Kind = SegmentationKind
IMAGE_KINDS = (*SUPERPIXELS, Kind.GRID, Kind.ELEMENTS, Kind.GIVEN)
SERIES_KINDS = (Kind.WINDOWS, Kind.ELEMENTS, Kind.GIVEN)


def cut_instance(instance: Instance, segmentation: Segmentation) -> Cut:
    """Segments of an instance that is no string."""
    modality = instance.spec.modality or Modality.TENSOR
    if modality in (Modality.TABULAR, Modality.TENSOR):
        return cut_columns(instance, segmentation)
    name = hidden_input(instance)
    array = instance.inputs[name]
    if modality is Modality.TEXT:
        pad_id = instance.spec.details.pad_id if isinstance(instance.spec.details, TextSpec) else 0
        return cut_tokens(name, array, pad_id, segmentation.kind)
    axes = axes_of(instance.spec, array.shape)
    if segmentation.kind is Kind.GIVEN:
        labels, numbers = given(segmentation.given, array.shape, axes)
        names = tuple(f"segment {number}" for number in numbers)
        return Cut({name: labels}, names, f"{len(names)} segments as given")
    cut = cut_picture if modality is Modality.IMAGE else cut_series
    return cut(instance, name, segmentation)


def cut_picture(instance: Instance, name: str, segmentation: Segmentation) -> Cut:
    """Superpixels, a grid, or single elements of a picture."""
    array, spec = instance.inputs[name], instance.spec
    axes = axes_of(spec, array.shape)
    kind = segmentation.kind or Kind.SLIC
    if kind is Kind.ELEMENTS:
        labels = elements(array.shape, axes, segmentation.all_channels)
        what = "pixels" if segmentation.all_channels else "values"
        return Cut({name: labels}, element_names(labels), f"{labels.size} {what}")
    if kind is Kind.GRID:
        height, width = (array.shape[axis] for axis in axes.places)
        labels, words = grid(height, width, segmentation.count)
    elif kind in SUPERPIXELS:
        details = spec.details if isinstance(spec.details, ImageSpec) else ImageSpec()
        labels, words = superpixels(displayed(array, axes, details), segmentation)
    else:
        raise wrong_kind(kind, IMAGE_KINDS, "a picture")
    names = tuple(f"segment {i}" for i in range(labels.max() + 1))
    return Cut({name: on_channels(labels, axes)}, names, words)


def cut_series(instance: Instance, name: str, segmentation: Segmentation) -> Cut:
    """Spans of time, or single elements of a series."""
    shape, spec = instance.inputs[name].shape, instance.spec
    axes = axes_of(spec, shape)
    channels = spec.details.channel_names if isinstance(spec.details, TimeSeriesSpec) else ()
    kind = segmentation.kind or Kind.WINDOWS
    if kind is Kind.WINDOWS:
        labels, names, words = windows(shape, axes, segmentation.count, segmentation.all_channels, channels)
    elif kind is Kind.ELEMENTS:
        labels = elements(shape, axes, segmentation.all_channels)
        names, words = step_names(shape, axes, segmentation.all_channels, channels), f"{labels.size} steps"
    else:
        raise wrong_kind(kind, SERIES_KINDS, "a time series")
    return Cut({name: labels}, names, words)
