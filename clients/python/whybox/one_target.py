"""Explanations of several targets, taken apart: one message for each."""

from __future__ import annotations

from typing import Any

from whybox.v1 import explanation_pb2, tensor_pb2


def only(message: explanation_pb2.Explanation, at: int) -> explanation_pb2.Explanation:
    """A copy with target number `at` alone; `at` must be in [0, targets)."""
    found, count = explanation_pb2.Explanation(), len(message.targets)
    found.CopyFrom(message)
    _keep(found.targets, at)
    if message.HasField("attribution"):
        for name in ("values", "base_values", "standard_errors"):
            if message.attribution.HasField(name):
                _slice(getattr(found.attribution, name), at, count)
        _keep(found.attribution.quality, at)
    if message.HasField("mask"):
        _slice(found.mask.values, at, count)
        _keep(found.mask.masked_scores, at)
        _keep(found.mask.hidden_scores, at)
    return found


def _slice(tensor: tensor_pb2.Tensor, at: int, count: int) -> None:
    """Leave what belongs to target number `at` of (targets, ...)."""
    size = len(tensor.data) // count
    tensor.shape[0] = 1
    tensor.data = tensor.data[at * size : (at + 1) * size]


def _keep(repeated: Any, at: int) -> None:
    """Leave element number `at` of a repeated field, or nothing of an empty one."""
    del repeated[at + 1 :], repeated[:at]
