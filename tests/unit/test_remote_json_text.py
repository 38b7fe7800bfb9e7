"""JSON that is written and read fast says what Python's own would say."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.serving.remote.exchange import Answer
from whybox_server.serving.remote.speech.json_text import decoded, encoded

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@given(VALUES)
def test_what_is_written_is_what_was_meant(value: Any) -> None:
    """Python's json reads the same value, types included; numbers to the last bit."""
    assert repr(json.loads(encoded(value))) == repr(value)


@given(VALUES)
def test_what_is_read_is_what_was_said(value: Any) -> None:
    """Written by Python's json, infinities bare as it has them, and with ASCII alone."""
    assert repr(decoded(Answer(json.dumps(value).encode()))) == repr(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([float("nan"), 1.0], b"[NaN,1.0]"),
        ([[float("inf")], [-float("inf")]], b"[[Infinity],[-Infinity]]"),
        ([None, float("nan"), "null"], b'[null,NaN,"null"]'),
        (["\ud800"], b'["\xed\xa0\x80"]'),
        ([np.str_("a")], b'["a"]'),
    ],
)
def test_what_only_python_writes_is_written_as_python_does(value: Any, text: bytes) -> None:
    """A missing value is no null: servers in Python understand NaN."""
    assert encoded(value) == text


@pytest.mark.parametrize(
    "text", [b"[NaN, -Infinity]", b"1e999", b'"\\ud800"', b"\xef\xbb\xbf[1]", '["é"]'.encode("utf-16")]
)
def test_what_only_python_reads_is_read_as_python_does(text: bytes) -> None:
    """Python's json is the oracle."""
    assert repr(decoded(Answer(text))) == repr(json.loads(text))
