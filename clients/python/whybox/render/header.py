"""What every picture says about itself: which model, asked what, by which method, at what price."""

from __future__ import annotations

from whybox.render.reading import explained, finding
from whybox.render.story import SPACES, closing, story
from whybox.v1 import explanation_pb2

SHORT_DIGEST = 12  # hex digits: enough to tell the models of one site apart


def title(message: explanation_pb2.Explanation, target: int) -> str:
    """The question that the picture answers."""
    return f'Why "{label(message, target)}"?'


def label(message: explanation_pb2.Explanation, target: int) -> str:
    asked = explained(message, target)
    return asked.label or f"output {asked.index}"


def facts(message: explanation_pb2.Explanation, target: int) -> list[tuple[str, str]]:
    """Name and value of every line of the header; nothing that is unknown is listed."""
    lines = [("target", score(message, target)), *story(message), *common(message)]
    measures = finding(message, target).measures
    if measures:
        lines.append(("fit", ", ".join(f"{name} {measure(measures[name])}" for name in sorted(measures))))
    return lines


def common(message: explanation_pb2.Explanation) -> list[tuple[str, str]]:
    """The part of the header that all targets share."""
    origin, usage = message.provenance, message.usage
    lines = [
        ("model", f"{origin.model} ({short_digest(origin.model_digest)})"),
        ("method", f"{origin.method} {origin.method_version}".strip()),
        ("segments", origin.segmentation),
        ("baseline", origin.baseline),
        ("rows asked", f"{usage.rows_asked:,} ({usage.rows_unique:,} different)"),
        ("seed", str(origin.seed)),
        ("result", "complete" if message.complete else "PARTIAL: stopped early, best so far"),
    ]
    return [(name, value) for name, value in lines if value]


def score(message: explanation_pb2.Explanation, target: int) -> str:
    """Label, index, score with its unit, and probability."""
    asked = explained(message, target)
    text = f"{label(message, target)} (output {asked.index}), {SPACES.get(asked.space, 'score')} {asked.score:.4g}"
    return f"{text}, p {asked.probability:.3g}" if asked.HasField("probability") else text


def short_digest(digest: str) -> str:
    return digest.removeprefix("sha256-")[:SHORT_DIGEST] or "no digest"


def sum_line(message: explanation_pb2.Explanation, target: int) -> str:
    """How the contributions relate to the score, in one sentence."""
    if read_as := closing(message):
        return read_as
    base, asked = finding(message, target).base, explained(message, target)
    if not message.attribution.additive:
        return "Contributions do not add up to the score."
    if base is None:
        return "Contributions add up to the score."
    return f"Base value {base:.4g} plus all contributions is the score {asked.score:.4g}."


def measure(value: float) -> str:
    """Whole numbers as they are, others with three digits."""
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"


def number(value: float) -> str:
    """A contribution as people read it: always with its sign, three digits."""
    return f"{value:+.3g}" if value else "0"
