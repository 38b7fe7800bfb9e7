"""JSON bodies of calls and replies, and what may be said about a reply that is none.

What a server wrote is never quoted: types, lengths and a few keys that everybody uses are enough to
find a mistake, and cannot hold a secret.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from math import prod
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.exchange import Answer, Described, HttpCall

HEADERS: Mapping[str, str] = {"content-type": "application/json", "accept": "application/json"}
NOT_THERE = (404, 405, 501)  # a server without metadata, or a gateway that hides it
# Keys that may be named: they belong to protocols, not to anybody's data.
COMMON = (
    *("predictions", "outputs", "output", "scores", "score", "probabilities", "logits", "results", "result"),
    *("data", "labels", "label", "classes", "response", "values", "error", "errors", "message", "detail"),
)
MEDIA_TYPE = re.compile(r"[a-z]+/[a-z0-9.+-]{1,40}")
SAMPLE = 256  # numbers that are written down to guess how long the others are
SEPARATORS = (",", ":")
NULL = b"null"


def get(path: str) -> HttpCall:
    """A question about the model, which is not paid for."""
    return HttpCall("GET", path, headers={"accept": "application/json"})


def post(path: str, body: Any) -> HttpCall:
    """A question to the model."""
    return HttpCall("POST", path, encoded(body), HEADERS, asks=True)


def segments(*names: str) -> str:
    """Names as a path; one with a slash stays one name."""
    return "".join(f"/{quote(name, safe='')}" for name in names)


def encoded(value: Any) -> bytes:
    """Compact; what is not ASCII is written out, so that a text has about the length of its UTF-8.

    NaN and the infinities are written as JavaScript spells them, as Python's servers understand it.
    """
    try:
        body = msgspec.json.encode(value)
    except (UnicodeEncodeError, TypeError):  # half a surrogate pair; a text of numpy
        return _as_python(value)
    # msgspec, ten times as fast, writes NaN as null: wherever there may be one, Python's own decides.
    return _as_python(value) if NULL in body else body


def decoded(answer: Answer) -> Any:
    """What a reply says; bare NaN and Infinity are numbers. Raises ModelOutputInvalid if it is no JSON."""
    try:
        return msgspec.json.decode(answer.body)
    except (ValueError, RecursionError):
        return _read_as_python(answer)


def kind_of(value: Any) -> str:
    """What a value is, without saying what it says."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list():
            return f"a list of {len(value)}"
        case dict():
            known = [key for key in COMMON if key in value]
            among = f", {', '.join(map(repr, known[:4]))} among them" if known else ""
            return f"an object of {len(value)}{among}"
    return "something else"


def bytes_per_row(described: Described, rows: Mapping[str, Array]) -> int:
    """About how many bytes of JSON one of these rows takes; for texts, the longest of them."""
    return sum(len(name) + 8 + _bytes_of(array) for name, array in rows.items())


def _as_python(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=SEPARATORS).encode("utf-8", "surrogatepass")


def _read_as_python(answer: Answer) -> Any:
    """What msgspec refuses: NaN, numbers past all floats, half surrogate pairs, other encodings, and no JSON."""
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError) as error:
        raise ModelOutputInvalid(f"the reply is no JSON but {_looks_like(answer)}") from error


def _bytes_of(array: Array) -> int:
    """Numbers by a sample of them, and around every list "[],"."""
    if array.dtype.kind == "O":
        return max((sum(len(encoded(text)) + 1 for text in np.ravel(row)) for row in array), default=0)
    shape = array.shape[1:]
    lists = sum(prod(shape[:axis]) for axis in range(len(shape)))
    sample = array.ravel()[:: max(1, array.size // SAMPLE)].tolist()
    return -(-len(encoded(sample)) * prod(shape) // max(1, len(sample))) + 3 * lists


def _looks_like(answer: Answer) -> str:
    if not answer.body.strip():
        return "empty"
    declared = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if declared == "text/html" or answer.body.lstrip()[:1] == b"<":
        return "a web page; does the URL lead to the model, or to a login or an error page?"
    said = f", declared as {declared}" if MEDIA_TYPE.fullmatch(declared) else ""
    return f"{len(answer.body)} bytes of something else{said}; check the URL and the protocol"
