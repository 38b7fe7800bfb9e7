"""Whether a probe's graph still says what the model says.

On the way to its gradient a graph is converted, unrolled, folded and rewritten. One row decides
whether that has changed anything; it is asked once, when the probe is first used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.rows import Array, Samples
from whybox_server.serving.lane import Slice
from whybox_server.serving.onnx.runner import OnnxRunner, Plan

TOLERANCE = 1e-3  # of the largest score: float32 after a hundred layers, in another order of sums
HALF_TOLERANCE = 3e-2  # where the model computes in float16


def disagreement(model: Plan, probed: Plan, row: Mapping[str, Array], extra: Mapping[str, Array]) -> float:
    """How far the two are apart on a row, as a share of what is allowed; 0 if the row decides nothing.

    row: by input, without the batch axis. extra: what the probe's graph reads beside. A row that the
    model itself does not take, or answers with NaN, decides nothing.
    """
    try:
        expected = _scores(model, row)
    except Exception:  # noqa: BLE001  whatever the runtime raises is about the row, not about the probe
        return 0.0
    if not np.isfinite(expected).all():
        return 0.0
    found = _scores(probed, {**row, **extra})
    half = any(array.dtype == np.float16 for array in row.values())
    allowed = (HALF_TOLERANCE if half else TOLERANCE) * max(float(np.abs(expected).max()), 1e-6)
    return float(np.abs(found - expected).max()) / allowed


def refusal(share: float) -> MethodUnsupported:
    """The error for a graph that became another one on the way."""
    return MethodUnsupported(
        "in the form in which it is differentiated the graph says other scores than the model "
        f"({share:.3g} times what rounding explains), so that its gradient would be of something else; lime, "
        "kernel_shap and occlusion explain the model. Please report this model to the authors of whybox",
        alternatives="lime, kernel_shap, occlusion",
    )


def _scores(plan: Plan, row: Mapping[str, Array]) -> Array:
    shapes = {name: array.shape for name, array in row.items()}
    rows = Samples({name: array[None] for name, array in row.items()})
    return OnnxRunner(replace(plan, shapes=shapes), 1).run([Slice(rows, np.arange(1))], None)[0]
