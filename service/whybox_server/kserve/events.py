"""CloudEvents over HTTP: an event that asks is answered by one that tells, in the mode in which it came.

Binary mode has the event's attributes in `ce-*` headers, structured mode around the data in
`application/cloudevents+json`. As with KServe's servers, an event in plain `application/json` is taken out of its
envelope, and the answer to it is plain JSON. What the data mean is not known here.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
from cloudevents.core.base import BaseCloudEvent, EventFactory
from cloudevents.core.bindings.common import get_event_factory_for_version
from cloudevents.core.bindings.http import HTTPMessage, from_binary, to_binary, to_structured
from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.formats.base import Format
from cloudevents.core.spec import SPECVERSION_V0_3, SPECVERSION_V1_0

from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.http.decode import parse
from whybox_server.http.encode import JSON

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
PREFIX = "ce-"
REQUIRED = ("id", "source", "specversion", "type")
ENVELOPE = (*REQUIRED, "time", "data")  # what makes JSON an event to KServe's servers, whatever it is declared as
FIELD = "event"
OWN = ("id", "time", "datacontenttype", "datacontentencoding")  # of each event, never taken over
RESPONSE, SOURCE = "io.kserve.inference.response", "io.kserve.inference.{}"


@dataclass(frozen=True, slots=True)
class Signed:
    """What our events say of themselves. source: "" for one that names the model.

    merge: what the asking event said of itself stays.
    """

    type: str = RESPONSE
    source: str = ""
    merge: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Asking:
    """The event that asked, without its data. binary: its mode."""

    attributes: Mapping[str, Any]
    binary: bool


def signed(environment: Mapping[str, str]) -> Signed:
    """As KServe's servers read it."""
    merge = environment.get("CE_MERGE", "false").lower() == "true"
    return Signed(environment.get("CE_TYPE", RESPONSE), environment.get("CE_SOURCE", ""), merge)


def opened(headers: Mapping[str, str], body: bytes) -> tuple[Any, Asking | None]:
    """What the body says, taken out of an event if it came in one, and the event that wants an event back.

    headers: by lower-case name. Raises InvalidRequest for what is no JSON, and for a broken event.
    """
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == BATCH:
        raise InvalidRequest.of("content-type", "events are answered one by one; send them in requests of their own")
    if any(f"{PREFIX}{name}" in headers for name in REQUIRED):
        _require({name for name in REQUIRED if headers.get(f"{PREFIX}{name}")}, PREFIX)
        event = _read(lambda: from_binary(HTTPMessage(dict(headers), body), FORMAT))
        return parse(body), Asking(event.get_attributes(), binary=True)
    said = parse(body)
    declared = kind == STRUCTURED
    if not declared and not (isinstance(said, dict) and said.keys() >= {*ENVELOPE}):
        return said, None
    event = _read(lambda: _structured(said))
    return _data_of(event), Asking(event.get_attributes(), binary=False) if declared else None


def answering(asking: Asking, model: str, sign: Signed, content: bytes) -> tuple[bytes, dict[str, str]]:
    """Body and headers of the event that tells `content`, which is JSON."""
    kept = {name: value for name, value in asking.attributes.items() if name not in OWN} if sign.merge else {}
    attributes = {**kept, "type": sign.type, "source": sign.source or SOURCE.format(model), "datacontenttype": JSON}
    made = get_event_factory_for_version(attributes.get("specversion", SPECVERSION_V1_0))(attributes, content)
    message = (to_binary if asking.binary else to_structured)(made, FORMAT)
    return message.body, message.headers


class _Format(Format):
    """The library's way to read and write an event's data, in our JSON: theirs takes NaN, and no depth to speak of."""

    def read(self, event_factory: EventFactory | None, data: str | bytes) -> BaseCloudEvent:
        return _structured(parse(data.encode() if isinstance(data, str) else data))

    def write(self, event: BaseCloudEvent) -> bytes:
        data = event.get_data()
        assert isinstance(data, bytes)  # ours, JSON already
        return msgspec.json.encode({**event.get_attributes(), "data": msgspec.Raw(data)})

    def write_data(self, data: dict[str, Any] | str | bytes | None, datacontenttype: str | None) -> bytes:
        assert isinstance(data, bytes)
        return data

    def read_data(self, body: bytes, datacontenttype: str | None) -> dict[str, Any] | str | bytes | None:
        return body

    def get_content_type(self) -> str:
        return STRUCTURED


FORMAT = _Format()


def _structured(said: Any) -> BaseCloudEvent:
    """An event out of the JSON that it is. What is null is not there."""
    if not isinstance(said, dict):
        raise InvalidRequest.of(FIELD, "must be an object with the attributes of the event and its data")
    attributes = {
        name: value for name, value in said.items() if value is not None and name not in ("data", "data_base64")
    }
    _require({name for name in REQUIRED if attributes.get(name)}, "")
    if "time" in attributes:
        attributes["time"] = datetime.fromisoformat(attributes["time"])
    data, coded = said.get("data"), said.get("data_base64")
    if attributes["specversion"] == SPECVERSION_V0_3 and attributes.get("datacontentencoding") == "base64":
        data, coded = None, data
    if coded is not None:
        data = base64.b64decode(coded, validate=True)
    return get_event_factory_for_version(attributes["specversion"])(attributes, data)


def _data_of(event: BaseCloudEvent) -> Any:
    """Values as they are; bytes are JSON."""
    data = event.get_data()
    return parse(data) if isinstance(data, bytes) else data


def _require(there: set[str], prefix: str) -> None:
    missing = [Violation(f"{prefix}{name}", "required of an event") for name in REQUIRED if name not in there]
    if missing:
        raise InvalidRequest(missing)


def _read(read: Callable[[], BaseCloudEvent]) -> BaseCloudEvent:
    """Raises InvalidRequest in the library's words."""
    try:
        return read()
    except CloudEventValidationError as error:
        wrong = [
            Violation(f"{FIELD}.{name[:60]}", str(why)[:200]) for name, all_ in error.errors.items() for why in all_
        ]
        raise InvalidRequest(wrong) from None
    except (BaseCloudEventException, ValueError, TypeError) as error:
        raise InvalidRequest.of(FIELD, f"is broken: {str(error)[:200]}") from None
