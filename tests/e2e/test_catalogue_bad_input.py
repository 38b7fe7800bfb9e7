"""What the catalogue says where there is nothing to say: an error with field and remedy, or a labelled answer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from tests.e2e.catalogue import FEW, GRID, SENTENCE, instance
from tests.e2e.serving import INPUTS

import whybox
from whybox_server.core.spec import Modality
from whybox_server.methods import METHODS

RNG = np.random.default_rng(0)
SHAPES = {
    Modality.TABULAR: (4,),
    Modality.IMAGE: (1, 8, 8),
    Modality.TIME_SERIES: (2, 16),
    Modality.TEXT: (6,),
    Modality.TENSOR: (3, 2),
}
INSTANCES = {modality: RNG.normal(size=shape).astype(np.float32) for modality, shape in SHAPES.items()}
INSTANCES[Modality.TEXT] = np.arange(1, 7)
TYPICAL = {modality: RNG.normal(size=(30, *shape)).astype(np.float32) for modality, shape in SHAPES.items()}
SPECS = {
    Modality.TABULAR: whybox.ModelSpec.tabular(background=TYPICAL[Modality.TABULAR], score="logit"),
    Modality.IMAGE: whybox.ModelSpec.image(background=TYPICAL[Modality.IMAGE], layout="CHW", score="logit"),
    Modality.TIME_SERIES: whybox.ModelSpec.time_series(
        background=TYPICAL[Modality.TIME_SERIES], layout="CT", score="logit"
    ),
    Modality.TEXT: whybox.ModelSpec.text(score="logit"),
    Modality.TENSOR: whybox.ModelSpec.tensor(score="logit"),
}
CONSTANT_CALLS = [
    pytest.param(method.name, modality, id=f"{method.name}-{modality.value}")
    for method in METHODS
    for modality in SHAPES
    if modality in method.modalities
    # Its linear graph has no maps, and its words are numbers that are not looked up.
    and not method.reads
    and not (method.probes and modality is Modality.TEXT)
]


def built(nodes: list[Any], constants: dict[str, np.ndarray], shape: tuple[int, ...], kind: int) -> bytes:
    """A model of rows `x` of this shape that says `y`, two logits."""
    x = helper.make_tensor_value_info("x", kind, ["n", *shape])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
    given = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "g", [x], [y], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def linear(weights: np.ndarray, bias: tuple[float, float], shape: tuple[int, ...]) -> bytes:
    """y = x W + b of the flattened row; whole numbers for a text's tokens."""
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["f"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "w"], ["wx"]),
        helper.make_node("Add", ["wx", "b"], ["y"]),
    ]
    kind = TensorProto.INT64 if shape == SHAPES[Modality.TEXT] else TensorProto.FLOAT
    constants = {"w": weights.astype(np.float32), "b": np.array(bias, np.float32)}
    return built(nodes, constants, shape, kind)


def constant(shape: tuple[int, ...]) -> bytes:
    """Says (1, 0) of everything."""
    return linear(np.zeros((int(np.prod(shape)), 2)), (1.0, 0.0), shape)


def narrow() -> bytes:
    """Class 1 only where |x0| < 0.01: no border at a quartile or decile of a normal column comes near."""
    nodes = [
        helper.make_node("Slice", ["x", "zero", "one", "one"], ["first"]),
        helper.make_node("Abs", ["first"], ["size"]),
        helper.make_node("Sub", ["size", "width"], ["no"]),
        helper.make_node("Neg", ["no"], ["yes"]),
        helper.make_node("Concat", ["no", "yes"], ["y"], axis=1),
    ]
    constants = {
        "zero": np.array([0], np.int64),
        "one": np.array([1], np.int64),
        "width": np.array([0.01], np.float32),
    }
    return built(nodes, constants, SHAPES[Modality.TABULAR], TensorProto.FLOAT)


