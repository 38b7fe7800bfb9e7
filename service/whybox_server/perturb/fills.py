"""Values for "absent" computed from one array: mean, blur, noise, a constant, the caller's own.

Each function takes the array and its axes and returns a new array like it; none knows of segments,
so that no segment is ever replaced by its own mean.
"""

from __future__ import annotations

import numpy as np
import scipy.fft

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.perturb.layout import Axes

SIGMA_SHARE = 10  # of the longest side
SMALLEST_SIGMA = 5.0


def mean(array: Array, axes: Axes) -> Array:
    """The mean over all places, per channel."""
    values = np.asarray(np.mean(array, axis=axes.places, keepdims=True, dtype=np.float64))
    return np.broadcast_to(rounded(values, array.dtype), array.shape)


def noise(array: Array, axes: Axes, rng: np.random.Generator) -> Array:
    """Normal draws with the array's mean and deviation, per channel."""
    values = array.astype(np.float64)
    centre = values.mean(axis=axes.places, keepdims=True)
    width = values.std(axis=axes.places, keepdims=True)
    return rounded(centre + width * rng.standard_normal(array.shape), array.dtype)


def default_sigma(array: Array, axes: Axes) -> float:
    """A tenth of the longest side, at least 5."""
    longest = max((array.shape[axis] for axis in axes.places), default=0)
    return max(SMALLEST_SIGMA, float(longest) / SIGMA_SHARE)


def blur(array: Array, axes: Axes, sigma: float) -> Array:
    """Gaussian blur over the places, mirrored at the borders; sums are kept.

    The kernel is the discrete Gaussian of Lindeberg (1990, IEEE PAMI 12(3)), whose transfer function
    is exp(-sigma^2 (1 - cos w)). Mirrored borders make it diagonal in the cosine transform, where
    it costs a tenth of a convolution as wide as ours.
    """
    waves = scipy.fft.dctn(array.astype(np.float64), axes=axes.places)
    for axis in axes.places:
        frequency = np.pi * np.arange(array.shape[axis]) / array.shape[axis]
        transfer = np.exp(-(sigma**2) * (1 - np.cos(frequency)))
        waves *= np.expand_dims(transfer, tuple(a for a in range(array.ndim) if a != axis))
    return rounded(scipy.fft.idctn(waves, axes=axes.places), array.dtype)


def constant(array: Array, value: float) -> Array:
    """One value everywhere. Raises InvalidRequest when the input's dtype does not hold it."""
    return np.broadcast_to(exactly(np.asarray(value), array.dtype, "baseline.value"), array.shape)


def given(array: Array, values: Array | None) -> Array:
    """The caller's own values. Raises InvalidRequest when they are missing or do not fit."""
    if values is None:
        raise InvalidRequest.of("baseline.given", "kind GIVEN needs values, broadcastable to the instance")
    try:
        values = np.broadcast_to(values, array.shape)
    except ValueError:
        raise InvalidRequest.of(
            "baseline.given", f"shape {values.shape} does not broadcast to the instance's {array.shape}"
        ) from None
    return exactly(values, array.dtype, "baseline.given")


def rounded(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Computed values in an input's dtype: integers are rounded and clipped to their range."""
    if dtype.kind not in "iub":
        return values.astype(dtype)
    whole = np.rint(values)
    if dtype.kind == "b":
        return whole.astype(dtype)
    limits = np.iinfo(dtype.name)
    return np.clip(whole, limits.min, limits.max).astype(dtype)


def exactly(values: Array, dtype: np.dtype[np.generic], field: str) -> Array:
    """Stated values in an input's dtype; floats may lose digits, nothing else may change.

    Raises InvalidRequest naming `field` for a value that the dtype does not hold.
    """
    if (values.dtype.kind in "OUS") != (dtype.kind in "OUS"):
        raise InvalidRequest.of(field, f"the model takes {dtype} here; give values of that kind")
    if dtype.kind in "OUS":
        return values.astype(object)
    with np.errstate(over="ignore", invalid="ignore"):
        cast = values.astype(dtype)
    holds = np.isfinite(cast).all() if dtype.kind == "f" else np.array_equal(cast, values)
    if not holds:
        bad = values[~np.isfinite(cast)] if dtype.kind == "f" else values[cast != values]
        raise InvalidRequest.of(field, f"{bad.flat[0]} is no value of {dtype}, which the model takes here")
    return cast
