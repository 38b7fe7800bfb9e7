"""How a picture should look. Says nothing about what is in it."""

from __future__ import annotations

from dataclasses import dataclass, fields

OVERLAYS = ("auto", "blended", "heat_map", "masked", "outlines", "original")
POLARITIES = ("both", "positive", "negative")
COLOR_MAPS = ("red_blue", "orange_purple")


@dataclass(frozen=True, slots=True)
class Options:
    """What a caller may choose about a PNG. Names follow Vertex AI and captum where both sides know them.

    overlay: "auto" is "outlines" for regions and rules, else "blended". "blended" lays colours
        over the greyscale photograph, "heat_map" shows colours alone,
        "masked" leaves the photograph bright where |attribution| is large, "outlines" draws the
        contours of the strongest part, "original" is the photograph.
    polarity: "both", or only what supports ("positive") or speaks against ("negative") the target.
    color_map: "red_blue" (red supports) or "orange_purple" (orange supports).
    clip_percent_upperbound: percentile of |attribution| from which colours are full, in (0, 100].
    clip_percent_lowerbound: percentile of |attribution| below which nothing is shown, in [0, 100).
    alpha: opacity of the strongest colour in a blended picture, in [0, 1].
    outline_percent: share of the picture that "outlines" encloses, strongest first, in (0, 100].
    side_by_side: the photograph stands beside its overlay.
    max_bars: contributions shown one by one; the others are summed up. At least 1.
    font: path of a TrueType font, for scripts that the built-in (Latin) one cannot write.
    """

    overlay: str = "auto"
    polarity: str = "both"
    color_map: str = "red_blue"
    clip_percent_upperbound: float = 99.0
    clip_percent_lowerbound: float = 0.0
    alpha: float = 0.7
    outline_percent: float = 20.0
    side_by_side: bool = True
    max_bars: int = 10
    font: str = ""


def checked(**chosen: object) -> Options:
    """Options from keyword arguments.

    Raises ValueError that names every wrong option and what it may be.
    """
    known = {entry.name for entry in fields(Options)}
    unknown = sorted(set(chosen) - known)
    if unknown:
        raise ValueError(f"no option {', '.join(unknown)}; there are {', '.join(sorted(known))}")
    options = Options(**chosen)  # type: ignore[arg-type]  # each value is checked below
    wrong = [text for ok, text in _rules(options) if not ok]
    if wrong:
        raise ValueError("; ".join(wrong))
    return options


def _rules(options: Options) -> list[tuple[bool, str]]:
    """What must hold, and what to say where it does not."""
    low, high = options.clip_percent_lowerbound, options.clip_percent_upperbound
    return [
        (options.overlay in OVERLAYS, f"overlay must be one of {', '.join(OVERLAYS)}"),
        (options.polarity in POLARITIES, f"polarity must be one of {', '.join(POLARITIES)}"),
        (options.color_map in COLOR_MAPS, f"color_map must be one of {', '.join(COLOR_MAPS)}"),
        (
            0 <= low < high <= 100,
            "clip_percent_lowerbound and clip_percent_upperbound must be 0 <= lower < upper <= 100",
        ),
        (0 <= options.alpha <= 1, "alpha must be in [0, 1]"),
        (0 < options.outline_percent <= 100, "outline_percent must be in (0, 100]"),
        (options.max_bars >= 1, "max_bars must be at least 1"),
    ]
