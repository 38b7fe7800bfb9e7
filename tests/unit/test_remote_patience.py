"""When to come again, in the three ways in which servers say it; and what errors say to people."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import pytest

from whybox_server.serving.remote.transport.patience import pushback, retry_after, retry_info
from whybox_server.serving.remote.transport.said import LONGEST_TEXT, line, text_of

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120),
        (" 0 ", 0),
        ("Sat, 21 Nov 2026 12:00:30 GMT", 30),
        ("Saturday, 21-Nov-26 12:01:00 GMT", 60),
        ("Sat Nov 21 12:02:00 2026", 120),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0),
        ("Sat, 21 Nov 2026 13:00:10 +0100", 10),
        ("99999999999999", math.inf),
        ("-5", None),
        ("1.5", None),
        ("soon", None),
        ("", None),
        ("²", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(value: str, seconds: float | None) -> None:
    """RFC 9110, with the three formats of dates; anything else is as good as nothing."""
    assert retry_after(value, NOON) == seconds


def test_pushback_that_is_no_number_means_never() -> None:
    """gRFC A6."""
    assert [pushback(value) for value in ("0", "1500", "-1", "x", "")] == [
        0,
        1.5,
        math.inf,
        math.inf,
        math.inf,
    ]


def test_details_that_are_broken_say_nothing() -> None:
    """Nor do none."""
    assert retry_info(b"") is None
    assert retry_info(b"\xff\xff\xff") is None


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"error": "no model"}', "application/json", "no model"),
        (b'{"error": {"message": "no model", "code": 5}}', "application/json", "no model"),
        (b'{"detail": [{"loc": ["body"], "msg": "field required"}]}', "application/json", "field required"),
        (b'{"errors": ["first", "second"]}', "application/problem+json", "first"),
        (b'{"code": 404}', "application/json", ""),
        (b'"just text"', "application/json", "just text"),
        (b"plain\r\n  words\x00\x1b[31m", "text/plain", "plain words [31m"),
        (b"{broken", "application/json", "{broken"),
        (b"<html>secret page</html>", "text/html; charset=utf-8", "a web page"),
        (b"\x89PNG", "image/png", ""),
        (b"[" * 4000, "application/json", "[" * 197 + "..."),
        (b"", "", ""),
    ],
)
def test_an_error_is_one_short_line(body: bytes, kind: str, words: str) -> None:
    """Whatever the server sent."""
    assert text_of(body, kind, lambda text: text) == words


def test_secrets_go_before_the_text_is_cut() -> None:
    """Otherwise half of one could stand at the end."""
    text = "x" * (LONGEST_TEXT - 5) + "secret-token"
    shown = line(text, lambda whole: whole.replace("secret-token", "***"))
    assert len(shown) <= LONGEST_TEXT
    assert "secr" not in shown
