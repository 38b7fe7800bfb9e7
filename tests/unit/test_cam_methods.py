"""Class activation maps: the papers' sums place by place, layers by name, and models that have none."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, helper
from onnx.reference import ReferenceEvaluator
from tests.loaded import explained, loaded
from tests.models.nets import mlp, net, normal
from tests.oracles import cam as oracle

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, ScoreKind, TabularSpec, TimeSeriesSpec
from whybox_server.core.target import Space
from whybox_server.methods import METHOD
from whybox_server.methods.cam import CAM
from whybox_server.methods.grad_cam import GRAD_CAM
from whybox_server.methods.guided_backprop import GUIDED_BACKPROP
from whybox_server.methods.guided_grad_cam import GUIDED_GRAD_CAM

PICTURES = ModelSpec(modality=Modality.IMAGE, details=ImageSpec("CHW"), score=ScoreKind.LOGIT)
SERIES = ModelSpec(modality=Modality.TIME_SERIES, details=TimeSeriesSpec("CT"), score=ScoreKind.LOGIT)
TABLES = ModelSpec(modality=Modality.TABULAR, details=TabularSpec(), score=ScoreKind.LOGIT)
X = np.random.default_rng(1).normal(size=(2, 9, 8)).astype(np.float32)
MAPS = "c = Conv<pads=[1, 1, 1, 1], strides=[2, 2]>(x, w1, b1) r = Relu(c) "  # 4 channels of 5 x 4
CONV = {"w1": normal(4, 2, 3, 3), "b1": normal(4)}


def averaging() -> ModelProto:
    """Global average pooling and a linear layer."""
    body = MAPS + "p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w, b)"
    weights = CONV | {"w": normal(4, 3), "b": normal(3)}
    return net(body, {"x": ("n", 2, 9, 8)}, weights, dtype=np.float32)


def flattening() -> ModelProto:
    """Max pooling and a linear layer of every place: gradients differ from place to place."""
    body = MAPS + "p = MaxPool<kernel_shape=[2, 2]>(r) f = Flatten(p) y = Gemm(f, w)"
    return net(body, {"x": ("n", 2, 9, 8)}, CONV | {"w": normal(48, 3)}, dtype=np.float32)


def inner(proto: ModelProto, tensor: str) -> Array:
    """Its value for X by onnx's own interpreter: (channels, *places)."""
    copy = ModelProto()
    copy.CopyFrom(proto)
    copy.graph.output.append(helper.make_empty_tensor_value_info(tensor))
    return np.asarray(ReferenceEvaluator(copy).run([tensor], {"x": X[None]})[0][0], np.float64)


def slopes_of_flattening(maps: Array, output: int) -> Array:
    """d y[output] / d maps: each of the windows of 2 x 2 leads back to its largest place, by loops."""
    found = np.zeros_like(maps)
    weights = normal(48, 3)[:, output].reshape(4, 4, 3)
    for channel, row, column in np.ndindex(4, 4, 3):
        window = maps[channel, row : row + 2, column : column + 2]
        down, along = np.unravel_index(np.argmax(window), (2, 2))
        found[channel, row + down, column + along] += weights[channel, row, column]
    return found


def test_cam_is_the_sum_of_the_maps_as_the_last_layer_weighs_them():
    """Equation 2 by loops, enlarged by loops, alike in both channels; mean and bias make the score."""
    found = explained(loaded(averaging(), PICTURES), {"x": X}, CAM)
    maps = inner(averaging(), "r")
    for output in range(3):
        by_hand = oracle.enlarged(oracle.cam(maps, normal(4, 3)[:, output]), (9, 8))
        assert np.allclose(found.values[output], by_hand, atol=1e-5)
    assert found.base_values == pytest.approx(normal(3), abs=1e-6)
    assert all(abs(one["completeness_gap"]) < 1e-5 for one in found.quality)
    assert found.segmentation == "maps of 5 x 4 places of layer 'r', enlarged linearly to 9 x 8"
    assert not found.warnings


def test_cam_is_grad_cam_times_the_number_of_places():
    """Axiom of networks that average: the gradient is w / 20 at every place, so that nothing is pooled away."""
    model = loaded(averaging(), PICTURES)
    one = explained(model, {"x": X}, CAM)
    other = explained(model, {"x": X}, GRAD_CAM, relu=False)
    assert np.allclose(one.values, 20 * other.values, atol=1e-5)
    assert [quality["pooling_gap"] for quality in other.quality] == pytest.approx([0, 0, 0], abs=1e-5)


@pytest.mark.parametrize("relu", [True, False])
def test_grad_cam_weighs_maps_by_their_mean_gradient(relu):
    """Equations 1 and 2 by loops, where gradients differ from place to place; the gap is said."""
    proto = flattening()
    found = explained(loaded(proto, PICTURES), {"x": X}, GRAD_CAM, 2, 0, relu=relu)
    maps = inner(proto, "r")
    for row, output in enumerate((2, 0)):
        gradient = slopes_of_flattening(maps, output)
        by_hand = oracle.grad_cam(maps, gradient, relu=relu)
        assert np.allclose(found.values[row], oracle.enlarged(by_hand, (9, 8)), atol=1e-5)
        exact, plain = (gradient * maps).sum(axis=0), oracle.grad_cam(maps, gradient, relu=False)
        gap = np.abs(exact - plain).sum() / np.abs(exact).sum()
        assert found.quality[row]["pooling_gap"] == pytest.approx(gap, rel=1e-4)
        assert any(f"pooling_gap {gap:.2f}" in text for text in found.warnings) == (gap > 0.5)


