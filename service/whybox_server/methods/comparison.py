"""What methods share that explain the difference between an instance and baselines.

Baselines are settled among the inputs; where they stand at the place, and what the model says there,
is asked. Whatever is found must sum to the difference: `missed` says by how much it does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.probe import Probe
from whybox_server.core.query import Query, Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import Modality, ModelSpec, TextSpec
from whybox_server.methods.method import Rng
from whybox_server.methods.probing import Asking, Here, Probing
from whybox_server.perturb.background import Background
from whybox_server.perturb.baselines import background_of
from whybox_server.perturb.layout import hidden_input
from whybox_server.perturb.options import Baseline

CANCELLED = 0.01  # of the sum of sizes: a difference below it is what is left of parts that cancel


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Where the baselines stand. values: (k, *place). scores: (k, outputs)."""

    values: Array
    scores: Array

    def base_values(self, here: Here) -> Array:
        """Mean scores of the targets, (t,), in their space."""
        return np.asarray(here.chosen.of(self.scores).mean(axis=0))

    def differences(self, here: Here) -> Array:
        """What is to be explained, (t,)."""
        return np.asarray(here.chosen.of(here.scores[None])[0] - self.base_values(here))


def settled(probing: Probing, baselines: Sequence[Baseline], most: int, rng: Rng) -> Background:
    """All baselines as alternatives of the explained inputs, at most so many, drawn if there are more.

    Raises InvalidRequest, naming the baseline by its number.
    """
    found = [numbered(probing, baseline, number, rng) for number, baseline in enumerate(baselines)]
    names = [name for name in probing.site.inputs if name in found[0].values]
    values = {name: np.concatenate([one.values[name] for one in found]) for name in names}
    words = "; ".join(dict.fromkeys(one.words for one in found))
    warnings = [text for one in found for text in one.warnings]
    count = len(values[names[0]])
    if count > most:
        drawn = np.sort(rng.choice(count, most, replace=False))
        values = {name: rows[drawn] for name, rows in values.items()}
        words = f"{words}; {most} of {count} drawn"
    return Background(values, words, tuple(dict.fromkeys(warnings)))


def numbered(probing: Probing, baseline: Baseline, number: int, rng: Rng) -> Background:
    """One baseline; its errors name it by its number."""
    try:
        return absent(probing, baseline, rng)
    except InvalidRequest as error:
        prefix = "baseline."
        renamed = [
            replace(one, field=f"baselines[{number}].{one.field.removeprefix(prefix)}")
            if one.field.startswith(prefix)
            else one
            for one in error.violations
        ]
        raise InvalidRequest(renamed) from error


def absent(probing: Probing, baseline: Baseline, rng: Rng) -> Background:
    """What "absent" looks like for the explained inputs. Padding of a text stays as it is."""
    instance, site = probing.subject.instance, probing.site
    modality = instance.spec.modality
    if modality in (Modality.TABULAR, Modality.TENSOR) or hidden_input(instance) in site.inputs:
        found = background_of(instance, baseline, rng)
    else:
        own = {name: instance.inputs[name] for name in site.inputs}
        found = background_of(Instance(own, ModelSpec(modality=Modality.TENSOR)), baseline, rng)
    details = instance.spec.details
    if not isinstance(details, TextSpec):
        return found
    kept = {
        name: np.where(instance.inputs[name] == details.pad_id, instance.inputs[name], values)
        if values.dtype.kind in "iu"
        else values
        for name, values in found.values.items()
    }
    return replace(found, values=kept)


def compared(probing: Probing, background: Background) -> Asking[Compared]:
    """Ask about the baselines: a row each."""
    inputs, count = probing.subject.instance.inputs, background.count
    rows = Samples(
        {
            name: np.broadcast_to(background.values.get(name, array[None]), (count, *array.shape))
            for name, array in inputs.items()
        }
    )
    if probing.direct:
        reply = yield Query(rows)
        return Compared(background.values[probing.site.name], reply.scores)
    reply = yield Query(rows, Want.VALUES, probe=Probe(at=probing.probe.at))
    assert reply.values is not None, "values were asked for"
    return Compared(reply.values, reply.scores)


def missed(found: Array, differences: Array) -> tuple[Array, Array]:
    """How far values, (t, ...), are from summing to the differences, (t,): by how much, and relative to them.

    Where a difference is small only because large parts cancel, it is relative to a hundredth of those.
    """
    flat = found.reshape(len(found), -1)
    gaps = np.abs(flat.sum(axis=1) - differences)
    against = np.maximum(np.abs(differences), CANCELLED * np.abs(flat).sum(axis=1))
    relative = np.divide(gaps, against, out=np.zeros_like(gaps), where=against > 0)
    return gaps, np.where((against == 0) & (gaps > 0), np.inf, relative)
