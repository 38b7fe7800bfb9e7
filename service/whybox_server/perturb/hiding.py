"""What every method that hides segments stands on: an instance, cut, and what "absent" looks like.

`hide` settles both by modality; the result turns masks into rows. It asks no model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Units
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Masked, Part, Rows, Texts
from whybox_server.core.spec import Modality, TextSpec
from whybox_server.perturb.background import Background
from whybox_server.perturb.baselines import Rng, background_of, chosen_kind
from whybox_server.perturb.cut import cut_instance
from whybox_server.perturb.layout import hidden_input
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation
from whybox_server.perturb.segments import Cut
from whybox_server.perturb.words import cut_text

NAMES_IN_A_WARNING = 5


@dataclass(frozen=True, slots=True, eq=False)
class Hiding:
    """A cut instance whose segments can be hidden in any combination."""

    units: Units
    baseline: str  # in words
    segmentation: str  # in words
    warnings: tuple[str, ...]
    backgrounds: int  # k alternatives for "absent"; with k > 1 a method draws `choice`
    describe: Callable[[Array, Array | None], Rows]

    @property
    def count(self) -> int:
        """Number of segments."""
        return len(self.units.names)

    def rows(self, masks: Array, choice: Array | None = None) -> Rows:
        """Rows that keep the segments where masks, (n, count) bool, is True.

        choice: (n,) integers in [0, backgrounds), which alternative each row takes; None is the first.
        """
        return self.describe(masks, choice)


def hide(instance: Instance, segmentation: Segmentation, baseline: Baseline, rng: Rng) -> Hiding:
    """Cut an instance and settle what replaces its hidden segments.

    Raises InvalidRequest, naming the field and the remedy, and MethodUnsupported for a text model
    with further inputs.
    """
    refuse_nan(instance)
    if segmentation.count < 0:
        raise InvalidRequest.of(
            "segmentation.count", f"must be at least 1, or 0 for the default, got {segmentation.count}"
        )
    if is_text(instance):
        return hide_text(instance, segmentation, baseline)
    cut = cut_instance(instance, segmentation)
    background = background_of(instance, baseline, rng)
    parts = tuple(part_of(instance, name, cut, background) for name in instance.inputs)

    def describe(masks: Array, choice: Array | None) -> Rows:
        return Masked(parts, masks, choice)

    main = hidden_input(instance)
    return Hiding(
        Units(main, instance.inputs[main].shape, cut.names, cut.segments),
        background.words,
        cut.words,
        (*background.warnings, *never_varied(parts, cut.names)),
        background.count,
        describe,
    )


def hide_text(instance: Instance, segmentation: Segmentation, baseline: Baseline) -> Hiding:
    """A model's one string: hidden pieces are cut out, or become the mask token."""
    name, array = next(iter(instance.inputs.items()))
    cut = cut_text(str(array.reshape(-1)[0]), segmentation.kind)
    kind = chosen_kind(baseline, (BaselineKind.DELETE, BaselineKind.MASK), "text")
    details = instance.spec.details if isinstance(instance.spec.details, TextSpec) else TextSpec()
    masked = kind is BaselineKind.MASK
    filler = details.mask_token if masked else ""

    def describe(masks: Array, choice: Array | None) -> Rows:
        return Texts(name, cut.pieces, cut.segments, masks, filler)

    units = Units(name, array.shape, cut.names, {}, cut.pieces, tuple(cut.segments.tolist()))
    words = f"mask token {filler!r}" if masked else "words are deleted, separators kept"
    return Hiding(units, words, cut.words, (), 1, describe)


def part_of(instance: Instance, name: str, cut: Cut, background: Background) -> Part:
    """One input; those that are not cut stay as they are."""
    array = instance.inputs[name]
    if name in cut.segments:
        return Part(name, array, background.values[name], cut.segments[name])
    same = np.broadcast_to(array, (background.count, *array.shape))
    return Part(name, array, same, np.full((1,) * array.ndim, -1, dtype=np.int32))


def never_varied(parts: tuple[Part, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """A warning when hiding some segments changes nothing, because they look like the baseline."""
    varied = np.zeros(len(names) + 1, dtype=bool)  # the last one is segment -1
    for part in parts:
        differs = np.any(part.background != part.instance, axis=0)
        varied[np.broadcast_to(part.segments, differs.shape)[differs]] = True
    same = np.flatnonzero(~varied[:-1])
    if not len(same):
        return ()
    shown = ", ".join(names[i] for i in same[:NAMES_IN_A_WARNING])
    more = ", ..." if len(same) > NAMES_IN_A_WARNING else ""
    return (
        (
            f"{len(same)} of {len(names)} segments equal the baseline, so hiding them changes nothing "
            f"({shown}{more}); another baseline may show more"
        ),
    )


def is_text(instance: Instance) -> bool:
    """Whether the instance is one string. Raises MethodUnsupported when there are further inputs."""
    if instance.spec.modality is not Modality.TEXT:
        return False
    if not any(array.dtype.kind in "OUS" for array in instance.inputs.values()):
        return False
    if len(instance.inputs) > 1 or next(iter(instance.inputs.values())).size != 1:
        raise MethodUnsupported(
            "a text model must take one string; for several inputs declare modality TABULAR",
            inputs=", ".join(instance.inputs),
        )
    return True


def refuse_nan(instance: Instance) -> None:
    """Raises InvalidRequest for an input that is not finite everywhere."""
    for name, array in instance.inputs.items():
        if array.dtype.kind != "f" or np.isfinite(array).all():
            continue
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        what = "NaN" if np.isnan(array[at]) else "infinity"
        raise InvalidRequest.of(
            "instances", f"instance contains {what} at index {at} of input {name!r}; give a finite number"
        )
