"""What a server says that is no answer, made fit for a reader: short, on one line, without secrets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

LONGEST_TEXT = 200
MOST_BYTES = 1 << 12  # of an error's body that are read
KEYS = ("error", "message", "detail", "details", "error_message", "errors", "reason", "msg")
DEEPEST = 4


def text_of(body: bytes, content_type: str, redacted: Callable[[str], str]) -> str:
    """The message of an HTTP error; "" if the body has none for people."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in ("text/html", "application/xhtml+xml"):
        return "a web page"
    decoded = body[:MOST_BYTES].decode("utf-8", "replace")
    try:
        found = message_in(json.loads(decoded), DEEPEST)
    except (ValueError, RecursionError):
        found = decoded if kind.startswith("text/") or not kind or kind.endswith("json") else ""
    return line(found, redacted)


def message_in(value: Any, depth: int) -> str:
    """The first message in what JSON servers call errors."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, dict):
        found = (message_in(value[key], depth - 1) for key in KEYS if key in value)
        return next((text for text in found if text), "")
    if depth and isinstance(value, list) and value:
        return message_in(value[0], depth - 1)
    return ""


def line(text: str, redacted: Callable[[str], str]) -> str:
    """One line of what can be shown; secrets go before anything is cut off, which would hide them."""
    shown = redacted("".join(letter if letter.isprintable() else " " for letter in text[:MOST_BYTES]))
    flat = " ".join(shown.split())
    return flat if len(flat) <= LONGEST_TEXT else flat[: LONGEST_TEXT - 3] + "..."
