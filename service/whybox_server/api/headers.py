"""A caller's own headers, for endpoints that pass some of them on."""

from __future__ import annotations

from typing import Any


def headers_in(context: Any) -> dict[str, str]:
    """Those that hold text, by lower-case name; of one that comes twice, the last."""
    metadata = context.invocation_metadata() or ()
    return {key: value for key, value in metadata if isinstance(value, str)}
