"""One patch of a picture or series at a time, replaced by values of the background.

MARGINAL takes the same place of other instances; CONDITIONAL draws from the normal law of patches
given what surrounds this one (Zintgraf et al. 2017, section 3.1). A patch of a picture has all
channels, one of a series a single channel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows, described, digest
from whybox_server.core.rows_soft import Patched
from whybox_server.core.spec import Modality
from whybox_server.perturb.background import background_rows
from whybox_server.perturb.baselines import Rng
from whybox_server.perturb.fills import rounded
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.patches import PatchLaws, patch_laws, patches_shown
from whybox_server.perturb.removal import Sampler, needs_background, noise_of, some
from whybox_server.perturb.tiling import (
    Offset,
    Tiling,
    channels_first,
    offsets_of,
    outer_corners,
    tile,
)

PATCH = {Modality.IMAGE: 10, Modality.TIME_SERIES: 5}  # the paper's for pictures
PATCH_SHARE = 4  # by default at most a quarter of the shortest side
MARGIN = 4  # by default the surroundings are so much wider than the patch, as in the paper
SMALL_SIDE = 32  # up to here every position is visited by default
MOST_NUMBERS = 2**24  # in the laws of patches: 134 MB


@dataclass(frozen=True, slots=True, eq=False)
class SamePlace:
    """Values of the same place in other instances, (rows, *shape), drawn without repetition."""

    background: Array
    draws: int

    @property
    def count(self) -> int:
        return min(self.draws, len(self.background))

    @property
    def noise(self) -> float:
        return noise_of(self.count, len(self.background))

    def values(self, starts: Array, tiling: Tiling, rng: Rng) -> Array:
        """(k, rank) -> (k, count, *box)."""
        chosen = some(rng, len(starts), len(self.background), self.draws)  # (k, count)
        views = sliding_window_view(self.background, tiling.box, axis=tuple(range(1, self.background.ndim)))
        corners = tuple(starts[:, axis, None] for axis in range(starts.shape[1]))
        return np.asarray(views[(chosen, *corners)])


@dataclass(frozen=True, slots=True, eq=False)
class Surrounded:
    """Draws from the law of a patch given its surroundings, within the range of the background."""

    instance: Array  # (channels, *places) float64
    outer: tuple[int, ...]  # sides of the surroundings
    inner: tuple[int, ...]
    laws: PatchLaws
    low: Array  # (channels,)
    high: Array
    dtype: np.dtype[np.generic]
    draws: int

    @property
    def count(self) -> int:
        return self.draws

    @property
    def noise(self) -> float:
        return noise_of(self.draws, None)

    def values(self, starts: Array, tiling: Tiling, rng: Rng) -> Array:
        """(k, rank) -> (k, draws, *box)."""
        axes = tiling.axes
        places = starts[:, list(axes.places)]  # (k, places)
        first = np.zeros(len(starts), int) if axes.channel is None else starts[:, axes.channel]
        many = axes.channels(tiling.box)
        normals = rng.standard_normal((len(starts), many, self.draws, prod(self.inner)))
        corners, offsets = outer_corners(places, self.instance.shape[1:], self.inner, self.outer)
        views = sliding_window_view(self.instance, self.outer, axis=tuple(range(1, self.instance.ndim)))
        for offset in np.unique(offsets, axis=0):
            group = np.flatnonzero((offsets == offset).all(axis=1))
            laws = self.laws.laws[tuple(offset.tolist())]
            around = views[(slice(None), *corners[group].T)]  # (channels, group, *outer)
            around = around.reshape(*around.shape[:2], -1)
            for slot in range(many):
                channel = first[group] + slot
                for c in np.unique(channel):
                    at = np.flatnonzero(channel == c)
                    drawn = laws[c].draw(around[c, at], normals[group[at], slot])
                    normals[group[at], slot] = np.clip(drawn, self.low[c], self.high[c])
        shaped = normals.reshape(len(starts), many, self.draws, *self.inner)
        if axes.channel is None:
            return rounded(shaped[:, 0], self.dtype)
        return rounded(np.moveaxis(shaped, 1, 2 + axes.channel), self.dtype)


@dataclass(frozen=True, slots=True, eq=False)
class Patches:
    """A `Removal`: a part is a patch."""

    instance: Instance
    tiling: Tiling
    source: SamePlace | Surrounded
    baseline: str
    segmentation: str
    warnings: tuple[str, ...]

    @property
    def units(self) -> Units:
        return Units(self.instance.main, self.tiling.shape)

    @property
    def draws(self) -> Array:
        return np.full(self.tiling.count, self.source.count)

    @property
    def noise(self) -> Array:
        return np.full(self.tiling.count, self.source.noise)

    @property
    def numbers(self) -> int:
        return prod(self.tiling.box)

    def rows(self, parts: Array, rng: Rng) -> tuple[Rows, Array]:
        name, count, rank = self.instance.main, self.source.count, len(self.tiling.shape)
        starts = self.tiling.starts(parts)
        values = self.source.values(starts, self.tiling, rng).reshape(-1, *self.tiling.box)
        rest = {other: array for other, array in self.instance.inputs.items() if other != name}
        array = self.instance.inputs[name]
        patched = Patched(name, array, np.repeat(starts, count, axis=0).reshape(-1, rank), values, rest)
        return patched, np.full(len(values), 1 / count)

    def spread(self, values: Array) -> Array:
        return self.tiling.spread(values)


@dataclass(frozen=True, slots=True)
class Settings:
    """How to lay out patches and fill them; None is the default of `whybox.v1.PredictionDifferenceParams`."""

    sampler: Sampler | None
    patch: int | None
    surroundings: int | None
    stride: int | None
    draws: int


def patches_of(instance: Instance, settings: Settings) -> Patches:
    """The patches of the largest input, and where their values come from.

    Raises InvalidRequest without a background, for sides that do not fit, and for CONDITIONAL where
    the background shows too little; by default MARGINAL takes its place then, with a warning.
    """
    modality, name = instance.spec.modality or Modality.IMAGE, instance.main
    background = background_rows(instance)
    if background is None:
        raise needs_background(modality.value)
    shape = instance.inputs[name].shape
    shortest = min(shape[axis] for axis in axes_of(instance.spec, shape).places)
    side, stride = sides(settings, modality, shortest)
    tiling = tile(instance, side, stride)
    words = f"patches of {side} a side, stride {stride}"
    warnings = []
    if len(instance.inputs) > 1:
        warnings.append(f"patches of input {name!r} alone are removed; the other inputs stay as they are")
    rows = background[name]
    if settings.sampler is not Sampler.MARGINAL:
        try:
            source = surrounded(instance, rows, tiling, wider(settings, side, shortest), settings.draws)
        except InvalidRequest as refusal:
            if settings.sampler is Sampler.CONDITIONAL or settings.surroundings is not None:
                raise
            reason = refusal.violations[0].description
            warnings.append(f"values are drawn regardless of the surroundings, because {reason}")
        else:
            learnt = f"{source.laws.count} patches of {len(rows)} background instances"
            baseline = (
                f"normal draws given the surroundings of {source.outer[0]} a side, learnt from {learnt}"
            )
            return Patches(instance, tiling, source, baseline, words, tuple(warnings))
    elif settings.surroundings is not None:
        raise InvalidRequest.of("surroundings", "MARGINAL does not look at them; leave it unset")
    same = SamePlace(rows, settings.draws)
    if len(rows) == 1:
        warnings.append("the background has one instance only, so removed patches always take its values")
    baseline = f"the same place in {same.count} of {len(rows)} background instances"
    return Patches(instance, tiling, same, baseline, words, tuple(warnings))


def sides(settings: Settings, modality: Modality, shortest: int) -> tuple[int, int]:
    """Side of the patch and stride. Raises InvalidRequest when they do not fit."""
    side = settings.patch or min(PATCH[modality], max(1, shortest // PATCH_SHARE))
    if side > shortest:
        raise InvalidRequest.of("patch", f"{side} does not fit a side of {shortest}; use [1, {shortest}]")
    stride = settings.stride or (1 if shortest <= SMALL_SIDE else max(1, side // 2))
    if stride > side:
        raise InvalidRequest.of("stride", f"{stride} is outside [1, {side}]: it would leave gaps")
    return side, stride


def wider(settings: Settings, side: int, shortest: int) -> int:
    """Side of the surroundings. Raises InvalidRequest when they do not fit."""
    around = settings.surroundings or min(side + MARGIN, shortest)
    if not side < around <= shortest:
        raise InvalidRequest.of(
            "surroundings",
            f"{around} a side must be more than the patch, {side}, and at most the shortest side, {shortest}",
        )
    return around


def surrounded(instance: Instance, background: Array, tiling: Tiling, around: int, draws: int) -> Surrounded:
    """Learn how patches vary given `around` places a side, once per background, and keep it with the model.

    Raises InvalidRequest when the background shows too few patches, or there are too many numbers.
    """
    axes = tiling.axes
    inner = tuple(tiling.box[axis] for axis in axes.places)
    outer = (around,) * len(inner)
    typical = channels_first(background, axes, lead=1)  # (rows, channels, *places)
    offsets = offsets_of(tiling, inner, outer)
    refuse_unlearnable(typical, inner, outer, len(offsets))
    own = channels_first(instance.inputs[instance.main], axes).astype(np.float64)
    others = tuple(axis for axis in range(typical.ndim) if axis != 1)
    return Surrounded(
        own,
        outer,
        inner,
        learnt(instance, typical, outer, inner, offsets),
        typical.min(axis=others).astype(np.float64),
        typical.max(axis=others).astype(np.float64),
        instance.inputs[instance.main].dtype,
        draws,
    )


def refuse_unlearnable(typical: Array, inner: tuple[int, ...], outer: tuple[int, ...], offsets: int) -> None:
    """Raises InvalidRequest for laws that nothing teaches, or that do not fit into memory."""
    places, shown = prod(outer), patches_shown(len(typical), typical.shape[2:], outer)
    if shown <= places:
        raise InvalidRequest.of(
            "surroundings",
            f"the background shows {shown} patches and the law of {places} places needs more than that; send "
            "more background instances, smaller surroundings, or use MARGINAL",
        )
    size = typical.shape[1] * (places**2 + offsets * prod(inner) * places)
    if size > MOST_NUMBERS:
        raise InvalidRequest.of(
            "surroundings",
            f"the laws of patches would take {size} numbers and may take {MOST_NUMBERS}; use smaller "
            "surroundings, a larger stride, or MARGINAL",
        )


def learnt(
    instance: Instance,
    typical: Array,
    outer: tuple[int, ...],
    inner: tuple[int, ...],
    offsets: tuple[Offset, ...],
) -> PatchLaws:
    """The laws, from the model's memo where it has one."""
    kept = instance.spec.kept
    if kept is None:
        return patch_laws(typical, outer, inner, offsets)
    key = digest(b"patches", repr((outer, inner, offsets)).encode(), *described(typical))
    return kept.get(key, lambda: patch_laws(typical, outer, inner, offsets))
