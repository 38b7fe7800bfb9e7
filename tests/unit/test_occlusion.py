"""Occlusion: known answers, known costs, and what it is known not to see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.answering import Model, answering, instance_of, materialise, subject_of
from tests.oracles.occlusion import occluded

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.engine.drive import run
from whybox_server.methods.occlusion import OCCLUSION, OcclusionParams
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind

Kind = SegmentationKind


def explain(
    instance: Instance,
    model: Model,
    budget: int | None = None,
    outputs: int = 1,
    targets: int = 1,
    **params: object,
) -> Attribution:
    chosen = OcclusionParams(**params)  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    task = OCCLUSION.prepare(subject_of(instance, outputs, targets), chosen, rng)
    return run(OCCLUSION.run(task, chosen, rng), answering(model, instance), budget)


def cost(instance: Instance, **params: object) -> int:
    chosen = OcclusionParams(**params)  # type: ignore[arg-type]
    found = OCCLUSION.cost(OCCLUSION.prepare(subject_of(instance), chosen, np.random.default_rng(0)), chosen)
    assert found.exact
    return found.rows


def tensor(*values: float) -> Instance:
    return instance_of(Modality.TENSOR, np.array(values, dtype=np.float64))


def constant(value: float) -> Baseline:
    return Baseline(BaselineKind.CONSTANT, value=value)


def of_one(f: Callable[[Array], Array]) -> Model:
    """A model of one input, (n, *shape) -> (n,), as the service sees it."""
    return lambda inputs: f(inputs["x0"])[:, None]


def two_relus(x: Array) -> Array:
    """captum's BasicModel_MultiLayer, class 0: -1 + relu(s - 10) + 3 relu(s + 1), s the sum."""
    s = x.reshape(len(x), -1).sum(axis=1)
    return -1 + np.maximum(s - 10, 0) + 3 * np.maximum(s + 1, 0)


@pytest.mark.parametrize(
    ("x", "params", "expected"),
    [
        ((20, 50, 30), {"window": (1,)}, [80, 200, 120]),
        ((20, 50, 30), {}, [80, 200, 120]),
        ((20, 50, 30), {"window": (2,), "stride": (1,), "baseline": constant(10)}, [200, 220, 240]),
        ((20, 50, 30), {"window": (2,), "stride": (2,)}, [280, 280, 120]),
        ((2, 10, 3), {"window": (1,)}, [8, 35, 12]),
    ],
)
def test_captums_numbers_for_two_relus(
    x: tuple[float, ...], params: dict[str, object], expected: list[float]
):
    """The expected values of captum's own tests, with windows averaged where they overlap."""
    assert explain(tensor(*x), of_one(two_relus), **params).values.tolist() == [expected]


def one_convolution(x: Array) -> Array:
    """captum's BasicModel_ConvNet_One_Conv, output 0, its second input being ones.

    Two 3x3 filters of ones with biases -50 and -75, a ReLU, then the sum of the first five
    activations less the last three, and a ReLU.
    """
    image = x[:, 0] + 1  # (n, 4, 4)
    sums = np.stack([image[:, i : i + 3, j : j + 3].sum(axis=(1, 2)) for i in (0, 1) for j in (0, 1)], axis=1)
    hidden = np.concatenate([np.maximum(sums - 50, 0), np.maximum(sums - 75, 0)], axis=1)  # (n, 8)
    return np.maximum(hidden[:, :5].sum(axis=1) - hidden[:, 5:].sum(axis=1), 0)


def test_captums_numbers_for_one_convolution():
    """A 4x4 picture 0..15, window 2x3, stride 2x1."""
    image = np.arange(16, dtype=np.float64).reshape(1, 4, 4)
    instance = instance_of(Modality.IMAGE, image, details=ImageSpec("CHW"))
    found = explain(instance, of_one(one_convolution), window=(2, 3), stride=(2, 1), baseline=constant(0))
    assert found.values[0, 0].tolist() == [[17] * 4, [17] * 4, [64, 65.5, 65.5, 67], [64, 65.5, 65.5, 67]]


@pytest.mark.parametrize(
    ("side", "window", "stride", "rows"), [(224, 15, 8, 785), (224, 16, 16, 197), (28, 4, 1, 626)]
)
def test_the_cost_is_one_and_a_row_per_window(side: int, window: int, stride: int, rows: int):
    """1 + (ceil((D - w) / s) + 1)^2, and that many rows are asked."""
    instance = instance_of(Modality.IMAGE, np.zeros((3, side, side), np.float32), details=ImageSpec("CHW"))
    assert cost(instance, window=(window,), stride=(stride,)) == rows
    asked = []

    def zeros(query: Query) -> Reply:
        asked.append(len(query.rows))
        return Reply(np.zeros((len(query.rows), 1)))

    chosen, rng = OcclusionParams((window,), (stride,)), np.random.default_rng(0)
    run(OCCLUSION.run(OCCLUSION.prepare(subject_of(instance), chosen, rng), chosen, rng), zeros)
    assert asked == [rows]


