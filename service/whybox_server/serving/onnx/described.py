"""`whybox.yaml`: what an operator writes beside a model, read into a `ModelSpec`.

Keys are those of `whybox.v1.ModelSpec`. A key nobody knows is an error with the nearest known one,
since a misspelt key that is ignored is worse than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from enum import Enum
from typing import Any, TypeVar

import yaml

from whybox_server.core.rows import Array
from whybox_server.core.spec import (
    BatchAxis,
    Details,
    GradientOutput,
    ImageSpec,
    Modality,
    ModelSpec,
    ScoreKind,
    TabularSpec,
    TextSpec,
    TimeSeriesSpec,
)

E = TypeVar("E", bound=Enum)

SECTIONS = ("tabular", "image", "text", "time_series")
KEYS = ("modality", "labels", "output", "score", "batch", "gradient", *SECTIONS)
GRADIENT_KEYS = ("output", "seed", "input")
LAYOUTS = {"image": ("CHW", "HWC", "HW"), "time_series": ("TC", "CT", "T")}

Load = Callable[[str], Array]  # a background file beside the yaml, by its name


class DescriptionError(ValueError):
    """A whybox.yaml that cannot be read; the message says where and what to do."""


def parse(text: str, load: Load) -> ModelSpec:
    """The spec in a whybox.yaml. Raises DescriptionError."""
    try:
        given = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise DescriptionError(f"whybox.yaml is no YAML: {' '.join(str(error).split())}") from error
    return spec_of(given, load)


def spec_of(given: Any, load: Load) -> ModelSpec:
    """The spec that these keys make, as read from YAML; None is none of them. Raises DescriptionError."""
    top = mapping("", {} if given is None else given, KEYS)
    sections = [name for name in SECTIONS if name in top]
    if len(sections) > 1:
        raise DescriptionError(f"only one of {', '.join(sections)} can describe a model")
    details = _details(sections[0], top[sections[0]], load) if sections else None
    modality = _choice("modality", top.get("modality"), Modality)
    if modality is not None and sections and modality.value != sections[0]:
        raise DescriptionError(f"modality is {modality.value} but the section is {sections[0]}")
    return ModelSpec(
        modality=modality,
        labels=texts("labels", top.get("labels")),
        output=text("output", top.get("output", "")),
        score=_choice("score", top.get("score"), ScoreKind),
        batch=_choice("batch", top.get("batch"), BatchAxis),
        gradient=_gradient(top["gradient"]) if "gradient" in top else None,
        details=details,
    )


def _gradient(given: Any) -> GradientOutput:
    keys = mapping("gradient", {} if given is None else given, GRADIENT_KEYS)
    if "output" not in keys:
        raise DescriptionError("gradient.output is missing: name the output that holds the gradient")
    return GradientOutput(**{key: text(f"gradient.{key}", keys[key]) for key in keys})


def _details(name: str, given: Any, load: Load) -> Details:
    given = {} if given is None else given
    match name:
        case "tabular":
            keys = mapping(name, given, ("feature_names", "background", "categories"))
            return TabularSpec(
                texts("tabular.feature_names", keys.get("feature_names")),
                _background("tabular.background", keys.get("background"), load),
                _categories(keys.get("categories")),
            )
        case "image":
            keys = mapping(name, given, ("layout", "black", "white", "mean", "std", "background"))
            return ImageSpec(
                _layout(name, keys.get("layout")),
                number("image.black", keys.get("black", 0)),
                number("image.white", keys.get("white", 1)),
                _numbers("image.mean", keys.get("mean")),
                _numbers("image.std", keys.get("std")),
                _background("image.background", keys.get("background"), load),
            )
        case "text":
            keys = mapping(name, given, ("mask_token", "mask_id", "pad_id"))
            mask_id = keys.get("mask_id")
            return TextSpec(
                text("text.mask_token", keys.get("mask_token", TextSpec().mask_token)),
                None if mask_id is None else _integer("text.mask_id", mask_id),
                _integer("text.pad_id", keys.get("pad_id", 0)),
            )
        case _:
            keys = mapping(name, given, ("layout", "channel_names", "background"))
            return TimeSeriesSpec(
                _layout(name, keys.get("layout")),
                texts("time_series.channel_names", keys.get("channel_names")),
                _background("time_series.background", keys.get("background"), load),
            )


def mapping(where: str, given: Any, known: tuple[str, ...]) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise DescriptionError(f"{where or 'a spec'} must be a mapping of {', '.join(known)}")
    for key in given:
        if key not in known:
            near = get_close_matches(str(key), known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known keys are {', '.join(known)}"
            raise DescriptionError(f"unknown key {key!r}{f' in {where}' if where else ''}; {hint}")
    return given


def _choice(where: str, given: Any, choices: type[E]) -> E | None:
    if given is None:
        return None
    values = [choice.value for choice in choices]
    if not isinstance(given, str) or given.lower() not in values:
        raise DescriptionError(f"{where} must be one of {', '.join(values)}, got {given!r}")
    return choices(given.lower())


def _layout(section: str, given: Any) -> str:
    """Empty if unset: it is guessed."""
    known = LAYOUTS[section]
    if given is not None and given not in known:
        raise DescriptionError(f"{section}.layout must be one of {', '.join(known)}, got {given!r}")
    return given or ""


def text(where: str, given: Any) -> str:
    if not isinstance(given, str):
        raise DescriptionError(f"{where} must be a text, got {given!r}; put it in quotes")
    return given


def texts(where: str, given: Any) -> tuple[str, ...]:
    """Numbers are taken as their text, since labels are often 0, 1, 2; a bool is a forgotten quote."""
    if given is None:
        return ()
    if not isinstance(given, list):
        raise DescriptionError(f"{where} must be a list, got {given!r}")
    for entry in given:
        if isinstance(entry, bool) or not isinstance(entry, str | int | float):
            raise DescriptionError(f"{where} must be texts, got {entry!r}; put yes, no, on and off in quotes")
    return tuple(map(str, given))


def number(where: str, given: Any) -> float:
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise DescriptionError(f"{where} must be a number, got {given!r}")
    return float(given)


def _integer(where: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise DescriptionError(f"{where} must be an integer, got {given!r}")
    return given


def _numbers(where: str, given: Any) -> tuple[float, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise DescriptionError(f"{where} must be a list of numbers, got {given!r}")
    return tuple(number(where, entry) for entry in given)


def _categories(given: Any) -> dict[int, tuple[str, ...]]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise DescriptionError("tabular.categories must map column numbers to lists of names")
    return {
        _integer("a key of tabular.categories", column): texts(f"tabular.categories[{column}]", names)
        for column, names in given.items()
    }


def _background(where: str, given: Any, load: Load) -> Array | None:
    if given is None:
        return None
    try:
        return load(text(where, given))
    except (OSError, ValueError) as error:
        raise DescriptionError(f"{where}: {error}") from error
