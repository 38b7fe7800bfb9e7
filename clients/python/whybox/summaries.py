"""What an explanation found, in a few words: the end of its `repr`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from whybox.findings import Counterpart
    from whybox.result import Explanation

SHOWN = 3  # parts that are named


def summary(e: Explanation) -> str:
    """One line, without naming 150,000 pixels; "" for results of a newer kind."""
    return SUMMARIES[e.kind](e) if e.kind in SUMMARIES else ""


def _attribution(e: Explanation) -> str:
    values, named = e.values, e.message.attribution.names
    flat, found = values.ravel(), []
    for i in np.argsort(-np.abs(flat), kind="stable")[:SHOWN]:
        where = ", ".join(str(k) for k in np.unravel_index(i, values.shape))
        found.append(f"{named[i] if named else f'[{where}]'} {flat[i]:+.3g}")
    flip = e.flip_set
    if flip is not None:
        flips = (
            f"{len(flip.segments)} flip it to {flip.after.label!r}" if flip.flipped else "nothing flips it"
        )
        found.append(flips)
    return ", ".join(found)


def _rule(e: Explanation) -> str:
    rule = e.rule
    condition = " AND ".join(p.text for p in rule.predicates) or "always"
    met = "" if rule.threshold_met else ", NOT MET"
    return (
        f"IF {condition}: precision {rule.precision:.3g}, at least {rule.lower_bound:.3g}, "
        f"coverage {rule.coverage:.3g}{met}"
    )


def _contrast(e: Explanation) -> str:
    found = e.contrast
    return f"positive {_side(e, found.pertinent_positive)}, negative {_side(e, found.pertinent_negative)}"


def _side(e: Explanation, found: Counterpart | None) -> str:
    return "none" if found is None else f"{found.target.label!r} by {_named(e, found.segments) or 'nothing'}"


def _regions(e: Explanation) -> str:
    found = e.regions
    return f"{_named(e, found.segments) or 'none'}: f(S) {found.scores[-1] if found.scores else 0.0:.3g}"


def _mask(e: Explanation) -> str:
    mask = e.mask
    return f"mask {mask.values.shape} of mean {mask.values.mean():.3g}, masked score {mask.masked_score:.4g}"


def _named(e: Explanation, segments: Iterable[int]) -> str:
    """Names of segments, the first few of many."""
    names = e.names
    found = [names[s] if s < len(names) else f"segment {s}" for s in segments]
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return "; ".join(found[:SHOWN]) + more


SUMMARIES: dict[str, Callable[[Explanation], str]] = {
    "attribution": _attribution,
    "rule": _rule,
    "contrast": _contrast,
    "regions": _regions,
    "mask": _mask,
}