def refused(
    client: whybox.Client, model: str | bytes, inputs: Any, method: str, *, field: str, **given: Any
) -> str:
    """The message of INVALID_FIELD, which names this field of the request or of the method; the server goes on."""
    with pytest.raises(whybox.ExplainError) as error:
        client.explain(model, inputs, method, **given)
    assert error.value.reason == "INVALID_FIELD", error.value
    assert client.explain("models/digits", instance("digits"), "occlusion").complete
    named = [violation.field.removeprefix(f"{method}.") for violation in error.value.violations]
    assert named == [field]
    return str(error.value)


# A model that always says the same


@pytest.mark.parametrize(("method", "modality"), CONSTANT_CALLS)
def test_a_constant_model_has_no_evidence(client: whybox.Client, method: str, modality: Modality) -> None:
    """Zeros, an empty rule, no contrast, no regions, a mask that keeps all: said, and never NaN."""
    given = {**FEW.get(method, {}), "spec": SPECS[modality]}
    if method in ("kernel_shap", "shapley_sampling"):
        given["baseline"] = 0.0
    e = client.explain(constant(SHAPES[modality]), INSTANCES[modality], method, **given)
    assert e.target.index == 0
    assert e.complete
    assert np.abs(e.values).max() < 1e-6
    if e.kind == "rule":
        assert e.rule.predicates == ()
        assert e.rule.threshold_met
        assert e.rule.precision == e.rule.coverage == 1
    if e.kind == "contrast":
        assert e.contrast.pertinent_negative is None
        assert e.contrast.negative_reason
        assert e.contrast.pertinent_positive is not None or e.contrast.positive_reason
    if e.kind in ("regions", "mask"):
        assert any("the same" in warning for warning in e.warnings)
    if e.flip_set is not None:
        assert not e.flip_set.flipped


# More than there is


@pytest.mark.parametrize("strategy", ["streak", "greedy", "lazy_greedy"])
def test_no_more_regions_than_segments(client: whybox.Client, strategy: str) -> None:
    """Six words, seven asked for: the field, and how many there are."""
    assert "7 segments of 6" in refused(
        client, "models/sentiment", SENTENCE, "streak", field="k", k=7, strategy=strategy
    )


def test_a_flip_set_of_more_than_all_is_all(client: whybox.Client) -> None:
    """max_erased is a bound, and a bound beyond the number of words binds nothing."""
    free, bound = (
        client.explain("models/sentiment", SENTENCE, "erasure", max_erased=most) for most in (0, 100)
    )
    assert free.flip_set == bound.flip_set


# Contrasts


def test_a_margin_that_no_probability_has_is_refused(client: whybox.Client) -> None:
    """The forest says probabilities, whose margin is below 1."""
    patient = INPUTS / "patient.csv"
    assert "below 1" in refused(client, "models/breast_cancer", patient, "cem", field="kappa", kappa=1.0)


def test_a_margin_that_this_model_does_not_reach_is_a_reason(client: whybox.Client) -> None:
    """A million logits: no contrast, and both sides say why; nothing is zeros."""
    e = client.explain("models/digits", instance("digits"), "cem", kappa=1e6, gradient="search", **GRID)
    assert e.contrast.pertinent_positive is None
    assert e.contrast.pertinent_negative is None
    assert e.contrast.positive_reason
    assert e.contrast.negative_reason


# Tables


def test_a_category_that_the_background_never_saw(client: whybox.Client) -> None:
    """Column 3 is a category, 9 in the instance and 0 to 2 in the background: answered, with its effect."""
    background = TYPICAL[Modality.TABULAR].copy()
    background[:, 3] = np.arange(30) % 3
    weights = np.zeros((4, 2))
    weights[3, 1] = 1
    model, row = linear(weights, (3.5, 0.0), (4,)), np.array([0.1, -0.2, 0.3, 9.0], np.float32)
    for categories in ({3: ["red", "green", "blue"]}, [3]):
        spec = whybox.ModelSpec.tabular(background=background, categories=categories, score="logit")
        for method in METHODS:
            if Modality.TABULAR not in method.modalities:
                continue
            e = client.explain(model, row, method.name, target=1, spec=spec, **FEW.get(method.name, {}))
            assert np.isfinite(e.values).all()
            assert e.complete
            if e.kind == "attribution":
                assert np.abs(e.values).argmax() == 3
            if e.kind == "rule":
                assert e.rule.threshold_met or e.warnings


