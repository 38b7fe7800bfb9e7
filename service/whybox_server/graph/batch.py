"""Makes the first axis of a model's inputs and outputs take any length.

For models exported with a fixed batch of one whose arithmetic does not depend on it. Whether that
holds is for the caller to try out.
"""

from __future__ import annotations

from onnx import ModelProto

from whybox_server.graph.walk import real_inputs

ROWS = "whybox_rows"


def with_free_batch(model: ModelProto) -> ModelProto:
    """A copy whose first axes are symbolic; shapes inferred for the old length are forgotten."""
    copy = ModelProto()
    copy.CopyFrom(model)
    for entry in (*real_inputs(copy.graph), *copy.graph.output):
        dims = entry.type.tensor_type.shape.dim
        if len(dims):
            dims[0].dim_param = ROWS
    del copy.graph.value_info[:]
    return copy