def test_row_zero_is_the_instance_and_row_i_hides_part_i_minus_one():
    """Three numbers, read out of the query itself."""
    instance = tensor(1, 2, 3)
    chosen, rng = OcclusionParams(), np.random.default_rng(0)
    query = next(OCCLUSION.run(OCCLUSION.prepare(subject_of(instance), chosen, rng), chosen, rng))
    assert materialise(query.rows, instance)["x0"].tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [1, 2, 0]]


@given(
    st.tuples(st.integers(1, 6), st.integers(1, 5)).flatmap(
        lambda shape: st.tuples(
            st.just(shape),
            st.tuples(*(st.integers(1, side) for side in shape)).flatmap(
                lambda window: st.tuples(st.just(window), st.tuples(*(st.integers(1, w) for w in window)))
            ),
        )
    )
)
def test_windows_agree_with_the_slow_loop(case):
    """The oracle visits every window and element by itself; a nonlinear model, random baseline."""
    shape, (window, stride) = case
    rng = np.random.default_rng(sum(shape))
    x, fill, weight = rng.normal(size=(3, *shape))
    instance = instance_of(Modality.TENSOR, x)

    def f(rows: Array) -> Array:
        return np.tanh((rows * weight).sum(axis=(1, 2))) + (rows**2).max(axis=(1, 2))

    found = explain(
        instance, of_one(f), window=window, stride=stride, baseline=Baseline(BaselineKind.GIVEN, given=fill)
    )
    expected = occluded(lambda row: float(f(row[None])[0]), x, fill, window, stride)
    assert np.allclose(found.values[0], expected, rtol=1e-12, atol=1e-12)  # rounding of sums


def test_occlusion_of_a_linear_model_is_weight_times_input():
    """For f(x) = w.x and baseline 0 the drop is exactly w_i x_i, for every target in one pass."""
    weights = np.array([[1.0, -2, 0, 4], [0.5, 0, 0, -1]])  # (outputs, features)
    x = np.array([3.0, 1, 5, 2])
    found = explain(
        instance_of(Modality.TENSOR, x), lambda inputs: inputs["x0"] @ weights.T, outputs=2, targets=2
    )
    assert np.array_equal(found.values, weights * x)
    assert found.complete
    assert found.base_values.tolist() == [0, 0]


def test_occlusion_measures_from_the_background_of_a_table():
    """w (x - mean): the closed form of a linear model with a baseline."""
    background = np.array([[0.0, 2], [2, 4]])
    instance = instance_of(
        Modality.TABULAR, np.array([5.0, 5.0]), details=TabularSpec(("a", "b"), background)
    )
    found = explain(instance, of_one(lambda x: x @ np.array([2.0, 3.0])))
    assert found.values.tolist() == [[2 * (5 - 1), 3 * (5 - 3)]]
    assert found.units.names == ("a", "b")
    assert "mean of 2 background rows" in found.baseline


@pytest.mark.parametrize(
    ("name", "f", "expected"),
    [
        ("and", lambda a, b, c: a & b, [1, 1, 0]),
        ("or", lambda a, b, c: a | b, [0, 0, 0]),
        ("xor", lambda a, b, c: a ^ b, [-1, -1, 0]),
        ("majority", lambda a, b, c: (a + b + c) >= 2, [0, 0, 0]),
        ("a and (b or c)", lambda a, b, c: a & (b | c), [1, 0, 0]),
    ],
)
def test_leave_one_out_is_blind_to_evidence_that_is_there_twice(name, f, expected):
    """Closed forms of leaving one out, all inputs being 1: OR and majority miss nothing alone."""
    instance = instance_of(Modality.TENSOR, np.ones(3, np.int64))
    found = explain(instance, of_one(lambda x: f(*x.T).astype(float)))
    assert found.values[0].tolist() == expected, name


def test_words_of_an_additive_text_model_get_their_own_weights():
    """Leave-one-out is exact for a sum of word weights; twice the word, twice the weight."""
    weights = {"good": 2.0, "bad": -3.0}
    instance = instance_of(Modality.TEXT, np.array(["good, bad and good"], object), details=TextSpec())

    def f(texts: Array) -> Array:
        words = [text.replace(",", "").split() for text in texts[:, 0]]
        return np.array([sum(weights.get(word, 0.0) for word in row) for row in words])

    found = explain(instance, of_one(f))
    assert dict(zip(found.units.names, found.values[0], strict=True)) == {"good": 4, "bad": -3, "and": 0}


