"""An attribution as one HTML file: no script, nothing loaded from elsewhere, light and dark."""

from __future__ import annotations

from collections.abc import Sequence

from whybox.render import header, page_parts
from whybox.render.grid import grid
from whybox.render.page_parts import clean
from whybox.render.story import story
from whybox.render.style import CSS
from whybox.v1 import explanation_pb2

FULL_TARGETS = 10  # so many targets are drawn; the page of a hundred still opens at once
# Whatever a label might smuggle in, the page may neither run nor load anything.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def html(message: explanation_pb2.Explanation, targets: Sequence[int]) -> str:
    """The page: what was asked, then one section per target."""
    drawn = [_section(message, target, number < FULL_TARGETS) for number, target in enumerate(targets)]
    if len(targets) > FULL_TARGETS:
        drawn.insert(0, f'<p class="muted">The first {FULL_TARGETS} targets are drawn, the others listed.</p>')
    name = clean(message.provenance.model or "a model")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Explanation of {name}</title>"
        f"<style>{CSS}{page_parts.shared_style(message)}</style></head><body>"
        f"<h1>Explanation of {name}</h1>{_facts(message)}{_warnings(message)}{''.join(drawn)}"
        "</body></html>\n"
    )


def _facts(message: explanation_pb2.Explanation) -> str:
    rows = [
        f"<dt>{name}</dt><dd{_alarm(value)}>{clean(value)}</dd>" for name, value in header.common(message)
    ]
    return f"<dl>{''.join(rows)}</dl>"


def _alarm(value: str) -> str:
    return ' class="alarm"' if value.startswith("PARTIAL") else ""


def _warnings(message: explanation_pb2.Explanation) -> str:
    items = "".join(f"<li>{clean(warning)}</li>" for warning in message.warnings)
    return f"<ul>{items}</ul>" if items else ""


def _section(message: explanation_pb2.Explanation, target: int, drawn: bool) -> str:
    """Question, score, the instance in colours if `drawn`, contributions."""
    measures = [f"{name} {value}" for name, value in header.facts(message, target) if name == "fit"]
    told = [f"{name}: {value}" for name, value in story(message)]
    lines = [header.score(message, target), *told, *measures, header.sum_line(message, target)]
    score = "<br>".join(map(clean, lines))
    body = page_parts.body(message, target) + page_parts.beside(message) if drawn else ""
    return (
        f"<section><h2>{clean(header.title(message, target))}</h2>"
        f'<p class="score">{score}</p>{body}{page_parts.bars(message, target)}'
        f"{page_parts.table(grid(message))}</section>"
    )
