"""How a caller says what is hidden together and what "absent" looks like."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from whybox_server.core.rows import Array


class SegmentationKind(Enum):
    SLIC = "slic"
    QUICKSHIFT = "quickshift"
    FELZENSZWALB = "felzenszwalb"
    GRID = "grid"
    ELEMENTS = "elements"
    WORDS = "words"
    POSITIONS = "positions"
    CHARACTERS = "characters"
    WINDOWS = "windows"
    GIVEN = "given"


class BaselineKind(Enum):
    MEAN = "mean"
    BLUR = "blur"
    CONSTANT = "constant"
    NOISE = "noise"
    BACKGROUND = "background"
    DELETE = "delete"
    MASK = "mask"
    PAD = "pad"
    GIVEN = "given"


@dataclass(frozen=True, slots=True, eq=False)
class Segmentation:
    """None and 0 mean the modality's default (see `whybox.v1.Segmentation`)."""

    kind: SegmentationKind | None = None
    count: int = 0
    all_channels: bool = False
    given: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Baseline:
    """None and 0 mean the modality's default (see `whybox.v1.Baseline`)."""

    kind: BaselineKind | None = None
    value: float = 0.0
    sigma: float = 0.0
    given: Array | None = None
