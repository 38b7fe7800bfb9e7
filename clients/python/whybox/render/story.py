"""What each kind of result says in words: rule and certificate, counterparts, regions, the flip set."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from whybox.v1 import explanation_pb2

Lines = list[tuple[str, str]]
MOST_NAMED = 8  # segments or columns named in a line
MOST_EXAMPLES = 3  # of each side
MOST_CHARACTERS = 160  # of an example

SPACES: dict[int, str] = {
    explanation_pb2.SCORE_SPACE_LOGIT: "logit",
    explanation_pb2.SCORE_SPACE_PROBABILITY: "probability",
    explanation_pb2.SCORE_SPACE_VALUE: "value",
}


def story(message: explanation_pb2.Explanation) -> Lines:
    """Name and value of every line; empty for a plain attribution."""
    kind = message.WhichOneof("result")
    return STORIES[kind](message) if kind in STORIES else []


def closing(message: explanation_pb2.Explanation) -> str:
    """How the marks below a result are to be read; "" for attributions, which say it themselves."""
    return CLOSINGS.get(message.WhichOneof("result") or "", "")


def ends(message: explanation_pb2.Explanation) -> tuple[str, str]:
    """What the two ends of the scale of colours mean, negative and positive; "" for an end without meaning."""
    return ENDS.get(message.WhichOneof("result") or "", ("against", "supports"))


def said(target: explanation_pb2.Target) -> str:
    """Label, score with its unit, and probability."""
    text = f"{target.label or f'output {target.index}'}, {SPACES.get(target.space, 'score')} {target.score:.4g}"
    return f"{text}, p {target.probability:.3g}" if target.HasField("probability") else text


def _attribution(message: explanation_pb2.Explanation) -> Lines:
    found = message.attribution
    lines = [("unit", found.unit)] if found.unit else []
    if found.HasField("flip_set"):
        removed = named(found.flip_set.segments, found.names)
        answer = said(found.flip_set.after)
        becomes = "becomes" if found.flip_set.flipped else "stays"
        lines.append(("flip set", f"{removed or 'nothing'}: without these the answer {becomes} {answer}"))
    return lines


def _rule(message: explanation_pb2.Explanation) -> Lines:
    rule, answer = message.rule, message.targets[0].label or f"output {message.targets[0].index}"
    condition = " AND ".join(p.text for p in rule.predicates) or "always"
    met = "met" if rule.threshold_met else "NOT MET"
    sure = f"at least {rule.lower_bound:.3g} with probability {_short_of_one(rule.confidence)}"
    lines = [
        ("rule", f"IF {condition} THEN {answer}"),
        ("precision", f"{rule.precision:.3g}, {sure}"),
        ("threshold", f"{rule.threshold:.3g} {met}"),
        ("coverage", f"{rule.coverage:.3g}, {rule.samples:,} rows behind the precision"),
        ("certificate", rule.certificate),
    ]
    for agrees, name in ((True, "agrees"), (False, "disagrees")):
        shown = [example.text for example in rule.examples if example.agrees is agrees]
        lines += [(name, shortened(text)) for text in shown[:MOST_EXAMPLES]]
    return lines


def _contrast(message: explanation_pb2.Explanation) -> Lines:
    found, lines = message.contrast, []
    for name, field, reason, verb in (
        ("positive", "pertinent_positive", found.positive_reason, "enough for"),
        ("negative", "pertinent_negative", found.negative_reason, "otherwise makes it"),
    ):
        if not found.HasField(field):
            lines.append((name, f"none: {reason}"))
            continue
        one = getattr(found, field)
        parts = named(one.segments, found.units.names) or "nothing"
        lines.append((name, f"{parts}: {verb} {said(one.target)} (L1 {one.l1:.3g}, L2 {one.l2:.3g})"))
    return lines


def _regions(message: explanation_pb2.Explanation) -> Lines:
    found = message.regions
    scores = ", ".join(f"{score:.3g}" for score in found.scores)
    return [
        ("regions", named(found.segments, found.units.names) or "none raises the score"),
        ("f(S)", f"{scores or '0'} above {found.empty_score:.4g} when nothing is shown"),
        ("guarantee", found.guarantee),
    ]


def _mask(message: explanation_pb2.Explanation) -> Lines:
    found = message.mask
    masked = ", ".join(f"{score:.4g}" for score in found.masked_scores)
    hidden = ", ".join(f"{score:.4g}" for score in found.hidden_scores)
    return [("game", found.game), ("masked", masked), ("hidden", hidden)]


def shortened(text: str) -> str:
    """An example of many columns, cut; all of it is in the message."""
    return text if len(text) <= MOST_CHARACTERS else text[: MOST_CHARACTERS - 3].rstrip() + "..."


def _short_of_one(probability: float) -> str:
    """A probability below 1 is never written as 1."""
    text = f"{probability:.4g}"
    return "above 0.9999" if text == "1" and probability < 1 else text


def named(segments: Iterable[int], names: Iterable[str]) -> str:
    """Names of segments, the first few of many."""
    known = list(names)
    found = [known[s] if s < len(known) and known[s] else f"segment {s}" for s in segments]
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    return "; ".join(found[:MOST_NAMED]) + more


STORIES: dict[str, Callable[[explanation_pb2.Explanation], Lines]] = {
    "attribution": _attribution,
    "rule": _rule,
    "contrast": _contrast,
    "regions": _regions,
    "mask": _mask,
}

CLOSINGS = {
    "rule": "Marked: what the rule needs.",
    "contrast": "Positive: must be there for this answer. Negative: changed as shown it makes another.",
    "regions": "Marked: the chosen regions, with the score that each added.",
    "mask": "Marked: what counts for the score, from 0 to 1.",
}

ENDS = {
    "rule": ("", "needed"),
    "contrast": ("negative", "positive"),
    "regions": ("", "adds"),
    "mask": ("", "counts"),
}
