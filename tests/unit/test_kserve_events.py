"""CloudEvents in, CloudEvents out, as the specification of the HTTP binding and KServe's servers have them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.events import Asking, Signed, answering, opened, signed

DATA = {"instances": [[1, 2.5]]}
BODY = json.dumps(DATA).encode()
ATTRIBUTES = {"specversion": "1.0", "id": "a-1", "source": "/orders", "type": "com.example.order"}
CE = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
JSON = {"content-type": "application/json"}
TIME = "2026-01-02T03:04:05.123456789Z"


def enveloped(**more: Any) -> bytes:
    return json.dumps({**ATTRIBUTES, "data": DATA, **more}).encode()


def answered(
    headers: dict[str, str], body: bytes, sign: Signed | None = None
) -> tuple[dict[str, Any], Any, dict[str, str]]:
    """Attributes and data of the event that answers, and the headers."""
    _, asking = opened(headers, body)
    assert asking is not None
    content, out = answering(asking, "iris", sign or Signed(), b'{"predictions":[1],"explanations":[{}]}')
    if asking.binary:
        told = {name.removeprefix("ce-"): value for name, value in out.items() if name.startswith("ce-")}
        return told, json.loads(content), out
    said = json.loads(content)
    return said, said.pop("data"), out


@pytest.mark.parametrize(
    ("headers", "body", "binary"),
    [
        (CE, BODY, True),
        ({**CE, **JSON, "ce-time": TIME, "ce-subject": "7", "ce-traceparent": "00-1"}, BODY, True),
        ({**CE, "content-type": "application/octet-stream"}, BODY, True),
        ({**CE, "ce-specversion": "0.3"}, BODY, True),
        (STRUCTURED, enveloped(), False),
        (STRUCTURED, enveloped(time=TIME, subject=None, datacontenttype="application/json", mine=1), False),
        (STRUCTURED, enveloped(data=None, data_base64=base64.b64encode(BODY).decode()), False),
        (
            STRUCTURED,
            enveloped(specversion="0.3", datacontentencoding="base64", data=base64.b64encode(BODY).decode()),
            False,
        ),
        (STRUCTURED, enveloped(specversion="0.3"), False),
    ],
)
def test_the_answer_is_an_event_in_the_mode_of_the_question(headers: dict[str, str], body: bytes, binary: bool):
    """HTTP binding 1.0.2, 3.1 and 3.2: attributes in headers and the data's own content type, or all in one JSON."""
    said, asking = opened(headers, body)
    assert said == DATA
    assert asking is not None
    assert asking.binary == binary
    attributes, data, out = answered(headers, body)
    assert data == {"predictions": [1], "explanations": [{}]}
    assert attributes["type"] == "io.kserve.inference.response"
    assert attributes["source"] == "io.kserve.inference.iris"
    assert attributes["specversion"] == "1.0"
    assert attributes["id"] != "a-1"
    assert abs(datetime.now(UTC) - datetime.fromisoformat(attributes["time"])) < timedelta(minutes=5)
    assert out["content-type"] == ("application/json" if binary else "application/cloudevents+json")
    assert answered(headers, body)[0]["id"] != attributes["id"], "two events of one id"


def test_what_is_no_event_is_what_it_says():
    for headers in (JSON, {}, {"content-type": "application/x-www-form-urlencoded"}, {"ce-other": "x"}):
        assert opened(headers, BODY) == (DATA, None)


def test_an_event_in_plain_json_is_taken_out_of_its_envelope():
    """As KServe's servers do, whose answer to it is plain JSON; without a time they take it for no event."""
    assert opened(JSON, enveloped(time=TIME)) == (DATA, None)
    assert opened(JSON, enveloped()) == (json.loads(enveloped()), None)


