"""What the tensors of a model mean.

A `ModelSpec` comes from the request, from `whybox.yaml`, or from a guess; by the time a method sees
it, nothing is missing any more. It says nothing about how the model is run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from whybox_server.core.memo import Memo
from whybox_server.core.rows import Array


class Modality(Enum):
    TABULAR = "tabular"
    IMAGE = "image"
    TEXT = "text"
    TIME_SERIES = "time_series"
    TENSOR = "tensor"


class ScoreKind(Enum):
    """What a model's output holds."""

    LOGIT = "logit"
    PROBABILITY = "probability"
    VALUE = "value"


class BatchAxis(Enum):
    """How the first axis of a model's inputs is used."""

    DYNAMIC = "dynamic"
    FIXED = "fixed"
    NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class TabularSpec:
    """Columns in the order of the model's inputs, flattened."""

    feature_names: tuple[str, ...] = ()
    background: Array | None = None  # (rows, columns), numbers or objects
    categories: Mapping[int, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImageSpec:
    layout: str = "CHW"  # or HWC, HW; the instance's axes
    black: float = 0.0
    white: float = 1.0
    mean: tuple[float, ...] = ()  # per channel, in units of [black, white]
    std: tuple[float, ...] = ()
    background: Array | None = field(default=None, compare=False)  # (rows, *instance shape)


@dataclass(frozen=True, slots=True)
class TextSpec:
    mask_token: str = "UNKWORDZ"
    mask_id: int | None = None  # None: pad_id
    pad_id: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class TimeSeriesSpec:
    layout: str = "TC"  # or CT, T
    channel_names: tuple[str, ...] = ()
    background: Array | None = None  # (rows, *instance shape)


Details = TabularSpec | ImageSpec | TextSpec | TimeSeriesSpec | None


@dataclass(frozen=True, slots=True)
class GradientOutput:
    """An output that holds gradients of the explained scores; see `whybox.v1.GradientOutput`."""

    output: str
    seed: str = ""
    input: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class ModelSpec:
    """Every field may be None or empty until `serving.onnx.meaning` has filled it in."""

    modality: Modality | None = None
    labels: tuple[str, ...] = ()
    output: str = ""
    score: ScoreKind | None = None
    batch: BatchAxis | None = None
    gradient: GradientOutput | None = None
    details: Details = None
    kept: Memo | None = None  # of the model, from one explanation to the next
