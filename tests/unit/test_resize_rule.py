"""Resize as the runtime computes it, whose coordinates and rounding are its own.

The operator is linear, so that its adjoint is told by numbers alone: <v, f(x)> = <J'v, x>, with
onnxruntime on both sides. Cases where it agrees with onnx's reference are in the contract of the rules.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper, numpy_helper

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate

RNG = np.random.default_rng(8)
IMAGE = (2, 3, 5, 6)
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads = 1

PLACES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
SMOOTH, STRETCHED = ("linear", "cubic"), (1, 1, 1.7, 0.6)
CASES = [
    *(
        ({"mode": mode, "coordinate_transformation_mode": place}, {"scales": STRETCHED}, IMAGE)
        for mode, place in itertools.product(SMOOTH, PLACES)
    ),
    *(
        ({"coordinate_transformation_mode": place, "nearest_mode": rounding}, {"scales": STRETCHED}, IMAGE)
        for place, rounding in itertools.product(PLACES, ROUNDINGS)
    ),
    *(({"mode": mode, "antialias": 1}, {"sizes": (2, 3, 3, 11)}, IMAGE) for mode in SMOOTH),
    *(({"mode": mode, "antialias": 1}, {"scales": (1, 1, 0.3, 0.45)}, IMAGE) for mode in SMOOTH),
    ({"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, {"scales": STRETCHED}, IMAGE),
    ({"mode": "linear", "axes": [3, 2]}, {"sizes": (4, 9)}, IMAGE),
    ({"mode": "linear", "axes": [-2, -1]}, {"scales": (1.5, 0.5)}, IMAGE),
    ({"mode": "linear"}, {"scales": (1, 1, 2, 1.5, 0.5)}, (1, 2, 3, 4, 5)),
    ({"mode": "linear"}, {"scales": (1.5, 0.7)}, (4, 5)),
    ({"mode": "nearest"}, {"scales": (2, 1, 1.5)}, (2, 3, 5)),
    (
        {"mode": "linear", "keep_aspect_ratio_policy": "not_larger", "axes": [2, 3]},
        {"sizes": (8, 9)},
        (1, 2, 4, 6),
    ),
    (
        {"mode": "linear", "keep_aspect_ratio_policy": "not_smaller", "axes": [2, 3]},
        {"sizes": (8, 9)},
        (1, 2, 4, 6),
    ),
    (
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"},
        {"sizes": (2, 3, 4, 9), "roi": (0, 0, 0.2, -0.3, 1, 1, 0.8, 0.9)},
        IMAGE,
    ),
]


def model_of(attributes: dict, numbers: dict, shape: tuple, sized: bool) -> ModelProto:
    arrays = {
        key: np.array(value, np.int64 if key == "sizes" else np.float32) for key, value in numbers.items()
    }
    names = [name if name in arrays else "" for name in ("roi", "scales", "sizes")]
    node = helper.make_node("Resize", ["x", *names], ["y"], **attributes)
    dims = shape if sized else [None] * len(shape)
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("x", 1, dims)],
        [helper.make_tensor_value_info("y", 1, [None] * len(shape))],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


def ask(model: ModelProto, name: str, feeds: dict[str, np.ndarray]) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    return session.run([name], feeds)[0]


@pytest.mark.parametrize("sized", [True, False], ids=["sized", "unsized"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case[0].values())))
def test_the_gradient_is_the_adjoint_of_what_the_runtime_does(case, sized):
    """Every mode, coordinate and rounding; up, down and both; with lengths known or not."""
    attributes, numbers, shape = case
    if "keep_aspect_ratio_policy" in attributes and not sized:
        pytest.skip("the common scale is not known before")
    model, x = model_of(*case, sized), RNG.normal(size=shape).astype(np.float32)
    y = ask(model, "y", {"x": x})
    v = RNG.normal(size=y.shape).astype(np.float32)
    dx = ask(differentiate(model), RESULT, {"x": x, SEED: v})
    assert dx.shape == x.shape
    assert np.vdot(dx, x) == pytest.approx(
        np.vdot(v, y), abs=1e-4 * float(np.linalg.norm(v) * np.linalg.norm(y))
    )


def test_lengths_that_the_common_scale_does_not_give_are_refused():
    """5 * 1.3 is rounded to 7, as no scale does that is given to one axis alone."""
    case = ({"keep_aspect_ratio_policy": "not_larger", "axes": [2, 3]}, {"sizes": (20, 8)}, (1, 1, 5, 6))
    with pytest.raises(MethodUnsupported, match="keep_aspect_ratio_policy rounds lengths"):
        differentiate(model_of(*case, sized=True))