@pytest.mark.parametrize("method", ["anchors", "prediction_difference"])
def test_a_table_without_typical_rows_cannot_be_drawn_from(client: whybox.Client, method: str) -> None:
    """The field of the spec that is missing."""
    spec = whybox.ModelSpec.tabular(score="logit")
    field = "spec.tabular.background"
    refused(client, constant((4,)), INSTANCES[Modality.TABULAR], method, field=field, spec=spec)


@pytest.mark.parametrize("modality", [Modality.IMAGE, Modality.TIME_SERIES])
def test_pictures_and_series_without_typical_ones_cannot_be_drawn_from(
    client: whybox.Client, modality: Modality
) -> None:
    """For prediction difference, and for a baseline of typical instances."""
    field, shape = f"spec.{modality.value}.background", SHAPES[modality]
    layout = "CHW" if modality is Modality.IMAGE else "CT"
    spec = whybox.ModelSpec.from_dict({"modality": modality.value, "layout": layout, "score": "logit"})
    called = client, constant(shape), INSTANCES[modality]
    refused(*called, "prediction_difference", field=field, spec=spec)
    for method in ("kernel_shap", "shapley_sampling", "lime", "occlusion"):
        said = refused(*called, method, field="baseline.kind", baseline="background", spec=spec)
        assert field in said


@pytest.mark.parametrize("discretizer", ["quartile", "decile"])
@pytest.mark.parametrize("strict", [False, True])
def test_a_precision_that_no_border_reaches(client: whybox.Client, discretizer: str, strict: bool) -> None:
    """The most precise rule tried, `threshold_met` False, and what may help."""
    row = np.array([0.0, 0.5, -0.5, 1.0], np.float32)
    spec = whybox.ModelSpec.tabular(background=RNG.normal(size=(200, 4)), score="logit")
    e = client.explain(
        narrow(), row, "anchors", spec=spec, discretizer=discretizer, strict=strict, beam_size=1
    )
    assert e.target.index == 1
    assert not e.rule.threshold_met
    assert 0 <= e.rule.lower_bound <= e.rule.precision < 0.95
    assert e.rule.certificate.startswith("not reached")
    assert any("DECILE" in warning for warning in e.warnings)


# Fields that contradict each other


REFUSALS: dict[str, tuple[dict[str, Any], str]] = {
    "a table has no patches": (
        {
            "model": "models/diabetes",
            "inputs": INPUTS / "diabetic.csv",
            "method": "prediction_difference",
            "patch": 3,
        },
        "patch",
    ),
    "gamma without an autoencoder": ({"method": "cem", "gamma": 1.0}, "gamma"),
    "two words for absent": ({"method": "cem", "no_info": 0.0, "baseline": 1.0}, "no_info"),
    "too few coalitions": ({"method": "kernel_shap", "num_samples": 20}, "num_samples"),
    "cells finer than the picture": ({"method": "rise", "cells": 100}, "cells"),
    "an area of nothing": ({"method": "meaningful_perturbation", "area": 0.0}, "area"),
    "a threshold of more than all": ({"method": "anchors", "threshold": 1.5}, "threshold"),
    "borders of a picture": ({"method": "anchors", "discretizer": "decile"}, "discretizer"),
    "a rule for what the model does not say": ({"method": "anchors", "target": 1}, "targets"),
    "a contrast for what the model does not say": ({"method": "cem", "target": 1}, "targets"),
    "no permutations": ({"method": "shapley_sampling", "num_permutations": 0}, "num_permutations"),
    "a flip of what is no decision": (
        {
            "model": "models/diabetes",
            "inputs": INPUTS / "diabetic.csv",
            "method": "erasure",
            "search": "greedy",
        },
        "search",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_it_is_refused_with_its_field(client: whybox.Client, name: str) -> None:
    """That field and no other."""
    changed, field = REFUSALS[name]
    given = {"model": "models/digits", "inputs": instance("digits"), **changed}
    refused(client, given.pop("model"), given.pop("inputs"), given.pop("method"), field=field, **given)
