"""Inputs of a model whose server says nothing of them: what was declared, or what a spec makes plain."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

import numpy as np

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import Modality, TabularSpec, TextSpec
from whybox_server.serving.onnx.signature import RowInfo
from whybox_server.serving.remote.endpoint import Endpoint

TEXT, TABLE = "text", "row"  # names of inputs that nobody named; the wire does not see them
NAME = re.compile(r"[\w.:-]{1,64}")  # what is shown of the names that a server says it has


def declared_inputs(endpoint: Endpoint) -> tuple[RowInfo, ...]:
    """One row of each input; () if nothing tells.

    A text model takes one text, and a table's row is as long as its feature names.
    """
    if endpoint.inputs:
        return tuple(RowInfo(one.name, np.dtype(one.dtype), tuple(one.shape)) for one in endpoint.inputs)
    details = endpoint.spec.details
    if endpoint.spec.modality is Modality.TEXT or isinstance(details, TextSpec):
        return (RowInfo(TEXT, np.dtype(object), ()),)
    if isinstance(details, TabularSpec) and details.feature_names:
        return (RowInfo(TABLE, np.dtype(np.float32), (len(details.feature_names),)),)
    return ()


def required_inputs(endpoint: Endpoint) -> tuple[RowInfo, ...]:
    """Raises InvalidRequest if nothing tells what the model takes."""
    found = declared_inputs(endpoint)
    if not found:
        what = "the server does not say what its model takes: declare name, dtype and row shape of each input"
        raise InvalidRequest.of("endpoint.inputs", what)
    return found


def near(name: str, known: Iterable[str]) -> str:
    """A hint at the names there are; only short ones, since a server wrote them."""
    names = [one for one in known if NAME.fullmatch(one)]
    close = difflib.get_close_matches(name, names, 2)
    if close:
        return f"did you mean {' or '.join(map(repr, close))}?"
    return f"there are {', '.join(map(repr, sorted(names)[:6]))}" if names else "there are none"
