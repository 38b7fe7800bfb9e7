"""Explanations as people read them: terminal text, PNG, HTML, and the numbers behind a heat map.

Everything is derived from the wire message alone, so that client and server draw the same. A new
kind of result is one more entry of `RENDERERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from whybox.render import page, sheets, terminal
from whybox.render.maps import heatmap
from whybox.render.options import Options, checked
from whybox.v1 import explanation_pb2

__all__ = ["Options", "heatmap", "html", "png", "text"]

DEFAULT_WIDTH = 80


@dataclass(frozen=True, slots=True)
class Renderer:
    """How one kind of result is drawn."""

    text: Callable[[explanation_pb2.Explanation, int, int, bool], str]
    png: Callable[[explanation_pb2.Explanation, int, Options], bytes]
    html: Callable[[explanation_pb2.Explanation, Sequence[int]], str]


RENDERERS = {"attribution": Renderer(terminal.text, sheets.png, page.html)}


def text(
    message: explanation_pb2.Explanation, *, target: int = 0, width: int = DEFAULT_WIDTH, color: bool = False
) -> str:
    """Lines of at most `width` (at least 40) cells; without `color` no escape codes.

    target counts within the message. Raises IndexError for a target that is not there, ValueError
    for a result that this version cannot draw.
    """
    return _renderer(message).text(message, target, width, color)


def png(message: explanation_pb2.Explanation, *, target: int = 0, **options: object) -> bytes:
    """A PNG file; `options` are the fields of `Options`.

    Raises IndexError for a target that is not there, ValueError for a wrong option or a result that
    this version cannot draw.
    """
    return _renderer(message).png(message, target, checked(**options))


def html(message: explanation_pb2.Explanation, *, targets: Sequence[int] | None = None) -> str:
    """One self-contained page without scripts; `targets` None shows all.

    Raises IndexError for a target that is not there, ValueError for a result that this version
    cannot draw.
    """
    chosen = range(len(message.targets)) if targets is None else targets
    return _renderer(message).html(message, chosen)


def _renderer(message: explanation_pb2.Explanation) -> Renderer:
    kind = message.WhichOneof("result")
    if kind not in RENDERERS:
        known = ", ".join(RENDERERS)
        raise ValueError(f"a result of kind {kind} cannot be drawn, only {known}; update whybox")
    return RENDERERS[kind]
