"""A server inside this process. The only place where the client touches the server's package."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from whybox.errors import ExplainError, Violation, refused

if TYPE_CHECKING:
    from whybox.client import Client

REMEDY = "install the server into this environment: pip install 'whybox[server]' (or 'whybox[gpu]')"


def local(models: str | Path | None = None, redis: str | None = None, **settings: Any) -> Client:
    """Start a server in this process, and give a client of it; closing the client stops the server.

        with whybox.local() as client:
            client.explain("model.onnx", x, "lime")

    models: folder of models. redis: URL of a Redis; None keeps the cache in the process.
    settings: any other option of `whybox serve`, with underscores. Endpoints may be declared in requests;
        give allow_egress=["127.0.0.0/8"], say, for those that are not on the internet.
    Raises ExplainError when the server is not installed or a setting is wrong.
    """
    try:
        server = _server_class()(models=models, redis=redis, **settings)
    except (ValueError, TypeError) as error:
        raise refused(_wrong_settings(error)) from error
    target = server.start()
    from whybox.client import Client  # noqa: PLC0415 - gRPC loads while nobody waits for a message

    try:
        return Client(target, on_close=server.stop)
    except BaseException:
        server.stop()
        raise


def _server_class() -> Any:
    try:
        from whybox_server.app import EmbeddedServer  # noqa: PLC0415 - the server is an optional extra
    except ModuleNotFoundError as error:
        raise not_installed(error) from error
    return EmbeddedServer


def _wrong_settings(error: Exception) -> list[Violation]:
    """One violation per setting; pydantic's own text tells more about pydantic than about the setting."""
    problems = error.errors() if hasattr(error, "errors") else []
    found = [
        Violation(
            ".".join(["settings", *map(str, problem["loc"])]), problem["msg"].removeprefix("Value error, ")
        )
        for problem in problems
    ]
    return found or [Violation("settings", str(error))]


def not_installed(error: ModuleNotFoundError) -> ExplainError:
    """Says which module is missing, and how to get it."""
    message = f"the server is not installed here (no module {error.name!r})"
    return ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy=REMEDY)
