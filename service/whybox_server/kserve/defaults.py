"""What the operator lays under the parameters of every call of KServe's, checked before a call needs it.

It knows no model: whether a method suits one, and whether a target is there, is found out by the first call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from whybox_server.core.errors import InvalidRequest
from whybox_server.kserve.parameters import METHOD, PATH, request_of

SETTING = "explain_parameters"


def defaults_of(method: str | None, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """method: by name; None: as the parameters say. Raises ValueError listing all that is wrong."""
    found = dict(parameters) if method is None else {**parameters, METHOD: method}
    try:
        request = request_of("", (), found)
    except InvalidRequest as error:
        wrong = (f"{SETTING}{one.field.removeprefix(PATH)}: {one.description}" for one in error.violations)
        raise ValueError("; ".join(wrong)) from None
    meant = request.WhichOneof(METHOD)
    if METHOD in found or meant in found or not found:
        return found
    # Parameters of the method that is meant when none is named must not become those of one that a caller chooses.
    return {**found, METHOD: meant}
