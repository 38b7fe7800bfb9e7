"""Explanations as people read them: terminal text, PNG, HTML, and the numbers behind a heat map.

Everything is derived from the wire message alone, so that client and server draw the same. A new
kind of result is an entry in `results.FINDINGS` (numbers by place) and one in `story.STORIES` (words).
"""

from __future__ import annotations

from collections.abc import Sequence

from whybox.render import page, sheets, terminal
from whybox.render.maps import heatmap
from whybox.render.options import Options, checked
from whybox.v1 import explanation_pb2

__all__ = ["Options", "heatmap", "html", "png", "text"]

DEFAULT_WIDTH = 80


def text(
    message: explanation_pb2.Explanation, *, target: int = 0, width: int = DEFAULT_WIDTH, color: bool = False
) -> str:
    """Lines of at most `width` (at least 40) cells; without `color` no escape codes.

    target counts within the message. Raises IndexError for a target that is not there, ValueError
    for a result that this version cannot draw.
    """
    return terminal.text(message, target, width, color)


def png(message: explanation_pb2.Explanation, *, target: int = 0, **options: object) -> bytes:
    """A PNG file; `options` are the fields of `Options`.

    Raises IndexError for a target that is not there, ValueError for a wrong option or a result that
    this version cannot draw.
    """
    return sheets.png(message, target, checked(**options))


def html(message: explanation_pb2.Explanation, *, targets: Sequence[int] | None = None) -> str:
    """One self-contained page without scripts; `targets` None shows all.

    Raises IndexError for a target that is not there, ValueError for a result that this version
    cannot draw.
    """
    chosen = range(len(message.targets)) if targets is None else targets
    return page.html(message, chosen)
