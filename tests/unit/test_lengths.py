"""Symbolic lengths; oracle: what the shapes are when the graph runs."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper, parser
from onnx.reference import ReferenceEvaluator
from onnx.shape_inference import infer_shapes

from whybox_server.graph.gradient.lengths import name_lengths

NET = """g (float[n, m, 6] x) => (float[p, q, 6] y) {
  flat = Reshape(x, rows)        # n m, 6
  half = Reshape(flat, halves)   # n m, 2, 3
  back = Reshape<allowzero=1>(half, kept)     # n m, 6
  two = Concat<axis=0>(back, flat)
  low = Reshape(back, threes)    # 2 n m, 3
  sum = Add(low, one)
  same = Mul(sum, low)
  wide = Reshape(same, sixes)    # n m, 6
  met = Add(wide, flat)
  y = Add(x, x)
}"""
TARGETS = {"rows": [-1, 6], "halves": [0, 2, 3], "kept": [-1, 6], "threes": [-1, 3], "sixes": [-1, 6]}


def named() -> tuple[dict[str, list[str | int]], helper.ModelProto]:
    graph = parser.parse_graph("\n".join(line.split("#")[0] for line in NET.splitlines()))
    constants = {name: np.array(target) for name, target in TARGETS.items()}
    constants["one"] = np.ones((1, 3), np.float32)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    inferred = infer_shapes(model, data_prop=True)
    name_lengths(inferred.graph)
    found = {
        entry.name: [dim.dim_param or dim.dim_value for dim in entry.type.tensor_type.shape.dim]
        for entry in inferred.graph.value_info
    }
    return found, model


def test_equal_lengths_have_one_name():
    """n m is folded into one axis, doubled, and back."""
    found, _ = named()
    assert found["flat"] == found["back"] == found["wide"] == found["met"] == ["m*n", 6]
    assert found["low"] == found["sum"] == found["same"] == ["2*m*n", 3]
    assert found["two"][0] not in ("m*n", "2*m*n")


@pytest.mark.parametrize(("n", "m"), [(1, 1), (2, 3), (5, 1)])
def test_the_names_are_right_when_the_graph_runs(n, m):
    """Every product of symbols is the length that a run sees."""
    found, model = named()
    model.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in found)
    results = ReferenceEvaluator(model).run([*found], {"x": np.zeros((n, m, 6), np.float32)})
    meaning = {"n": n, "m": m, "n*m": n * m, "m*n": n * m, "2*m*n": 2 * n * m}
    for (name, lengths), array in zip(found.items(), results, strict=True):
        known = [meaning.get(length, length) for length in lengths]
        assert all(isinstance(k, str) or k == is_ for k, is_ in zip(known, array.shape, strict=True)), name
