"""A model's own outputs, as its graph gives them, for any way of laying rows into its inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime as ort

from whybox_server.core.rows import Array
from whybox_server.core.spec import BatchAxis
from whybox_server.serving.onnx.signature import Signature


def own_outputs(
    session: ort.InferenceSession, signature: Signature, rows: Mapping[str, Array]
) -> dict[str, Array]:
    """Every output by name for these rows, (n, ...) each. Raises whatever the runtime raises."""
    names = [output.name for output in session.get_outputs()]
    count = len(next(iter(rows.values())))
    if signature.batch is BatchAxis.NONE:
        calls = [session.run(names, {k: v[at, ...] for k, v in rows.items()}) for at in range(count)]
        return {name: np.stack([as_array(call[at]) for call in calls]) for at, name in enumerate(names)}
    step = signature.rows or count
    answers = []
    for start in range(0, count, step):
        at = np.minimum(np.arange(start, start + step), count - 1)  # repeats the last row to fill up
        answers.append(session.run(names, {name: array[at] for name, array in rows.items()}))
    return {
        name: np.concatenate([as_array(answer[at]) for answer in answers])[:count]
        for at, name in enumerate(names)
    }


def as_array(value: Any) -> Array:
    """An output as an array: maps become one column per key, in the order of the first map."""
    if isinstance(value, Sequence) and value and isinstance(value[0], Mapping):
        keys = list(value[0])
        return np.array([[row[key] for key in keys] for row in value])
    return np.asarray(value)
