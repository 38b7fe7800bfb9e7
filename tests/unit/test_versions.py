"""Models of older and newer opsets mean the same after conversion; oracle: the model itself, and differences."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from tests.models.nets import net, normal
from tests.oracles.reference import run

from whybox_server.graph.gradient import RESULT, SEED, differentiate

RNG = np.random.default_rng(3)
STEP = 1e-6
IMAGE = RNG.normal(size=(1, 2, 5, 4))


def served(model: ModelProto, feeds: dict[str, np.ndarray], *names: str) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(list(names), {key: array.astype(np.float32) for key, array in feeds.items()})


@pytest.mark.parametrize(
    ("op", "opset", "scales"),
    [
        ('Upsample<mode="linear">(x, s)', 9, [1, 1, 2, 3]),
        ('Upsample<mode="nearest">(x, s)', 9, [1, 1, 2, 1.5]),
        ('Upsample<mode="linear", scales=[1.0, 1.0, 2.0, 3.0]>(x)', 7, []),
        ('Resize<mode="linear">(x, s)', 10, [1, 1, 0.6, 2]),
        ('Resize<mode="nearest">(x, s)', 10, [1, 1, 0.6, 0.5]),
        ('Resize<mode="nearest">(x, s)', 10, [1, 1, 2, 2.5]),
    ],
)
def test_old_resizing_keeps_its_corners(op, opset, scales):
    """Before opset 11 coordinates were asymmetric. It is linear: <v, f(x)> = <J'v, x>."""
    model = net(
        f"y = {op}", {"x": IMAGE.shape}, {"s": np.array(scales, float)}, opset=opset, dtype=np.float32
    )
    if not scales:
        del model.graph.initializer[:]
    (before,) = served(model, {"x": IMAGE}, "y")
    v = RNG.normal(size=before.shape)
    after, dx = served(differentiate(model), {"x": IMAGE, SEED: v}, "y", RESULT)
    np.testing.assert_allclose(after, before, rtol=1e-6)
    assert np.vdot(dx, IMAGE) == pytest.approx(np.vdot(v, before), rel=1e-4)


NEWER = {
    "rms": (23, "y = RMSNormalization<axis=-2, epsilon=0.1>(x, s)", ("n", 3, 4), {"s": normal(3, 4)}),
    "swish": (24, "y = Swish<alpha=1.5>(x)", ("n", 3), {}),
    "attention": (23, "k = Mul(x, w) v = Sub(x, w) y = Attention(x, k, v)", ("n", 3, 4, 5), {"w": normal(5)}),
    "heads": (
        23,
        "k = Mul(x, w) y = Attention<q_num_heads=2, kv_num_heads=2, is_causal=1, softcap=2.0>(x, k, x)",
        ("n", 4, 6),
        {"w": normal(6)},
    ),
    "rotary": (
        23,
        "y = RotaryEmbedding(x, c, s)",
        (2, 3, 4, 6),
        {"c": normal(2, 4, 3), "s": normal(2, 4, 3)},
    ),
}


@pytest.mark.parametrize("name", NEWER)
def test_newer_operators_are_said_in_older_ones(name):
    """As ONNX defines them: the same numbers, and the gradient is their difference quotient."""
    opset, body, shape, weights = NEWER[name]
    model, x = net(body, {"x": shape}, weights, opset=opset), RNG.normal(size=(2, *shape[1:]))
    v, u = RNG.normal(size=run(model, {"x": x})["y"].shape), RNG.normal(size=x.shape)
    found = run(differentiate(model), {"x": x, SEED: v})
    np.testing.assert_allclose(found["y"], run(model, {"x": x})["y"], rtol=1e-6, atol=1e-6)
    up, down = (run(model, {"x": x + sign * STEP * u})["y"] for sign in (1, -1))
    assert np.vdot(found[RESULT], u) == pytest.approx(
        np.vdot(v, (up - down) / (2 * STEP)), rel=1e-5, abs=1e-5
    )
