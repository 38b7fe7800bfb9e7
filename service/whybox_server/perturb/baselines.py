"""What "absent" looks like: the values put where a segment is hidden, in words too.

Chooses by modality among the fills; knows nothing of segments. Texts that are strings have a filler
instead, see `hiding`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, TextSpec
from whybox_server.perturb import fills
from whybox_server.perturb.background import Background, from_background
from whybox_server.perturb.columns import column_numbers
from whybox_server.perturb.layout import axes_of, hidden_input
from whybox_server.perturb.options import Baseline, BaselineKind

Rng = np.random.Generator
Kind = BaselineKind

# The first is the default.
KINDS: Mapping[Modality, tuple[Kind, ...]] = {
    Modality.IMAGE: (Kind.BLUR, Kind.MEAN, Kind.CONSTANT, Kind.NOISE, Kind.BACKGROUND, Kind.GIVEN),
    Modality.TIME_SERIES: (Kind.MEAN, Kind.BLUR, Kind.CONSTANT, Kind.NOISE, Kind.BACKGROUND, Kind.GIVEN),
    Modality.TABULAR: (Kind.MEAN, Kind.CONSTANT, Kind.BACKGROUND, Kind.GIVEN),
    Modality.TENSOR: (Kind.CONSTANT, Kind.MEAN, Kind.NOISE, Kind.GIVEN),
    Modality.TEXT: (Kind.MASK, Kind.PAD, Kind.CONSTANT, Kind.GIVEN),
}


def background_of(instance: Instance, baseline: Baseline, rng: Rng) -> Background:
    """What the baseline means for this instance.

    Raises InvalidRequest for a kind that does not apply, for statistics that are missing, and for
    values that the model's dtypes do not hold.
    """
    modality = instance.spec.modality or Modality.TENSOR
    refuse_nonsense(baseline)
    kind = chosen_kind(baseline, KINDS[modality], modality.value)
    if kind is Kind.BACKGROUND or (kind is Kind.MEAN and modality is Modality.TABULAR):
        return from_background(instance, kind, implied=baseline.kind is None)
    if modality in (Modality.TABULAR, Modality.TENSOR):
        return of_columns(instance, baseline, kind, rng)
    name = hidden_input(instance)
    values, words = of_array(instance, instance.inputs[name], baseline, kind, rng)
    return Background({name: values[None]}, words)


def chosen_kind(baseline: Baseline, kinds: tuple[Kind, ...], what: str) -> Kind:
    """The kind asked for or the default. Raises InvalidRequest for one that does not apply."""
    if baseline.kind is None:
        return kinds[0]
    if baseline.kind not in kinds:
        known = ", ".join(kind.name for kind in kinds)
        raise InvalidRequest.of(
            "baseline.kind", f"{baseline.kind.name} does not apply to {what} instances; use {known}"
        )
    return baseline.kind


def refuse_nonsense(baseline: Baseline) -> None:
    """Raises InvalidRequest for numbers that mean nothing."""
    if not np.isfinite(baseline.value):
        raise InvalidRequest.of("baseline.value", f"must be finite, got {baseline.value}")
    if not (np.isfinite(baseline.sigma) and baseline.sigma >= 0):
        raise InvalidRequest.of(
            "baseline.sigma", f"must be positive, or 0 for the default, got {baseline.sigma}"
        )


def of_array(instance: Instance, array: Array, baseline: Baseline, kind: Kind, rng: Rng) -> tuple[Array, str]:
    """Values like one array, and what they are, for the kinds that need nothing but the array."""
    axes = axes_of(instance.spec, array.shape)
    channels = " per channel" if axes.channel is not None else ""
    unit = "pixels" if instance.spec.modality is Modality.IMAGE else "steps"
    sigma = baseline.sigma or fills.default_sigma(array, axes)
    details = instance.spec.details if isinstance(instance.spec.details, TextSpec) else TextSpec()
    mask_id = details.pad_id if details.mask_id is None else details.mask_id
    makers: Mapping[Kind, tuple[Callable[[], Array], str]] = {
        Kind.BLUR: (lambda: fills.blur(array, axes, sigma), f"Gaussian blur, sigma {sigma:g} {unit}"),
        Kind.MEAN: (lambda: fills.mean(array, axes), f"mean of the instance{channels}"),
        Kind.CONSTANT: (lambda: fills.constant(array, baseline.value), f"constant {baseline.value:g}"),
        Kind.NOISE: (
            lambda: fills.noise(array, axes, rng),
            f"Gaussian noise, drawn once, mean and deviation of the instance{channels}",
        ),
        Kind.GIVEN: (lambda: fills.given(array, baseline.given), "values as given"),
        Kind.MASK: (lambda: fills.constant(array, mask_id), f"mask token, id {mask_id}"),
        Kind.PAD: (lambda: fills.constant(array, details.pad_id), f"pad token, id {details.pad_id}"),
    }
    make, words = makers[kind]
    return make(), words


def of_columns(instance: Instance, baseline: Baseline, kind: Kind, rng: Rng) -> Background:
    """Like `of_array`, over all inputs; values GIVEN for several inputs are one per column."""
    numbers = column_numbers(instance.inputs)
    columns = sum(array.size for array in numbers.values())
    flat = baseline.given if kind is Kind.GIVEN and len(numbers) > 1 else None
    if flat is not None and flat.shape != (columns,):
        raise InvalidRequest.of(
            "baseline.given", f"has shape {flat.shape}; with several inputs give one per column, ({columns},)"
        )
    values, words = {}, ""
    for name, array in instance.inputs.items():
        own = baseline
        if flat is not None:
            own = Baseline(kind, given=strictly(flat[numbers[name]], array.dtype))
        if array.dtype.kind in "OUS" and kind is not Kind.GIVEN:
            raise InvalidRequest.of(
                "baseline.kind", f"{kind.name} is a number and input {name!r} holds strings; use GIVEN"
            )
        found, words = of_array(instance, array, own, kind, rng)
        values[name] = found[None]
    return Background(values, words)


def strictly(values: Array, dtype: np.dtype[np.generic]) -> Array:
    """Numbers out of an array of objects, when numbers are wanted."""
    if values.dtype == object and dtype.kind not in "OUS":
        try:
            return values.astype(np.float64)
        except (TypeError, ValueError):
            raise InvalidRequest.of("baseline.given", f"{values.flat[0]!r} is no number") from None
    return values
