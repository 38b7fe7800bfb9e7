"""Letters for PNGs: the font inside Pillow, or one that the caller names."""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from PIL import ImageFont

PLAIN = {"−": "-", "–": "-", "—": "-", "≤": "<=", "≥": ">=", "×": "x", "•": "·", "‘": "'", "’": "'"}
SIZE_OF_PROBE = 16
NOT_A_CHARACTER = "\uffff"  # every font answers it with its "missing" glyph

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


@lru_cache(maxsize=32)
def font(size: int, path: str = "") -> Font:
    """A font of `size` pixels. Raises ValueError when `path` is no font."""
    if not path:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(path, size)
    except OSError as error:
        raise ValueError(f"font: {path} is no TrueType font that can be read") from error


def writable(text: str, path: str = "") -> str:
    """The text in letters that the font has: accents go, what is left unknown becomes "?"."""
    return "".join(_letter(character, path) for character in text)


@lru_cache(maxsize=4096)
def _letter(character: str, path: str) -> str:
    if character.isspace() or _has(character, path):
        return character
    if character in PLAIN:
        return PLAIN[character]
    base = "".join(c for c in unicodedata.normalize("NFKD", character) if not unicodedata.combining(c))
    return base if base and all(_has(c, path) for c in base) else "?"


def _has(character: str, path: str) -> bool:
    return bytes(font(SIZE_OF_PROBE, path).getmask(character)) != _missing(path)


@lru_cache(maxsize=8)
def _missing(path: str) -> bytes:
    return bytes(font(SIZE_OF_PROBE, path).getmask(NOT_A_CHARACTER))
