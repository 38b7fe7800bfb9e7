"""A picture file within JSON, `{"b64": ...}`, as pixels: the very ones that the Python client sends of that file."""

from __future__ import annotations

import io
from typing import Any

import msgspec
from PIL import Image

from whybox.inputs import pixels_of
from whybox_server.api.decode import Findings
from whybox_server.core.errors import TooLarge
from whybox_server.core.rows import Array

B64 = "b64"
FORMATS = ("PNG", "JPEG")
FROM_URL_SAFE = str.maketrans("-_", "+/")
# Pillow has no error of its own: what a file can do wrong ends in one of these. Warnings are errors where the
# process wants them to be.
BROKEN = (OSError, ValueError, SyntaxError, EOFError, TypeError, OverflowError, Warning)
BOMB = (Image.DecompressionBombError, Image.DecompressionBombWarning)


def pixels_in(text: Any, place: str, most_bytes: int, found: Findings) -> Array | None:
    """uint8 (height, width, 3 or 1): upright, on white where transparent, 16 bits scaled to 8.

    None after noting what is wrong. most_bytes: of the pixels, known before any is read. Raises TooLarge.
    """
    if not isinstance(text, str):
        found.add(place, "must be the base64 of a PNG or JPEG file")
        return None
    try:
        file = msgspec.convert(text.translate(FROM_URL_SAFE) + "=" * (-len(text) % 4), bytes)
    except msgspec.ValidationError:
        found.add(place, "is no base64")
        return None
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            _check_size(image, place, most_bytes)
            return pixels_of(image)
    except BOMB:
        raise _too_large(place, "its pixels", most_bytes) from None
    except BROKEN:
        found.add(place, "is no PNG or JPEG file that can be read")
        return None


def _check_size(image: Image.Image, place: str, most_bytes: int) -> None:
    width, height = image.size
    if width * height > most_bytes:
        raise _too_large(place, f"{width} x {height} pixels", most_bytes)


def _too_large(place: str, what: str, most_bytes: int) -> TooLarge:
    hint = "send a smaller picture, or raise --message-mib"
    return TooLarge(f"{place}: {what} are more than this server takes; {hint}", limit=most_bytes)
