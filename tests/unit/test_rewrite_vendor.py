"""Fused operators of onnxruntime in standard ones; oracle: the kernel that runs the fused one."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto, helper, load, numpy_helper
from tests.models.nets import attention, cnn, mlp

from whybox_server.core.errors import MethodUnsupported
from whybox_server.graph.gradient import RESULT, SEED, differentiate

RNG = np.random.default_rng(12)
OPTIONS = ort.SessionOptions()
OPTIONS.intra_op_num_threads, OPTIONS.log_severity_level = 1, 3
ROWS, TOKENS, WIDTH, HEADS = 2, 5, 8, 2
STEP = 1e-3


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def fused(
    op: str, *arrays: np.ndarray | None, outputs: int = 1, domain: str = "com.microsoft", **attributes
) -> ModelProto:
    """One node, whose first array is the input x and the others constants; None is left out."""
    names = ["x", *(f"w{i}" if array is not None else "" for i, array in enumerate(arrays[1:]))]
    node = helper.make_node(
        op, names, ["y", *[""] * (outputs - 2), "last"][:outputs], domain=domain, **attributes
    )
    weights = [
        numpy_helper.from_array(array, name)
        for name, array in zip(names[1:], arrays[1:], strict=True)
        if name
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node, helper.make_node("Identity", [node.output[-1]], ["z"])],
        "g",
        [value("x", 1, ["n", *arrays[0].shape[1:]])],
        [value("z", 1, None)],
        weights,
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def ask(model: ModelProto, feeds: dict[str, np.ndarray], *names: str) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), OPTIONS, providers=["CPUExecutionProvider"])
    return session.run(list(names), feeds)


X, TEXT, IMAGE = normal(3, 4), normal(ROWS, TOKENS, WIDTH), normal(2, 3, 5, 6)
QKV, BIAS = normal(WIDTH, 3 * WIDTH), normal(3 * WIDTH)
SEEN = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)
KEYS = normal(ROWS, 3, WIDTH)

NODES = {
    "matmul": fused("FusedMatMul", normal(2, 3, 4), normal(2, 5, 4), transB=1, alpha=0.5),
    "matmul_a": fused("FusedMatMul", normal(2, 4, 3), normal(4, 5), transA=1),
    "matmul_batch": fused("FusedMatMul", normal(3, 2, 4), normal(2, 5, 4), transBatchA=1, transB=1),
    "matmul_old": fused("TransposeMatMul", normal(2, 3, 4), normal(2, 5, 4), transB=1),
    "conv": fused("FusedConv", IMAGE, normal(4, 3, 3, 3), normal(4), activation="Relu", pads=[1, 1, 1, 1]),
    "conv_sum": fused("FusedConv", IMAGE, normal(4, 3, 1, 1), None, normal(2, 4, 5, 6), activation="Relu"),
    "conv_leaky": fused(
        "FusedConv",
        IMAGE,
        normal(4, 3, 3, 3),
        activation="LeakyRelu",
        activation_params=[0.2],
        strides=[2, 2],
    ),
    "conv_clip": fused(
        "FusedConv", IMAGE, normal(4, 3, 1, 1), activation="Clip", activation_params=[-1.0, 2.0]
    ),
    "conv_hard": fused(
        "FusedConv", IMAGE, normal(4, 3, 1, 1), activation="HardSigmoid", activation_params=[0.3, 0.4]
    ),
    "gemm": fused("FusedGemm", X, normal(5, 4), normal(5), transB=1, alpha=0.5, activation="Tanh"),
    "gelu": fused("Gelu", X),
    "bias_gelu": fused("BiasGelu", X, normal(4)),
    "fast_gelu": fused("FastGelu", X, normal(4)),
    "fast_gelu_plain": fused("FastGelu", X),
    "quick_gelu": fused("QuickGelu", X, alpha=1.3),
    "skip": fused(
        "SkipLayerNormalization",
        TEXT,
        normal(ROWS, TOKENS, WIDTH),
        normal(WIDTH),
        normal(WIDTH),
        normal(WIDTH),
    ),
    "skip_sum": fused(
        "SkipLayerNormalization", TEXT, normal(TOKENS, WIDTH), normal(WIDTH), epsilon=0.1, outputs=4
    ),
    "skip_rms": fused(
        "SkipSimplifiedLayerNormalization", TEXT, normal(ROWS, TOKENS, WIDTH), normal(WIDTH), normal(WIDTH)
    ),
    "rms": fused("SimplifiedLayerNormalization", TEXT, normal(WIDTH), domain="", epsilon=0.1),
    "attention": fused("Attention", TEXT, QKV, BIAS, num_heads=HEADS),
    "attention_causal": fused("Attention", TEXT, QKV, BIAS, num_heads=HEADS, unidirectional=1, scale=0.3),
    "attention_mask": fused("Attention", TEXT, QKV, BIAS, SEEN, num_heads=HEADS),
    "attention_bias": fused(
        "Attention", TEXT, QKV, BIAS, None, None, normal(ROWS, HEADS, TOKENS, TOKENS), num_heads=HEADS
    ),
    "attention_unlike": fused(
        "Attention", TEXT, normal(WIDTH, 12), normal(12), num_heads=HEADS, qkv_hidden_sizes=[4, 4, 4]
    ),
    "heads": fused("MultiHeadAttention", TEXT, KEYS, normal(ROWS, 3, WIDTH), BIAS, num_heads=HEADS),
    "heads_mask": fused(
        "MultiHeadAttention",
        TEXT,
        KEYS,
        KEYS,
        None,
        SEEN[:, 2:],
        normal(1, HEADS, TOKENS, 3),
        num_heads=HEADS,
    ),
    "heads_given": fused(
        "MultiHeadAttention", TEXT, normal(ROWS, HEADS, 3, 4), normal(ROWS, HEADS, 3, 4), num_heads=HEADS
    ),
}
SHAPES = {"x": X.shape, "text": TEXT.shape, "image": IMAGE.shape}


@pytest.mark.parametrize("name", NODES)
def test_a_fused_operator_is_differentiated_as_what_it_does(name):
    """Same scores as the kernel's; the gradient is the kernel's difference quotient, to float32's 1e-3."""
    model = NODES[name]
    rows = {"matmul_batch": 3, "gemm": 3, "conv_sum": 2}.get(name, ROWS)
    shape = [
        rows if isinstance(dim.dim_value or "n", str) else dim.dim_value
        for dim in model.graph.input[0].type.tensor_type.shape.dim
    ]
    x, u = normal(*shape), normal(*shape)
    (score,) = ask(model, {"x": x}, "z")
    v = normal(*score.shape)
    gradient = differentiate(model)
    assert {node.domain for node in gradient.graph.node} <= {"", "ai.onnx"}
    again, dx = ask(gradient, {"x": x, SEED: v}, "z", RESULT)
    np.testing.assert_allclose(again, score, rtol=1e-4, atol=1e-5)
    up, down = (ask(model, {"x": x + np.float32(sign * STEP) * u}, "z")[0].astype(float) for sign in (1, -1))
    scale = float(np.linalg.norm(dx) * np.linalg.norm(u))
    assert np.vdot(dx, u) == pytest.approx(float(np.vdot(v, (up - down) / (2 * STEP))), abs=1e-2 * scale)