def test_a_window_of_a_picture_hides_all_channels_and_of_a_series_one():
    """Sum models: 3 channels of 1 fall together; a series' channels by themselves unless asked."""
    total = of_one(lambda x: x.reshape(len(x), -1).sum(axis=1))
    picture = instance_of(Modality.IMAGE, np.ones((4, 4, 3)), details=ImageSpec("HWC"))
    assert (explain(picture, total, window=(2,), baseline=constant(0)).values == 12).all()
    series = instance_of(Modality.TIME_SERIES, np.ones((6, 2)), details=TimeSeriesSpec("TC"))
    assert cost(series, window=(3,)) == 5
    assert (explain(series, total, window=(3,), baseline=constant(0)).values == 3).all()
    together = Segmentation(all_channels=True)
    assert (
        explain(series, total, window=(3,), segmentation=together, baseline=constant(0)).values == 6
    ).all()


def test_a_budget_that_ends_early_gives_what_was_visited_and_says_the_rest():
    """Three of five rows: two features known, the others 0 with a warning; never NaN."""
    found = explain(tensor(1, 2, 3, 4), of_one(lambda x: x.sum(axis=1)), budget=3)
    assert not found.complete
    assert found.values.tolist() == [[1, 2, 0, 0]]
    assert "2 of 4 segments were not visited" in found.warnings[-1]


def test_a_budget_that_ends_early_averages_the_windows_that_were_visited():
    """Windows of 2, stride 1, over 1, 2, 3: one window visited covers two elements."""
    found = explain(tensor(1, 2, 3), of_one(lambda x: x.sum(axis=1)), budget=2, window=(2,), stride=(1,))
    assert found.values.tolist() == [[3, 3, 0]]
    assert "1 of 2 windows were not visited" in found.warnings[-1]


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_too_small_for_any_answer_passes(budget: int):
    """The instance alone says nothing about what is missing."""
    with pytest.raises(BudgetSpent) as caught:
        explain(tensor(1, 2, 3), of_one(lambda x: x.sum(axis=1)), budget=budget)
    assert caught.value.details == {"needed": "4", "allowed": str(budget)}


def test_background_rows_are_drawn_for_every_row_and_one_for_all_windows():
    """A model that tells the background rows apart sees values of the background alone."""
    background = np.array([[10.0] * 8, [20.0] * 8, [40.0] * 8])
    instance = instance_of(Modality.TABULAR, np.zeros(8), details=TabularSpec(background=background))
    draw = Baseline(BaselineKind.BACKGROUND)
    drops = explain(instance, of_one(lambda x: -x.sum(axis=1)), baseline=draw).values[0]
    assert set(drops.tolist()) <= {10, 20, 40}
    assert len(set(drops.tolist())) > 1  # with seed 0
    windows = explain(instance, of_one(lambda x: -x.sum(axis=1)), baseline=draw, window=(1,))
    assert len(set(windows.values[0].tolist())) == 1
    assert "was drawn for all windows" in windows.warnings[-1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"window": (4,)}, r"window: 4 does not fit an axis of 3"),
        ({"window": (2, 2)}, r"window: 2 numbers for 1 axes"),
        ({"window": (2,), "stride": (3,)}, r"stride: 3 is outside \[1, 2\]"),
        ({"window": (2,), "stride": (1, 1)}, r"stride: 2 numbers for 1 axes"),
        ({"stride": (1,)}, r"stride: needs a window"),
        (
            {"window": (1,), "segmentation": Segmentation(Kind.ELEMENTS)},
            r"segmentation\.kind: a window is asked",
        ),
    ],
)
def test_a_wrong_window_names_its_field_and_the_remedy(params: dict[str, object], message: str):
    """One message per mistake."""
    with pytest.raises(InvalidRequest, match=message):
        cost(tensor(1, 2, 3), **params)


def test_a_text_has_no_windows():
    """The remedy is a segmentation."""
    instance = instance_of(Modality.TEXT, np.array(["a b"], object), details=TextSpec())
    with pytest.raises(InvalidRequest, match=r"window: texts have no windows"):
        cost(instance, window=(1,))


def test_windows_slide_over_the_largest_input_alone_and_say_so():
    """The second input is never hidden: its weight shows nowhere."""
    instance = instance_of(Modality.TENSOR, np.ones(3), np.ones(2))
    found = explain(instance, lambda x: (x["x0"].sum(axis=1) + 9 * x["x1"].sum(axis=1))[:, None], window=(1,))
    assert found.values.tolist() == [[1, 1, 1]]
    assert "'x0' alone" in found.warnings[0]


def test_a_single_number_has_no_windows():
    """Rank 0 is refused in words."""
    with pytest.raises(InvalidRequest, match="window: input 'x0' is a single number"):
        cost(instance_of(Modality.TENSOR, np.array(1.0)), window=(1,))


def test_nan_is_refused_with_windows_too():
    """The same message as with segments."""
    with pytest.raises(InvalidRequest, match=r"instance contains NaN at index \(1,\)"):
        cost(tensor(1, np.nan), window=(1,))