def test_the_layer_is_the_last_one_before_it_is_pooled_unless_it_is_named():
    model = loaded(flattening(), PICTURES)
    assert "layer 'r'" in explained(model, {"x": X}, GRAD_CAM).segmentation
    assert "maps of 4 x 3 places of layer 'p'" in explained(model, {"x": X}, GRAD_CAM, layer="p").segmentation


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("rr", "has no tensor 'rr'; did you mean 'r'"),
        ("f", "'f' is no tensor of channels at places .* did you mean"),
        ("p", "'p' has one place only"),
    ],
)
@pytest.mark.parametrize("method", [GRAD_CAM, GUIDED_GRAD_CAM], ids=lambda method: method.name)
def test_a_layer_that_is_none_is_refused_with_the_nearest_names(layer, message, method):
    with pytest.raises(InvalidRequest, match=message) as caught:
        explained(loaded(averaging(), PICTURES), {"x": X}, method, layer=layer)
    assert caught.value.violations[0].field == "layer"


def test_a_map_that_supports_nothing_is_said_to_be_zero():
    """All weights negative: relu leaves nothing, and the whole map opposes."""
    weights = CONV | {"w": -np.abs(normal(4, 3)), "b": normal(3)}
    body = MAPS + "p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w, b)"
    proto = net(body, {"x": ("n", 2, 9, 8)}, weights, dtype=np.float32)
    found = explained(loaded(proto, PICTURES), {"x": X}, GRAD_CAM, 1)
    assert not found.values.any()
    assert found.quality[0]["opposed"] == pytest.approx(1)
    assert "the map is zero" in " ".join(found.warnings)


@pytest.mark.parametrize("name", ["grad_cam", "guided_grad_cam", "cam"])
def test_a_network_without_maps_is_refused_with_alternatives(name):
    """Layers of vectors over a picture."""
    spec = ModelSpec(modality=Modality.IMAGE, details=ImageSpec("HW"), score=ScoreKind.LOGIT)
    body = "v = Flatten(x) h = Gemm(v, w1) a = Relu(h) y = Gemm(a, w2)"
    proto = net(body, {"x": ("n", 3, 2)}, {"w1": normal(6, 4), "w2": normal(4, 3)}, dtype=np.float32)
    with pytest.raises(MethodUnsupported) as caught:
        explained(loaded(proto, spec), {"x": np.ones((3, 2), np.float32)}, METHOD[name])
    assert caught.value.details["alternatives"]


def test_a_score_that_is_no_sum_is_not_taken_apart():
    """Probabilities are a softmax of CAM's sums; grad_cam explains them."""
    model = loaded(averaging(), PICTURES)
    with pytest.raises(InvalidRequest, match="grad_cam") as caught:
        explained(model, {"x": X}, CAM, space=Space.PROBABILITY)
    assert caught.value.violations[0].field == "space"
    found = explained(model, {"x": X}, GRAD_CAM, 0, space=Space.PROBABILITY, relu=False)
    logits = explained(model, {"x": X}, GRAD_CAM, relu=False).values
    p = np.exp(found.instance_scores) / np.exp(found.instance_scores).sum()
    assert np.allclose(found.values[0], p[0] * (logits[0] - np.tensordot(p, logits, 1)), atol=1e-6)


def test_guided_grad_cam_is_the_product_of_the_two():
    """Element by element, the map being the one without what opposes, enlarged linearly."""
    model = loaded(flattening(), PICTURES)
    found = explained(model, {"x": X}, GUIDED_GRAD_CAM)
    guided, maps = (explained(model, {"x": X}, one).values for one in (GUIDED_BACKPROP, GRAD_CAM))
    assert np.allclose(found.values, guided * maps, atol=1e-6)


def test_series_have_maps_along_time():
    """A one-dimensional convolution: one number per step for all channels."""
    body = (
        "c = Conv<pads=[2, 2]>(x, w1, b1) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w)"
    )
    weights = {"w1": normal(4, 2, 5), "b1": normal(4), "w": normal(4, 3)}
    model = loaded(net(body, {"x": ("n", 2, 30)}, weights, dtype=np.float32), SERIES)
    series = np.random.default_rng(2).normal(size=(2, 30)).astype(np.float32)
    found = explained(model, {"x": series}, CAM)
    assert found.values.shape == (3, 2, 30)
    assert np.array_equal(found.values[:, 0], found.values[:, 1])
    assert "maps of 30 places" in found.segmentation


def test_channels_that_are_laid_out_as_a_side_have_places_of_their_own():
    """A series as a plane of channels x time: the map has a number for every value."""
    body = "u = Unsqueeze(x, axis) c = Conv<pads=[0, 1, 0, 1]>(u, w1) r = Relu(c) p = GlobalAveragePool(r) f = Flatten(p) y = Gemm(f, w)"
    weights = {"axis": np.array([1]), "w1": normal(4, 1, 1, 3), "w": normal(4, 3)}
    model = loaded(net(body, {"x": ("n", 2, 30)}, weights, dtype=np.float32), SERIES)
    series = np.random.default_rng(2).normal(size=(2, 30)).astype(np.float32)
    found = explained(model, {"x": series}, GRAD_CAM)
    assert "maps of 2 x 30 places" in found.segmentation
    assert not np.array_equal(found.values[:, 0], found.values[:, 1])


def test_tables_are_no_business_of_maps():
    """Neither of these methods says that it explains them."""
    assert not any(
        Modality.TABULAR in METHOD[name].modalities for name in ("cam", "grad_cam", "guided_grad_cam")
    )
    assert loaded(mlp(np.float32), TABLES).inside({"x": np.zeros(5, np.float32)}, 3).layers() == ()
