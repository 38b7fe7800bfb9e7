"""Running a model in the runtime that serves it, on one thread: what float32 makes of a graph."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnxruntime as ort
from onnx import ModelProto

OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3


def single(model: ModelProto, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """All outputs of a float32 model by name."""
    session = ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    names = [entry.name for entry in session.get_outputs()]
    cast = {name: array.astype(np.float32) for name, array in feeds.items()}
    return dict(zip(names, session.run(names, cast), strict=True))
