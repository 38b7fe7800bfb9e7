"""Cuts pictures. Superpixels are sought in the picture as a person sees it, not as a model does.

Normalised values would let the channel with the smallest deviation decide where segments end.
"""

from __future__ import annotations

import numpy as np
import skimage
from numpy.typing import NDArray

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec
from whybox_server.perturb.layout import Axes
from whybox_server.perturb.options import Segmentation, SegmentationKind
from whybox_server.perturb.segments import contiguous, refuse_too_many

DEFAULT_COUNT = 50
SLIC_COMPACTNESS = 10.0
SLIC_ROUNDS = 5  # at 224 x 224 half of scikit-image's 10 take 0.024 s instead of 0.038 s, alike to the eye
QUICKSHIFT_KERNEL, QUICKSHIFT_DISTANCE, QUICKSHIFT_RATIO = 4, 200, 0.2  # as in Ribeiro's lime
FELZENSZWALB_SCALE = 100  # the library's 1 makes 600 segments of a photograph
FELZENSZWALB_SHARE = 200  # no segment is smaller than this part of the picture

SUPERPIXELS = (SegmentationKind.SLIC, SegmentationKind.QUICKSHIFT, SegmentationKind.FELZENSZWALB)


def displayed(array: Array, axes: Axes, spec: ImageSpec) -> NDArray[np.float64]:
    """The picture behind a model's input, (height, width, 3) in [0, 1].

    Undoes (value - mean) / std and the range [black, white]. One channel becomes grey, the fourth of
    four is left out, and any other number of channels is averaged to grey.
    """
    picture = np.asarray(array, dtype=np.float64)
    picture = picture[..., None] if axes.channel is None else np.moveaxis(picture, axes.channel, -1)
    channels = picture.shape[-1]
    mean = per_channel(spec.mean, channels, "mean", unset=0.0)
    std = per_channel(spec.std, channels, "std", unset=1.0)
    if spec.white == spec.black:
        raise InvalidRequest.of("spec.image.white", f"black and white are both {spec.black}; change one")
    unit = (picture * std + mean - spec.black) / (spec.white - spec.black)
    if channels not in (3, 4):
        unit = np.repeat(unit.mean(axis=-1, keepdims=True), 3, axis=-1)
    return np.clip(unit[..., :3], 0.0, 1.0)


def per_channel(values: tuple[float, ...], channels: int, name: str, unset: float) -> NDArray[np.float64]:
    """One number per channel, or one for all. Raises InvalidRequest for another length."""
    if len(values) not in (0, 1, channels):
        raise InvalidRequest.of(
            f"spec.image.{name}", f"{len(values)} numbers for {channels} channels; give one per channel"
        )
    return np.asarray(values or (unset,), dtype=np.float64)


def superpixels(picture: NDArray[np.float64], segmentation: Segmentation) -> tuple[Array, str]:
    """Labels, (height, width) int32 from 0, of a displayed picture, and what was done, in words.

    Raises InvalidRequest when the whole picture is one segment.
    """
    height, width = picture.shape[:2]
    kind = segmentation.kind or SegmentationKind.SLIC
    if kind is SegmentationKind.SLIC:
        count = min(segmentation.count or DEFAULT_COUNT, height * width)
        refuse_too_many(count)
        found = skimage.segmentation.slic(
            picture, count, SLIC_COMPACTNESS, max_num_iter=SLIC_ROUNDS, start_label=0, channel_axis=-1
        )
    elif kind is SegmentationKind.QUICKSHIFT:
        found = skimage.segmentation.quickshift(  # type: ignore[no-untyped-call]  # scikit-image's gap
            picture, QUICKSHIFT_RATIO, QUICKSHIFT_KERNEL, QUICKSHIFT_DISTANCE, rng=0, channel_axis=-1
        )
    else:
        smallest = max(1, height * width // FELZENSZWALB_SHARE)
        found = skimage.segmentation.felzenszwalb(
            picture, FELZENSZWALB_SCALE, min_size=smallest, channel_axis=-1
        )
    labels, numbers = contiguous(np.asarray(found))
    if len(numbers) < 2:
        raise InvalidRequest.of(
            "segmentation.kind",
            f"{kind.name} finds one segment only in this picture, so there is nothing to compare; use GRID",
        )
    refuse_too_many(len(numbers))
    return labels, f"{named(kind)}, {len(numbers)} segments"


def named(kind: SegmentationKind) -> str:
    """The algorithm as its authors write it."""
    return kind.name if kind is SegmentationKind.SLIC else kind.value


def grid(height: int, width: int, count: int) -> tuple[Array, str]:
    """About `count` nearly square rectangles; labels (height, width) int32, row by row."""
    wanted = count or DEFAULT_COUNT
    down = int(np.clip(round(np.sqrt(wanted * height / width)), 1, height))
    across = int(np.clip(round(wanted / down), 1, width))
    refuse_too_many(down * across)
    rows = np.arange(height) * down // height
    columns = np.arange(width) * across // width
    labels = (rows[:, None] * across + columns[None, :]).astype(np.int32)
    return labels, f"grid of {down} x {across} rectangles"
