"""KServe's V1 protocol: `POST /v1/models/MODEL:predict` with `instances`, answered by `predictions`.

Its metadata is a name and whether the model is ready, so inputs are declared.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whybox_server.core.errors import EndpointRefused, InvalidRequest, ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint, Speech
from whybox_server.serving.remote.exchange import Described, Exchange, Refused
from whybox_server.serving.remote.speech import json_text
from whybox_server.serving.remote.speech.declaration import near, required_inputs
from whybox_server.serving.remote.speech.json_text import NOT_THERE, decoded, get, post, segments
from whybox_server.serving.remote.speech.row_values import count, rows_of
from whybox_server.serving.remote.speech.scores import Reading, scores_of

MODELS = "/v1/models"
OBJECTS = "objects"  # of `Described.manner`: rows are objects by input, though there is only one
REMEDY = "check the protocol and the model's name"
SILENT = "the server says nothing of the model beforehand"

bytes_per_row = json_text.bytes_per_row


def describe(endpoint: Endpoint) -> Exchange[Described]:
    """Raises InvalidRequest for a model that is not there, or inputs that are not declared."""
    inputs = required_inputs(endpoint)
    model = endpoint.model or (yield from _only_model())
    notes: tuple[str, ...] = ()
    try:
        said = decoded((yield get(MODELS + segments(model))))
    except Refused as refused:
        if refused.status not in NOT_THERE:
            raise
        yield from _absent(model)
        notes = (SILENT,)
    else:
        _check_ready(model, said)
    return Described(
        Speech.KSERVE_V1.value,
        inputs,
        endpoint.output or endpoint.spec.output,
        labels=endpoint.spec.labels,
        notes=notes,
        manner={"model": model, **({OBJECTS: "yes"} if endpoint.objects else {})},
    )


def ask(endpoint: Endpoint, described: Described, rows: Mapping[str, Array]) -> Exchange[Array]:
    reply = decoded((yield post(predict_path(described), {"instances": rows_of(rows, objects=OBJECTS in described.manner)})))
    reading = Reading("`predictions`", REMEDY, endpoint.spec.labels, described.output)
    if not isinstance(reply, dict) or "predictions" not in reply:
        raise ModelOutputInvalid(f"the reply is {json_text.kind_of(reply)}, without `predictions`; {REMEDY}")
    return scores_of(reply["predictions"], count(rows), reading)


def predict_path(described: Described) -> str:
    return f"{MODELS}{segments(described.manner['model'])}:predict"


def _only_model() -> Exchange[str]:
    """The model of a server that has one, where nobody said which."""
    names = yield from _models()
    if names is None or len(names) != 1:
        has = "does not say which it has" if names is None else f"has {len(names)}; {near('', names)}"
        raise InvalidRequest.of("endpoint.model", f"required: the server {has}")
    return names[0]


def _absent(model: str) -> Exchange[None]:
    """Raises InvalidRequest if the server lists its models and this one is not among them."""
    names = yield from _models()
    if names is not None and model not in names:
        raise InvalidRequest.of("endpoint.model", f"the server has no model {model!r}; {near(model, names)}")


def _models() -> Exchange[list[str] | None]:
    """Names of all models; None if the server does not say."""
    try:
        said = decoded((yield get(MODELS)))
    except Refused as refused:
        if refused.status not in NOT_THERE:
            raise
        return None
    names = said.get("models") if isinstance(said, dict) else None
    return [name for name in names if isinstance(name, str)] if isinstance(names, list) else None


def _check_ready(model: str, said: Any) -> None:
    """Older servers say "False"."""
    if isinstance(said, dict) and str(said.get("ready", True)).lower() == "false":
        raise EndpointRefused(f"model {model!r} is there and not ready yet; ask again later", status=503)
