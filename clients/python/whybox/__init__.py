"""Ask why a model says what it says.

A table of contents: `Client`, `aio.Client`, `local`, `ModelSpec`, `Endpoint`, `Explanation`, `ExplainError`.
Everything is imported on first use, so that `whybox --help` does not wait for gRPC and numpy, and so
that the server, which needs only the stubs, does not load the client.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from whybox import aio
    from whybox.client import Client
    from whybox.embedded import local
    from whybox.endpoint import Endpoint
    from whybox.errors import ExplainError
    from whybox.result import Explanation
    from whybox.spec import ModelSpec

    __version__: str

__all__ = ["Client", "Endpoint", "ExplainError", "Explanation", "ModelSpec", "__version__", "aio", "local"]

_HOMES = {
    "Client": "whybox.client",
    "Endpoint": "whybox.endpoint",
    "ExplainError": "whybox.errors",
    "Explanation": "whybox.result",
    "ModelSpec": "whybox.spec",
    "local": "whybox.embedded",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    if name == "aio":
        return importlib.import_module("whybox.aio")
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("whybox")
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)


def __dir__() -> list[str]:
    return sorted(__all__)
