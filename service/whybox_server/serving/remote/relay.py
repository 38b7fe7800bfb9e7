"""A caller's own request, passed on word for word to a server that speaks KServe's V1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whybox_server.serving.lane import Patience
from whybox_server.serving.remote.endpoint import Speech
from whybox_server.serving.remote.exchange import Exchange
from whybox_server.serving.remote.model import RemoteModel
from whybox_server.serving.remote.speech.json_text import decoded, post
from whybox_server.serving.remote.speech.kserve_v1 import predict_path


def relays(model: RemoteModel) -> bool:
    return model.session.endpoint.speech is Speech.KSERVE_V1


def relay(model: RemoteModel, body: Mapping[str, Any], rows: int, patience: Patience) -> Any:
    """What the server says to this body, as plain JSON values. rows: that it asks. Blocks.

    Raises as asking rows does: EndpointRefused, EndpointUnreachable, EndpointBudgetSpent, DeadlineExceeded.
    """
    session = model.session
    path = predict_path(session.described)

    def exchange() -> Exchange[Any]:
        return decoded((yield post(path, body)))

    sender = session.sender
    headers = model.headers
    return (sender.over(sender.transport.forwarding(headers)) if headers else sender).run(exchange, patience, rows)
