"""`whybox.local`: a server that lives as long as its client. The server itself is tested elsewhere."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import pytest
from tests.wire.recorder import Recorder, serving

import whybox


class EmbeddedServer:
    """The surface of the real one, over the recorder."""

    def __init__(self, **settings: Any) -> None:
        if "colour" in settings:
            message = "colour: extra inputs are not permitted"
            raise ValueError(message)
        self.recorder, self.stack, self.stopped = Recorder(), ExitStack(), 0
        STARTED.append((self, settings))

    def start(self) -> str:
        return self.stack.enter_context(serving(self.recorder))

    def stop(self) -> None:
        self.stopped += 1
        self.stack.close()


STARTED: list[tuple[EmbeddedServer, dict[str, Any]]] = []


@pytest.fixture(autouse=True)
def _app(monkeypatch: pytest.MonkeyPatch) -> None:
    app = ModuleType("whybox_server.app")
    app.EmbeddedServer = EmbeddedServer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "whybox_server.app", app)
    STARTED.clear()


def test_the_server_stops_with_its_client() -> None:
    """Settings are handed on as they are; closing twice stops once."""
    with whybox.local(models="m", redis=None, provider="cpu") as client:
        [(server, settings)] = STARTED
        assert [method.name for method in client.methods()] == ["lime"]
        assert server.stopped == 0
    client.close()
    assert server.stopped == 1
    assert settings == {"models": "m", "redis": None, "provider": "cpu"}


def test_a_wrong_setting_is_an_explain_error() -> None:
    """Not one of the library that checks settings."""
    with pytest.raises(whybox.ExplainError, match="colour"):
        whybox.local(colour="red")


def test_a_client_that_cannot_be_made_leaves_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server stops, and the error is the client's."""

    def fail(*_: Any, **__: Any) -> None:
        message = "no client"
        raise RuntimeError(message)

    monkeypatch.setattr("whybox.client.Client", fail)
    with pytest.raises(RuntimeError, match="no client"):
        whybox.local()
    assert STARTED[0][0].stopped == 1
