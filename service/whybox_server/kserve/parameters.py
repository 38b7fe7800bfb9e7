"""What a caller of KServe's wires asks for, `{"method": "lime", "num_samples": 500}`, as a request of our contract.

Keys are fields of `ExplainRequest`, a method's name with an object of its parameters, or parameters of the method
that is chosen. Values are proto3 JSON, and what `values` understands besides. What becomes of the request is not
known here.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from google.protobuf.message import Message

from whybox.v1 import explain_pb2
from whybox_server.api.decode import Findings
from whybox_server.core.errors import InvalidRequest, Violation
from whybox_server.http.decode import fill, parse
from whybox_server.kserve.values import spelt

METHOD, METHOD_HEADER, PARAMETERS_HEADER = "method", "x-whybox-method", "x-whybox-parameters"
DEFAULT_METHOD = "lime"
PATH = "parameters"
ANSWER = ("tensors", "subject")  # how the answer is written; see `shown`
REQUEST = explain_pb2.ExplainRequest.DESCRIPTOR
METHODS: Mapping[str, Any] = {field.name: field.message_type for field in REQUEST.oneofs_by_name[METHOD].fields}
ELSEWHERE = ("model", "instances", "endpoint")  # said by the path, by the body, and by nobody
FIELDS = [field.name for field in REQUEST.fields if field.name not in (*METHODS, *ELSEWHERE)]
WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
MOST_SHOWN = 60  # characters of a name that a caller made up


def from_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """What `x-whybox-parameters`, a JSON object, and `x-whybox-method` say. Raises InvalidRequest."""
    found: dict[str, Any] = {}
    written = headers.get(PARAMETERS_HEADER)
    if written is not None:
        try:
            found = parse(written.encode("utf-8", "surrogateescape"))
        except InvalidRequest as wrong:
            raise InvalidRequest.of(PARAMETERS_HEADER, wrong.violations[0].description) from None
        if not isinstance(found, dict):
            raise InvalidRequest.of(PARAMETERS_HEADER, 'must be a JSON object, as {"num_samples": 500}')
    named = headers.get(METHOD_HEADER)
    return merged(found, {METHOD: named}) if named is not None else found


def merged(*layers: Mapping[str, Any]) -> dict[str, Any]:
    """One layer over another: the later one wins, key by key, and a method's parameters one by one.

    A layer that chooses another method takes the parameters of the earlier one's away.
    """
    found: dict[str, Any] = {}
    for layer in layers:
        over = {key: _snaked(value) if _is_method(key, value) else value for key, value in _snaked(layer).items()}
        before, now = _chosen(found), _chosen(over)
        if before and now and before != now:
            found = {key: value for key, value in found.items() if key in (*FIELDS, *ANSWER)}
        found = _laid_over(found, over)
    return found


def _laid_over(found: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """A parameter may stand alone here and in its method's object there: it is the same one."""
    inner = {key for name, value in over.items() if _is_method(name, value) for key in value}
    kept: dict[str, Any] = {}
    for key, value in found.items():
        if _is_method(key, value):
            kept[key] = {name: one for name, one in value.items() if name not in over}
        elif key not in inner:
            kept[key] = value
    for key, value in over.items():
        both = _is_method(key, value) and _is_method(key, kept.get(key))
        kept[key] = {**kept[key], **value} if both else value
    return kept


def request_of(
    model: str, instances: Sequence[explain_pb2.Instance], given: Mapping[str, Any]
) -> explain_pb2.ExplainRequest:
    """The request that asks for it. model: by its full name. Nothing named: LIME.

    Raises InvalidRequest with every violation found, by its place in `parameters`.
    """
    found = Findings()
    given = {key: value for key, value in _snaked(given).items() if value is not None}
    request = explain_pb2.ExplainRequest(model=model, instances=instances)
    for name in FIELDS:
        if name in given:
            _set(request, name, given[name], found)
    found.violations += _wrong_answer(given)
    method = _method(given, found)
    if method is not None:
        _set_method(request, method, given, found)
    found.settle()
    return request


def _wrong_answer(given: Mapping[str, Any]) -> list[Violation]:
    """What is wrong with the parameters that say how the answer is written."""
    wrong = []
    if given.get("tensors") not in (None, "list", "base64"):
        wrong.append(Violation(f"{PATH}.tensors", 'must be "list" or "base64"'))
    if str(given.get("subject", "false")).lower() not in ("true", "false"):
        wrong.append(Violation(f"{PATH}.subject", "must be true or false"))
    return wrong


def _method(given: Mapping[str, Any], found: Findings) -> str | None:
    """Name of the one method that is chosen; None after noting what is wrong."""
    named = _named(given.get(METHOD))
    objects = [key for key, value in given.items() if _is_method(key, value)]
    if METHOD in given and named not in METHODS:
        what = f"no method {_short(named)!r}" if named is not None else "must be the name of a method"
        found.add(f"{PATH}.{METHOD}", f"{what}; {_near(named or '', METHODS)}")
        return None
    chosen = [*dict.fromkeys([*([named] if named else []), *objects])]
    if len(chosen) > 1:
        found.add(f"{PATH}.{METHOD}", f"only one method may be given, got {' and '.join(chosen)}")
        return None
    return chosen[0] if chosen else DEFAULT_METHOD


def _set_method(request: explain_pb2.ExplainRequest, method: str, given: Mapping[str, Any], found: Findings) -> None:
    message = getattr(request, method)
    message.SetInParent()
    names = METHODS[method].fields_by_name
    said = _snaked(given[method]) if _is_method(method, given.get(method)) else {}
    for place, values in ((f"{PATH}.{method}", said), (PATH, given)):
        for key, value in values.items():
            if values is given and (key in (METHOD, *FIELDS, *ANSWER) or _is_method(key, value)):
                continue
            if key not in names:
                known = [*names, *(() if values is said else (METHOD, *FIELDS, *METHODS))]
                what = f"{method} has no such parameter" if values is said else "no such parameter"
                found.add(f"{place}.{_short(key)}", f"{what}; {_near(key, known)}")
            elif values is given and said.get(key) is not None:
                found.add(f"{place}.{key}", f"is given twice, here and in {method}")
            else:
                _set(message, key, value, found, place)


def _set(message: Message, name: str, value: Any, found: Findings, place: str = PATH) -> None:
    fill(message, {name: spelt(message.DESCRIPTOR.fields_by_name[name], value)}, place, found)


def _is_method(key: str, value: Any) -> bool:
    """Whether a key chooses a method; `gradient` also is a parameter of CEM, with a text as its value."""
    return key in METHODS and isinstance(value, Mapping)


def _chosen(layer: Mapping[str, Any]) -> set[str]:
    """Names of methods that a layer chooses; more than one are refused later."""
    named = _named(layer.get(METHOD))
    return {key for key, value in layer.items() if _is_method(key, value)} | ({named} if named else set())


def _named(value: Any) -> str | None:
    return value.strip().lower().replace("-", "_") if isinstance(value, str) else None


def _snaked(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same with num_samples for numSamples, unless both are there."""
    plain = {key: WORDS.sub("_", key).lower() for key in given}
    return {key if plain[key] in given else plain[key]: value for key, value in given.items()}


def _near(name: str, known: Iterable[str]) -> str:
    names = list(known)
    near = difflib.get_close_matches(name, names, 3)
    if near:
        return f"did you mean {' or '.join(near)}?"
    return f"there are {', '.join(names)}"


def _short(name: str) -> str:
    return name if len(name) <= MOST_SHOWN else name[:MOST_SHOWN] + "..."
