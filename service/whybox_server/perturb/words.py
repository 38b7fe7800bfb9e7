"""Cuts texts and rows of token ids. Knows no language: a word is a run of letters, digits and _."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.perturb.options import SegmentationKind
from whybox_server.perturb.segments import Cut, refuse_too_many, wrong_kind

WORD = re.compile(r"(\w+)")
TEXT_KINDS = (SegmentationKind.WORDS, SegmentationKind.POSITIONS, SegmentationKind.CHARACTERS)
TOKEN_KINDS = (SegmentationKind.WORDS, SegmentationKind.POSITIONS)


@dataclass(frozen=True, slots=True, eq=False)
class Pieces:
    """A text, cut: joined, the pieces are the text. Separators have segment -1."""

    pieces: tuple[str, ...]
    segments: Array  # (pieces,) int32
    names: tuple[str, ...]  # (segments,)
    words: str


def cut_text(text: str, kind: SegmentationKind | None) -> Pieces:
    """Distinct words (by default), words one by one, or characters.

    Raises InvalidRequest for a text without any, and for kinds that are not for texts.
    """
    kind = kind or SegmentationKind.WORDS
    if kind not in TEXT_KINDS:
        raise wrong_kind(kind, TEXT_KINDS, "a text")
    if not text.strip():
        raise InvalidRequest.of("instances", "the text is empty; give at least one word")
    pieces = tuple(text if kind is SegmentationKind.CHARACTERS else filter(None, WORD.split(text)))
    units = [kind is SegmentationKind.CHARACTERS or WORD.fullmatch(piece) is not None for piece in pieces]
    if not any(units):
        raise InvalidRequest.of(
            "instances", "the text has no words, only punctuation; use segmentation kind CHARACTERS"
        )
    segments, names = numbered(pieces, units, distinct=kind is SegmentationKind.WORDS)
    refuse_too_many(len(names))
    words = {"WORDS": "distinct words", "POSITIONS": "words", "CHARACTERS": "characters"}[kind.name]
    return Pieces(pieces, segments, names, f"{len(names)} {words}")


def numbered(pieces: Sequence[str], units: Sequence[bool], distinct: bool) -> tuple[Array, tuple[str, ...]]:
    """Number the units in order of appearance, -1 for the others; `distinct`: alike units are one.

    A unit that comes again under a number of its own is named "word (2)".
    """
    segments = np.full(len(pieces), -1, dtype=np.int32)
    numbers: dict[str, int] = {}
    seen: Counter[str] = Counter()
    for position, (piece, unit) in enumerate(zip(pieces, units, strict=True)):
        if not unit:
            continue
        seen[piece] += 1
        name = piece if distinct or seen[piece] == 1 else f"{piece} ({seen[piece]})"
        segments[position] = numbers.setdefault(name, len(numbers))
    return segments, tuple(numbers)


def cut_tokens(name: str, ids: Array, pad_id: int, kind: SegmentationKind | None) -> Cut:
    """Segments of a row of token ids: distinct ids (by default) or positions; padding is never hidden.

    Raises InvalidRequest when all is padding, and for kinds that are not for token ids.
    """
    kind = kind or SegmentationKind.WORDS
    if kind not in TOKEN_KINDS:
        raise wrong_kind(kind, TOKEN_KINDS, "token ids")
    flat = [f"token {i}" for i in ids.ravel().tolist()]
    units = (ids.ravel() != pad_id).tolist()
    if not any(units):
        raise InvalidRequest.of("instances", f"every token is padding (id {pad_id}); give at least one other")
    distinct = kind is SegmentationKind.WORDS
    segments, names = numbered(flat, units, distinct)
    refuse_too_many(len(names))
    words = f"{len(names)} {'distinct tokens' if distinct else 'tokens'}"
    return Cut({name: segments.reshape(ids.shape)}, names, words)
