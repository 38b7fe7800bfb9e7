"""One LSTM, GRU or RNN with random weights, in any of its forms, and arrays to ask it with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, ROWS, WIDTH, HIDDEN = 5, 3, 4, 2


def sequence(
    op: str,
    *,
    lengths: Sequence[int] = (),
    bias: bool = True,
    initial: bool = True,
    peepholes: bool = False,
    hidden: int = HIDDEN,
    weights: bool = False,
    dtype: type = np.float64,
    opset: int = 18,
    **attributes: object,
) -> tuple[ModelProto, dict[str, np.ndarray]]:
    """Outputs y, h and, of an LSTM, c. weights: they are inputs, too."""
    rng = np.random.default_rng(7)
    ways, gates = 2 if attributes.get("direction") == "bidirectional" else 1, GATES[op] * hidden
    batch_first, kind = attributes.get("layout", 0), helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    def array(*shape: int) -> np.ndarray:
        return rng.normal(scale=0.7, size=shape).astype(dtype)

    dims = {"x": ("n", "t", WIDTH) if batch_first else ("t", "n", WIDTH)}
    feeds = {"x": array(ROWS, STEPS, WIDTH) if batch_first else array(STEPS, ROWS, WIDTH)}
    learnt = {"w": array(ways, gates, WIDTH), "r": array(ways, gates, hidden)}
    learnt |= {"b": array(ways, 2 * gates)} if bias else {}
    learnt |= {"p": array(ways, 3 * hidden)} if peepholes else {}
    for name in ("h0", "c0")[: 2 if op == "LSTM" else 1] if initial else ():
        dims[name] = ("n", ways, hidden) if batch_first else (ways, "n", hidden)
        feeds[name] = array(ROWS, ways, hidden) if batch_first else array(ways, ROWS, hidden)
    if weights:
        dims |= {name: each.shape for name, each in learnt.items()}
        feeds |= learnt
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in dims.items()]
    if lengths:
        inputs.append(helper.make_tensor_value_info("lengths", TensorProto.INT32, ["n"]))
        feeds["lengths"] = np.array(lengths, np.int32)
    known = {*feeds, *learnt}
    names = [name if name in known else "" for name in ("x", "w", "r", "b", "lengths", "h0", "c0", "p")]
    while not names[-1]:
        names.pop()
    outputs = ["y", "h", "c"][: 3 if op == "LSTM" else 2]
    node = helper.make_node(op, names, outputs, name="cell", hidden_size=hidden, **attributes)
    made = [helper.make_tensor_value_info(name, kind, None) for name in outputs]
    constants = [] if weights else [numpy_helper.from_array(each, name) for name, each in learnt.items()]
    graph = helper.make_graph([node], "g", inputs, made, constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), feeds
