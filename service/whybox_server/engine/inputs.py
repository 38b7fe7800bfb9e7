"""What callers give (pictures, texts, records, arrays) to what models take.

Knows the spec and the model's declared inputs; knows nothing of how the model runs.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Protocol

import numpy as np
from PIL import Image

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, ModelSpec, TabularSpec
from whybox_server.engine.task import Given, Picture, Record, Tensors, Text

RGB_TO_GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601 luma


class Declared(Protocol):
    """An input as the model declares it, without the batch axis; None where any length will do."""

    @property
    def name(self) -> str: ...

    @property
    def dtype(self) -> np.dtype[np.generic]: ...

    @property
    def shape(self) -> tuple[int | None, ...]: ...


def arrays_of(given: Given, inputs: Sequence[Declared], spec: ModelSpec, field: str) -> dict[str, Array]:
    """Arrays by input name, not yet checked against the model's shapes. Raises InvalidRequest."""
    match given:
        case Tensors(arrays):
            return dict(arrays)
        case Text(text):
            return {_only_text(inputs, field).name: np.array(text, dtype=object)}
        case Picture(pixels):
            return {inputs[0].name: _picture(pixels, inputs, spec, field)}
        case Record(fields):
            return _record(fields, inputs, spec, field)


def _only_text(inputs: Sequence[Declared], field: str) -> Declared:
    texts = [one for one in inputs if one.dtype.kind == "O"]
    if len(inputs) != 1 or len(texts) != 1:
        raise InvalidRequest.of(f"{field}.text", "this model does not have one string input; give tensors")
    return texts[0]


def _picture(pixels: Array, inputs: Sequence[Declared], spec: ModelSpec, field: str) -> Array:
    """A picture resized to the model's size and normalised as its spec says, in the model's layout."""
    if len(inputs) != 1 or not isinstance(spec.details, ImageSpec):
        raise InvalidRequest.of(f"{field}.picture", "this model does not take one picture; give tensors")
    image, shape = spec.details, inputs[0].shape
    axes = dict(zip(image.layout, shape, strict=True)) if len(image.layout) == len(shape) else {}
    height, width = axes.get("H") or pixels.shape[0], axes.get("W") or pixels.shape[1]
    scaled = _resize(pixels, height, width).astype(np.float64) / np.iinfo(np.uint8).max  # (h, w, c)
    scaled = _channels(scaled, 1 if image.layout == "HW" else axes.get("C") or pixels.shape[2], field)
    values = (scaled - np.array(image.mean or 0.0)) / np.array(image.std or 1.0)
    values = image.black + values * (image.white - image.black)
    match image.layout:
        case "CHW":
            return np.ascontiguousarray(values.transpose(2, 0, 1))
        case "HW":
            return np.asarray(values[:, :, 0])
        case _:
            return np.asarray(values)


def _resize(pixels: Array, height: int, width: int) -> Array:
    if pixels.shape[:2] == (height, width):
        return pixels
    picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    resized = np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
    return resized.reshape(height, width, -1)


def _channels(scaled: Array, channels: int, field: str) -> Array:
    have = scaled.shape[2]
    if have == channels:
        return scaled
    if have == 1:
        return np.repeat(scaled, channels, axis=2)
    if channels == 1:
        return np.asarray(scaled @ RGB_TO_GREY)[:, :, None]
    raise InvalidRequest.of(f"{field}.picture", f"has {have} channels and the model takes {channels}")


def _record(
    fields: Mapping[str, float | str], inputs: Sequence[Declared], spec: ModelSpec, field: str
) -> dict[str, Array]:
    """Columns by name, spread over the model's inputs in their order; or a value by name of each input."""
    own = [one.name for one in inputs]
    names = own if set(fields) == set(own) else _columns(spec, field)
    for name in fields:
        if name not in names:
            near = difflib.get_close_matches(name, names, 3)
            hint = f"; did you mean {' or '.join(near)}?" if near else f"; columns are {', '.join(names[:20])}"
            raise InvalidRequest.of(f"{field}.record[{name!r}]", f"no such column{hint}")
    missing = [name for name in names if name not in fields]
    if missing:
        raise InvalidRequest.of(f"{field}.record", f"columns are missing: {', '.join(missing[:20])}")
    values = [fields[name] for name in names]
    for name, value, one in zip(names, values, cycle(inputs), strict=False):
        if isinstance(value, str) and one.dtype.kind != "O":
            raise InvalidRequest.of(f"{field}.record[{name!r}]", f"must be a number, got {value!r}")
    if len(inputs) == 1:
        return {inputs[0].name: np.array(values, dtype=object if inputs[0].dtype.kind == "O" else np.float64)}
    if len(values) != len(inputs):
        raise InvalidRequest.of(f"{field}.record", "this model's inputs are no single columns; give tensors")
    return {
        one.name: np.array([value], dtype=object if one.dtype.kind == "O" else np.float64)
        for one, value in zip(inputs, values, strict=True)
    }


def _columns(spec: ModelSpec, field: str) -> list[str]:
    if not isinstance(spec.details, TabularSpec):
        raise InvalidRequest.of(f"{field}.record", "this model does not take a table's row; give tensors")
    return list(spec.details.feature_names)
