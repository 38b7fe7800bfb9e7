"""Linear ends and maps, found in graphs; oracle: onnx's own interpreter of the same graph."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator
from tests.models import nets
from tests.models.nets import net, normal

from whybox_server.core.errors import MethodUnsupported
from whybox_server.core.probe import Site
from whybox_server.core.rows import Array
from whybox_server.core.spec import ScoreKind
from whybox_server.graph.pooled import pooled
from whybox_server.graph.survey import survey

X = np.random.default_rng(1).normal(size=(2, 2, 9, 8))
BODY = "c = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w1, b1) r = Relu(c) "  # maps of 5 x 4
WEIGHTS = {
    "w1": normal(4, 2, 3, 3),
    "b1": normal(4),
    "w": normal(4, 3),
    "b": normal(3),
    "places": np.array([2, 3]),
    "middle": np.array([1, 2]),
    "flat": np.array([0, -1]),
    "wt": normal(3, 4),
    "w11": normal(3, 4, 1, 1),
    "wh": normal(4, 4),
    "bh": normal(4),
    "wide": normal(20, 3),
}


def picture_net(end: str) -> ModelProto:
    """x (n, 2, 9, 8) -> maps r (n, 4, 5, 4) -> y."""
    read = set((BODY + end).replace("(", " ").replace(")", " ").replace(",", " ").split())
    used = {name: array for name, array in WEIGHTS.items() if name in read}
    return net(BODY + end, {"x": ("n", 2, 9, 8)}, used)


def computed(proto: ModelProto, *names: str) -> list[Array]:
    """What these tensors hold for X."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    known = {entry.name for entry in copy.graph.output}
    copy.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in names if n not in known)
    return [np.asarray(array) for array in ReferenceEvaluator(copy).run(list(names), {"x": X})]


def end_of(proto: ModelProto, mirror: ScoreKind | None = None) -> object:
    return pooled(survey(proto, "y", batched=True), proto, mirror)


ENDS = {
    "gemm": "p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w, b)",
    "scaled": "p = GlobalAveragePool(r) f = Flatten(p) y = Gemm<transB=1, alpha=0.5, beta=2.0>(f, wt, b)",
    "matmul and add": "p = ReduceMean<keepdims=0>(r, places) h = MatMul(p, w) y = Add(b, h)",
    "one window": "p = AveragePool<kernel_shape=[5, 4]>(r) s = Reshape(p, flat) y = Gemm(s, w, b)",
    "padded window": "p = AveragePool<kernel_shape=[6, 5], pads=[1, 1, 0, 0]>(r) s = Flatten(p) y = Gemm(s, w, b)",
    "channels last": "t = Transpose<perm=[0, 2, 3, 1]>(r) p = ReduceMean<keepdims=0>(t, middle) y = Gemm(p, w, b)",
    "weights transposed": "p = GlobalAveragePool(r) f = Flatten(p) v = Transpose(wt) y = Gemm(f, v, b)",
    "convolution behind": "p = GlobalAveragePool(r) q = Conv(p, w11, b) y = Flatten(q)",
    "two layers": "p = GlobalAveragePool(r) f = Flatten(p) h = Gemm(f, wh, bh) d = Dropout(h) y = Gemm(d, w, b)",
    "none": "p = GlobalAveragePool(r) y = Flatten(p)",
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
def test_the_linear_end_makes_the_scores_of_the_means_of_the_maps(end):
    """weights @ means + bias is what the graph says, for every way to write the end."""
    proto = picture_net(end)
    found = end_of(proto)
    assert found.layer == Site("r", (4, 5, 4))
    maps, scores = computed(proto, "r", "y")
    assert np.allclose(maps.mean(axis=(2, 3)) @ found.weights.T + found.bias, scores, atol=1e-12)


def test_a_class_convolution_before_the_pooling_is_the_layer_itself():
    """As in SqueezeNet: one map per class, and the identity behind it."""
    proto = picture_net("k = Conv(r, w11, b) a = Relu(k) p = GlobalAveragePool(a) y = Flatten(p)")
    found = end_of(proto)
    assert found.layer.name == "a"
    assert np.array_equal(found.weights, np.eye(3))


def test_one_score_of_two_classes_has_a_mirrored_end():
    """Logits of "not it" and "it" are -y and y; probabilities 1 - y and y."""
    proto = picture_net("p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w, b)")
    plain = end_of(proto)
    logits, shares = end_of(proto, ScoreKind.LOGIT), end_of(proto, ScoreKind.PROBABILITY)
    assert np.array_equal(logits.weights, np.concatenate([-plain.weights, plain.weights]))
    assert np.array_equal(logits.bias, np.concatenate([-plain.bias, plain.bias]))
    assert np.array_equal(shares.bias, np.concatenate([1 - plain.bias, plain.bias]))


REFUSED = {
    "Relu": "p = GlobalAveragePool(r) f = Flatten(p) h = Gemm(f, wh, bh) a = Relu(h) y = Gemm(a, w, b)",
    "GlobalMaxPool": "p = GlobalMaxPool(r) f = Flatten(p) y = Gemm(f, w, b)",
    "AveragePool": "p = AveragePool<kernel_shape=[5, 3]>(r) g = GlobalMaxPool(p) f = Flatten(g) y = Gemm(f, w, b)",
    "Mul": "p = GlobalAveragePool(r) f = Flatten(p) m = Mul(f, f) y = Gemm(m, w, b)",
}


@pytest.mark.parametrize(("operator", "end"), REFUSED.items(), ids=REFUSED)
def test_what_stands_between_is_named_with_a_remedy(operator, end):
    with pytest.raises(MethodUnsupported, match="grad_cam") as caught:
        end_of(picture_net(end))
    named = {"AveragePool": "GlobalMaxPool"}.get(operator, operator)
    assert f"{named} (node" in str(caught.value)


def test_a_window_that_counts_its_padding_is_no_mean():
    end = "p = AveragePool<kernel_shape=[6, 5], pads=[1, 1, 0, 0], count_include_pad=1>(r) f = Flatten(p) y = Gemm(f, w, b)"
    with pytest.raises(MethodUnsupported, match="AveragePool"):
        end_of(picture_net(end))


def test_layers_are_maps_in_order_and_say_which_are_pooled():
    """Of the small convolutional net: channels and places of each, and no vector behind them."""
    seen = survey(nets.cnn(), "y", batched=True).layers("x")
    assert [(one.name, one.shape) for one in seen][-3:] == [
        ("sum", (4, 5, 4)),
        ("p2", (4, 4, 3)),
        ("p3", (4, 1, 1)),
    ]
    assert [one.name for one in seen if one.pooling] == ["p1", "p2", "p3"]


def test_attention_has_no_maps_although_its_shapes_look_like_some():
    """(heads, tokens, tokens) would be channels and places."""
    assert survey(nets.attention(), "y", batched=True).layers("x") == ()


def test_channels_are_followed_through_transposes():
    """A block in channels-last order, as in ConvNeXt: what is moved back has its channels first again."""
    body = BODY + (
        "t = Transpose<perm=[0, 2, 3, 1]>(r) h = MatMul(t, w) a = Relu(h) "
        "u = Transpose<perm=[0, 3, 1, 2]>(a) p = GlobalAveragePool(u) y = Flatten(p)"
    )
    used = {name: WEIGHTS[name] for name in ("w1", "b1", "w")}
    proto = net(body, {"x": ("n", 2, 9, 8)}, used)
    seen = survey(proto, "y", batched=True).layers("x")
    assert [one.name for one in seen] == ["c", "r", "u", "p"]
    assert end_of(proto).layer == Site("u", (3, 5, 4))
