"""Which axes of an array are places and which one is the channel.

Spells out the `layout` of a spec; knows nothing of what is done with the axes.
"""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, TimeSeriesSpec

LAYOUTS = {Modality.IMAGE: ("CHW", "HWC", "HW"), Modality.TIME_SERIES: ("TC", "CT", "T")}
SIDE_INPUTS = ("mask", "type", "segment")  # of token-id models: never the ids themselves


@dataclass(frozen=True, slots=True)
class Axes:
    """Axes of one array: those of space or time, in order, and the channel's, if there is one."""

    places: tuple[int, ...]
    channel: int | None = None

    def channels(self, shape: tuple[int, ...]) -> int:
        """How many channels an array of this shape has; 1 without a channel axis."""
        return 1 if self.channel is None else shape[self.channel]


def layout_of(spec: ModelSpec) -> str:
    """The letters of the layout, "" for modalities that have none."""
    if isinstance(spec.details, ImageSpec | TimeSeriesSpec):
        return spec.details.layout
    return {Modality.IMAGE: "CHW", Modality.TIME_SERIES: "TC"}.get(spec.modality or Modality.TENSOR, "")


def axes_of(spec: ModelSpec, shape: tuple[int, ...]) -> Axes:
    """Axes of an array of this shape; without a layout every axis is a place.

    Raises InvalidRequest when the layout is unknown or has another rank.
    """
    modality = spec.modality or Modality.TENSOR
    if modality not in LAYOUTS:
        return Axes(tuple(range(len(shape))))
    layout = layout_of(spec)
    if layout not in LAYOUTS[modality] or len(layout) != len(shape):
        known = ", ".join(LAYOUTS[modality])
        raise InvalidRequest.of(
            f"spec.{'image' if modality is Modality.IMAGE else 'time_series'}.layout",
            f"{layout!r} does not describe an input of shape {shape}; "
            f"give one of {known} with {len(shape)} axes, or declare modality TENSOR",
        )
    channel = layout.find("C")
    return Axes(
        tuple(axis for axis, letter in enumerate(layout) if letter != "C"),
        None if channel < 0 else channel,
    )


def hidden_input(instance: Instance) -> str:
    """The input that is cut when only one is.

    Token-id models come with an attention mask and token types of the same shape: the ids are the
    first integer input that is not called so.
    """
    if instance.spec.modality is Modality.TEXT:
        for name, array in instance.inputs.items():
            if array.dtype.kind in "iuOUS" and not any(word in name.lower() for word in SIDE_INPUTS):
                return name
    return instance.main
