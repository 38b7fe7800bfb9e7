"""Gradients that a model's author supplies: an output of the graph, declared in `whybox.yaml`.

The model is explained without them as if they were not there; where a gradient is asked for, the
author's is taken as it is, and nothing is differentiated.
"""

from __future__ import annotations

from difflib import get_close_matches

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows_probed import SEED
from whybox_server.core.spec import GradientOutput
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.probed import ProbedGraph
from whybox_server.graph.walk import prune, reads, real_inputs

PREFIX = "whybox_declared/"
FIELD = "spec.gradient"


def without(model: ModelProto, declared: GradientOutput) -> ModelProto:
    """A copy that lacks the gradient and what only served it.

    Raises InvalidRequest for an output or input that there is not.
    """
    outputs = [entry.name for entry in model.graph.output]
    inputs = [entry.name for entry in real_inputs(model.graph)]
    _known("output", declared.output, outputs)
    for field in ("seed", "input"):
        if name := getattr(declared, field):
            _known(field, name, inputs)
    copy = ModelProto()
    copy.CopyFrom(model)
    kept = [entry for entry in copy.graph.output if entry.name != declared.output]
    if not kept:
        raise InvalidRequest.of(f"{FIELD}.output", f"{declared.output!r} is the model's only output")
    del copy.graph.output[:]
    copy.graph.output.extend(kept)
    prune(copy.graph)
    read = {name for node in copy.graph.node for name in reads(node)}
    if declared.seed in read:
        raise InvalidRequest.of(f"{FIELD}.seed", f"the scores depend on {declared.seed!r}, so it is no seed")
    left = [entry for entry in copy.graph.input if entry.name != declared.seed]
    del copy.graph.input[:]
    copy.graph.input.extend(left)
    return copy


def differentiated(plain: ModelProto, declared: GradientOutput) -> Value:
    """The input that the declared gradient is of. Raises InvalidRequest if several could be."""
    if declared.input:
        return declared.input
    floats = (TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16)
    real = [e.name for e in real_inputs(plain.graph) if e.type.tensor_type.elem_type in floats]
    if len(real) != 1:
        known = ", ".join(real) or "none"
        raise InvalidRequest.of(
            f"{FIELD}.input", f"name the input that it is a gradient of; real ones: {known}"
        )
    return real[0]


def as_declared(model: ModelProto, scores: Value, declared: GradientOutput, columns: int) -> ProbedGraph:
    """Scores, and the author's gradient of one of them.

    The output is (n, *shape of the input) where a seed, (n, columns), says of what or there is one
    score; else it is (n, columns, *shape), a gradient per score.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    feeds, gradient = {}, declared.output
    if declared.seed:
        feeds = {SEED: declared.seed}
    elif columns > 1:
        feeds, gradient = (
            {SEED: SEED},
            _picked(copy, differentiated(model, declared), declared.output, columns),
        )
    kept = [entry for entry in copy.graph.output if entry.name == scores]
    del copy.graph.output[:]
    copy.graph.output.extend([*(kept or [helper.make_empty_tensor_value_info(scores)])])
    copy.graph.output.append(helper.make_empty_tensor_value_info(gradient))
    prune(copy.graph)
    return ProbedGraph(copy, feeds, {"scores": scores, "gradient": gradient})


def _picked(model: ModelProto, x: Value, jacobian: Value, columns: int) -> Value:
    """Append, in place, seed times Jacobian, shaped like x."""
    kinds = {e.name: e.type.tensor_type.elem_type for e in (*model.graph.input, *model.graph.output)}
    model.graph.input.append(
        helper.make_tensor_value_info(SEED, kinds.get(jacobian) or TensorProto.FLOAT, [None, columns])
    )
    rows = {"flat": [0, columns, -1], "row": [0, 1, columns]}
    model.graph.initializer.extend(
        numpy_helper.from_array(np.array(shape, np.int64), f"{PREFIX}{name}") for name, shape in rows.items()
    )
    steps = [
        ("Reshape", [jacobian, f"{PREFIX}flat"], "all"),  # (n, columns, size)
        ("Reshape", [SEED, f"{PREFIX}row"], "seed"),  # (n, 1, columns)
        ("MatMul", [f"{PREFIX}seed", f"{PREFIX}all"], "one"),  # (n, 1, size)
        ("Shape", [x], "shape"),
        ("Reshape", [f"{PREFIX}one", f"{PREFIX}shape"], "gradient"),
    ]
    for op, inputs, name in steps:
        model.graph.node.append(helper.make_node(op, inputs, [f"{PREFIX}{name}"], name=f"{PREFIX}{name}"))
    return f"{PREFIX}gradient"


def _known(field: str, name: Value, names: list[Value]) -> None:
    if name not in names:
        near = get_close_matches(name, names, 1, 0) or ["none"]
        raise InvalidRequest.of(
            f"{FIELD}.{field}", f"the model has no such {field} {name!r}; did you mean {near[0]!r}?"
        )
