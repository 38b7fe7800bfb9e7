"""A composite from the options of a request, or everything that is wrong with them at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields, replace
from difflib import get_close_matches
from math import isfinite
from typing import Any

import numpy as np

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.graph.gradient.table import Composite
from whybox_server.graph.lrp.composites import COMPOSITES, NAMED, planned
from whybox_server.graph.lrp.rules import Params

DEFAULT = "epsilon_plus_flat"
NUMBERS = ("epsilon", "gamma", "alpha", "beta", "stabilizer")
LEADING = {"epsilon": "epsilon", "gamma": "gamma", "alpha_beta": "alpha"}  # what rule:number sets
KNOWN = ("composite", "layers", *(field.name for field in fields(Params)))
BOXED = "z_box"


def lrp(options: Mapping[str, Any]) -> Composite:
    """Layer-wise relevance propagation (Bach et al. 2015).

    composite: one of COMPOSITES. layers: pairs of a pattern (* and ? stand for anything) that a node's
    name, an output's or a weight's matches, and a rule, or rule:number; the first match counts. The rest
    are the fields of Params. Raises InvalidRequest.
    """
    wrong = [*_violations(options)]
    if wrong:
        raise InvalidRequest(wrong)
    params = _params({key: value for key, value in options.items() if key not in ("composite", "layers")})
    named = [_layer(pattern, rule, params) for pattern, rule in options.get("layers", ())]
    return planned(options.get("composite", DEFAULT), params, named)


def deep_taylor(options: Mapping[str, Any]) -> Composite:
    """Deep Taylor decomposition (Montavon et al. 2017): z+, and w^2 first, or zB if low and high are given."""
    if "composite" in options:
        raise InvalidRequest.of("composite", "deep_taylor is a composite itself; lrp takes others")
    bounded = "low" in options or "high" in options
    return lrp({**options, "composite": "deep_taylor_bounded" if bounded else "deep_taylor"})


def _params(given: Mapping[str, Any]) -> Params:
    """The one of alpha and beta that is left out follows from the other."""
    both = dict(given)
    if "alpha" in given:
        both.setdefault("beta", given["alpha"] - 1)
    elif "beta" in given:
        both["alpha"] = given["beta"] + 1
    return Params(**{**both, "zero_bias": bool(given.get("zero_bias", False))})


def _layer(pattern: str, rule: str, params: Params) -> tuple[str, str, Params]:
    name, _, text = rule.partition(":")
    if not text:
        return pattern, name, params
    changed: dict[str, Any] = {LEADING[name]: float(text)}
    if name == "alpha_beta":
        changed["beta"] = float(text) - 1
    return pattern, name, replace(params, **changed)


def _violations(options: Mapping[str, Any]) -> Iterator[Violation]:
    for name in options.keys() - {*KNOWN}:
        yield Violation(name, f"there is no such option{_near(name, KNOWN)}")
    composite = options.get("composite", DEFAULT)
    if composite not in COMPOSITES:
        yield Violation("composite", f"there is no composite {composite!r}{_near(composite, COMPOSITES)}")
    if not isinstance(options.get("zero_bias", False), int | float):
        yield Violation("zero_bias", "must be 0 or 1")
    yield from _wrong_numbers(options)
    yield from _wrong_bounds(options, composite)
    for place, (_, rule) in enumerate(options.get("layers", ())):
        yield from _wrong_rule(f"layers[{place}]", rule)


def _wrong_numbers(options: Mapping[str, Any]) -> Iterator[Violation]:
    for name in NUMBERS:
        value = options.get(name, 0.0)
        if not isinstance(value, int | float) or not isfinite(value) or value < 0:
            yield Violation(name, "must be a number that is not negative")
            return
    if {"alpha", "beta"} <= options.keys() and abs(options["alpha"] - options["beta"] - 1) > 1e-9:
        yield Violation("beta", "must be alpha - 1, so that relevance is kept; leave one of both out")
    elif "beta" not in options and options.get("alpha", 1.0) < 1:
        yield Violation("alpha", "must be at least 1, since beta is alpha - 1")


def _wrong_bounds(options: Mapping[str, Any], composite: str) -> Iterator[Violation]:
    plan = COMPOSITES.get(composite)
    boxed = plan is not None and plan.first == BOXED
    boxed |= any(rule.partition(":")[0] == BOXED for _, rule in options.get("layers", ()))
    for name in ("low", "high"):
        if boxed and name not in options:
            yield Violation(name, f"{BOXED} needs it: the {name}est number that the input may hold")
    if {"low", "high"} <= options.keys() and not _ordered(options["low"], options["high"]):
        yield Violation("high", "must be above low: one number, or one per channel")


def _ordered(low: Any, high: Any) -> bool:
    lows, highs = (np.atleast_1d(np.asarray(bound, np.float64)) for bound in (low, high))
    fits = lows.ndim == highs.ndim == 1 and (len(lows) == len(highs) or 1 in (len(lows), len(highs)))
    return fits and bool(np.isfinite(lows).all() and np.isfinite(highs).all() and (lows < highs).all())


def _wrong_rule(field: str, rule: str) -> Iterator[Violation]:
    name, colon, number = rule.partition(":")
    if name not in NAMED:
        yield Violation(field, f"there is no rule {name!r}{_near(name, NAMED)}")
    elif colon and name not in LEADING:
        yield Violation(field, f"{name} takes no number")
    elif colon and not _number(number, 1 if name == "alpha_beta" else 0):
        yield Violation(field, f"{number!r} is no number that {name} takes")


def _number(text: str, least: float) -> bool:
    try:
        return isfinite(float(text)) and float(text) >= least
    except ValueError:
        return False


def _near(name: str, known: Any) -> str:
    near = get_close_matches(str(name), known, n=3, cutoff=0)
    return f"; did you mean {' or '.join(near)}?"