def test_embeddings_are_looked_up_as_the_kernel_does():
    """Ids have no gradient; the sum of the three tables has, and is where the scores come from."""
    ids, kinds = np.array([[1, 2, 0, 4, 3]] * ROWS, np.int32), np.array([[0, 0, 1, 1, 1]] * ROWS, np.int32)
    weights = [normal(6, WIDTH), normal(TOKENS, WIDTH), normal(2, WIDTH), normal(WIDTH), normal(WIDTH)]
    model = fused("EmbedLayerNormalization", ids, kinds, *weights, SEEN, outputs=3)
    model.graph.node[0].output[1] = "mask"
    model.graph.node[1].input[0] = "y"
    model.graph.input[0].type.tensor_type.elem_type = 6
    before = ask(model, {"x": ids}, "z")[0]
    gradient = differentiate(model, "last")
    after, dx = ask(gradient, {"x": ids, SEED: normal(*before.shape)}, "z", RESULT)
    np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(dx.sum(axis=-1), 0, atol=1e-4)  # a norm does not see a shift


@pytest.mark.parametrize("build", [mlp, cnn, attention])
def test_a_model_that_was_optimised_and_saved_has_the_same_gradient(build, tmp_path):
    """As onnxruntime writes it at its level of extended fusions."""
    model = build(np.float32)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "fast.onnx"), 3
    ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    saved = load(tmp_path / "fast.onnx")
    assert any(node.domain == "com.microsoft" for node in saved.graph.node), "something was fused"
    shape = [dim.dim_value or ROWS for dim in model.graph.input[0].type.tensor_type.shape.dim]
    feeds = {"x": normal(*shape), SEED: normal(ROWS, 3)}
    (plain,), (fast,) = ask(differentiate(model), feeds, RESULT), ask(differentiate(saved), feeds, RESULT)
    np.testing.assert_allclose(fast, plain, atol=1e-5 * np.abs(plain).max())


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            fused("Attention", TEXT, QKV, BIAS, None, normal(2, ROWS, HEADS, 3, 4), num_heads=HEADS),
            "Attention",
        ),
        (fused("FusedConv", IMAGE, normal(4, 3, 1, 1), activation="Swish"), "FusedConv"),
        (fused("SkipLayerNormalization", TEXT, TEXT, normal(WIDTH), outputs=2), "SkipLayerNormalization"),
    ],
)
def test_what_cannot_be_said_in_others_is_refused_by_name(model, said):
    """A cache of past tokens, an activation that nobody knows, statistics for training."""
    with pytest.raises(MethodUnsupported, match=rf"com\.microsoft\.{said}"):
        differentiate(model)