def test_the_operator_signs():
    """CE_TYPE, CE_SOURCE and CE_MERGE as in KServe; with the last, what the asking event said of itself stays."""
    sign = signed({"CE_TYPE": "my.type", "CE_SOURCE": "my.source", "CE_MERGE": "True"})
    for headers, body in (
        ({**CE, "ce-time": TIME, "ce-mine": "x y"}, BODY),
        (STRUCTURED, enveloped(time=TIME, mine="x y")),
    ):
        attributes, _, _ = answered(headers, body, sign)
        assert (attributes["type"], attributes["source"]) == ("my.type", "my.source")
        assert attributes["mine"] in ("x y", "x%20y")
        assert attributes["id"] != "a-1"
        assert not attributes["time"].startswith("2026-01-02")
    assert "mine" not in answered({**CE, "ce-mine": "x"}, BODY, signed({"CE_MERGE": "no"}))[0]
    assert signed({}) == Signed()


def test_a_merged_event_keeps_its_version_and_not_its_encoding():
    body = enveloped(specversion="0.3", datacontentencoding="base64", data=base64.b64encode(BODY).decode())
    attributes, data, _ = answered(STRUCTURED, body, Signed(merge=True))
    assert attributes["specversion"] == "0.3"
    assert "datacontentencoding" not in attributes
    assert data["predictions"] == [1]


@pytest.mark.parametrize(
    ("headers", "body", "place"),
    [
        ({"ce-id": "1"}, BODY, "ce-source"),
        ({**CE, "ce-type": ""}, BODY, "ce-type"),
        ({**CE, "ce-specversion": "2.0"}, BODY, "event.specversion"),
        ({**CE, "ce-time": "noon"}, BODY, "event"),
        ({**CE, "ce-time": "2026-01-02T03:04:05"}, BODY, "event.time"),
        ({**CE, "ce-not_one": "x"}, BODY, "event.not_one"),
        (CE, b"{", "body"),
        (CE, b"", "body"),
        (STRUCTURED, b"{", "body"),
        (STRUCTURED, b"[]", "event"),
        (STRUCTURED, BODY, "specversion"),
        (STRUCTURED, enveloped(id=3), "event.id"),
        (STRUCTURED, enveloped(time=3), "event"),
        (STRUCTURED, enveloped(specversion=["1.0"]), "event.specversion"),
        (STRUCTURED, enveloped(data=None, data_base64="!"), "event"),
        (STRUCTURED, enveloped(data=None, data_base64=3), "event"),
        (STRUCTURED, enveloped(data=None, data_base64=base64.b64encode(b"{").decode()), "body"),
        (STRUCTURED, enveloped(specversion="0.3", datacontentencoding="base64", data=3), "event"),
        ({"content-type": "application/cloudevents-batch+json"}, b"[]", "content-type"),
    ],
)
def test_a_broken_event_is_refused(headers: dict[str, str], body: bytes, place: str):
    with pytest.raises(InvalidRequest) as caught:
        opened(headers, body)
    assert place in {one.field for one in caught.value.violations}


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just([]) | st.just({})


@given(
    st.dictionaries(
        st.sampled_from([*ATTRIBUTES, "time", "data", "data_base64", "datacontentencoding", "subject", "x y"]), VALUES
    ),
    st.sampled_from([STRUCTURED, JSON]),
)
def test_anything_in_an_envelope_is_read_or_refused(changed: dict[str, Any], headers: dict[str, str]):
    try:
        said, asking = opened(headers, json.dumps({**ATTRIBUTES, "time": TIME, "data": DATA, **changed}).encode())
    except InvalidRequest:
        return
    if asking is not None:
        content, _ = answering(asking, "iris", Signed(merge=True), b"{}")
        assert json.loads(content)["data"] == {}


TEXTS = st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=8)


@given(st.dictionaries(st.sampled_from([*CE, "ce-time", "ce-subject", "ce-mine", "content-type"]), TEXTS))
def test_headers_of_an_answer_can_be_sent(changed: dict[str, str]):
    """RFC 9110, 5.5: visible ASCII only, whatever is merged into them."""
    try:
        _, asking = opened({**CE, **changed}, BODY)
    except InvalidRequest:
        return
    assert isinstance(asking, Asking)
    _, out = answering(asking, "iris", Signed(merge=True), b"{}")
    assert all(value.isascii() and value.isprintable() for value in out.values())
