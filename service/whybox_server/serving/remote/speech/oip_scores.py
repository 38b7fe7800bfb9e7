"""Scores out of a reply of the Open Inference Protocol: the right output, as many rows as were asked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.core.rows import Array
from whybox_server.serving.remote.endpoint import Endpoint
from whybox_server.serving.remote.exchange import Described
from whybox_server.serving.remote.speech.declaration import near
from whybox_server.serving.remote.speech.oip import SHOWN, Tensor, array_of
from whybox_server.serving.remote.speech.oip_feeds import NO_AXIS
from whybox_server.serving.remote.speech.oip_model import Says, best, is_label


def scores_of(endpoint: Endpoint, described: Described, reply: Sequence[Tensor], sent: int) -> Array:
    """(sent, outputs) numbers, or (sent, 1) labels. Raises ModelOutputInvalid.

    sent: rows in the call, copies included.
    """
    tensor = _chosen(described.output, reply)
    array = array_of(tensor)
    if described.manner.get("rows") == NO_AXIS:
        array = array[None]
    if array.ndim == 0 or len(array) != sent:
        raise ModelOutputInvalid(
            f"{tensor} has shape {array.shape} for {sent} rows; if its first axis does not count rows, say so in spec.batch"
        )
    flat = array.reshape(sent, -1)
    if is_label(endpoint, flat.dtype, flat.shape[1]):
        return _labels(flat, endpoint.spec.labels or described.labels)
    return flat if flat.dtype == np.float32 else flat.astype(np.float64)


def _chosen(name: str, reply: Sequence[Tensor]) -> Tensor:
    names = [tensor.name for tensor in reply]
    if name:
        found = next((tensor for tensor in reply if tensor.name == name), None)
        if found is None:
            raise ModelOutputInvalid(f"the reply has no output {name[:SHOWN]!r}; {near(name, names)}")
        return found
    chosen = best([Says(tensor.name, tensor.datatype, ()) for tensor in reply])
    if chosen is None:
        raise ModelOutputInvalid("the reply has no output that can be read; name one in `output`")
    return reply[names.index(chosen.name)]


def _labels(flat: Array, names: Sequence[str]) -> Array:
    """(n, outputs) objects; whole numbers become names where there are names for all of them."""
    if flat.dtype.kind == "O":
        return flat
    words = flat.astype(np.int64)
    numbers = {str(number) for number in words.ravel()}
    if not numbers <= {*names} and names and words.min() >= 0 and words.max() < len(names):
        named: Array = np.asarray(names, object)[words]
        return named
    written: Array = np.vectorize(str, otypes=[object])(words)
    return written
