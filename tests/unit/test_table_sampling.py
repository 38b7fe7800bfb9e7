"""A table's neighbourhood: which values the columns take, and what the surrogate reads."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ModelSpec, TabularSpec
from whybox_server.perturb.laws import Discretizer
from whybox_server.perturb.tabular import Table, table

N = 4000


def instance(
    values: Array | list[float],
    background: Array | None = None,
    names: tuple[str, ...] = (),
    categories: Mapping[int, tuple[str, ...]] | None = None,
) -> Instance:
    details = TabularSpec(names, background, categories or {})
    return Instance({"x": np.asarray(values)}, ModelSpec(Modality.TABULAR, details=details))


def drawn(one: Table, n: int = N, seed: int = 0) -> tuple[Array, Array]:
    rows, features = one.draw(n, np.random.default_rng(seed))
    return rows.inputs["x"], features


def continuous(one: Instance, *, around: bool = True) -> Table:
    return table(one, Discretizer.CONTINUOUS, around_instance=around)


@pytest.mark.parametrize("around", [True, False])
def test_continuous_columns_are_normal_with_the_backgrounds_deviation(around: bool) -> None:  # noqa: FBT001
    """Mean and deviation of 4000 draws within 5 standard errors of the instance (or mean) and std."""
    background = np.random.default_rng(1).normal([10, -3], [2, 0.1], size=(500, 2))
    values, features = drawn(continuous(instance([13.0, -3.5], background), around=around))
    centre = np.array([13.0, -3.5]) if around else background.mean(axis=0)
    deviation = background.std(axis=0)
    assert np.all(np.abs(values[1:].mean(axis=0) - centre) < 5 * deviation / np.sqrt(N))
    assert np.all(np.abs(values[1:].std(axis=0) / deviation - 1) < 5 / np.sqrt(2 * N))
    np.testing.assert_allclose(features, (values - background.mean(axis=0)) / deviation, atol=1e-9)


@pytest.mark.parametrize("discretizer", Discretizer)
def test_row_0_is_the_instance_to_the_last_bit(discretizer: Discretizer) -> None:
    """Also for integers that float64 does not hold, and float32 that no decimal holds."""
    background = np.random.default_rng(2).integers(0, 99, size=(50, 2)).astype(float)
    spec = ModelSpec(Modality.TABULAR, details=TabularSpec(background=background))
    one = Instance({"a": np.array([2**62 + 1]), "b": np.array(0.1, dtype=np.float32)}, spec)
    rows, _ = table(one, discretizer, around_instance=True).draw(20, np.random.default_rng(0))
    assert rows.inputs["a"].dtype == np.int64
    assert rows.inputs["a"].shape == (20, 1)
    assert rows.inputs["b"].dtype == np.float32
    assert rows.inputs["b"].shape == (20,)
    assert rows.inputs["a"][0] == 2**62 + 1
    assert rows.inputs["b"][0] == np.float32(0.1)


def test_columns_are_numbered_on_across_inputs() -> None:
    """One input per column, text among them, in the order of the inputs."""
    background = np.array([[1.0, "a", 5.0, 6.0], [2.0, "b", 7.0, 9.0], [4.0, "b", 8.0, 9.5]], dtype=object)
    spec = ModelSpec(Modality.TABULAR, details=TabularSpec(("age", "sex", "p", "q"), background))
    inputs = {
        "age": np.array([3.0]),
        "sex": np.array(["b"], dtype=object),
        "rest": np.array([5, 6], dtype=np.float32),
    }
    one = continuous(Instance(inputs, spec))
    assert one.units.names == ("age", "sex = b", "p", "q")
    assert {k: v.tolist() for k, v in one.units.segments.items()} == {"age": [0], "sex": [1], "rest": [2, 3]}
    rows, features = one.draw(N, np.random.default_rng(0))
    sexes = rows.inputs["sex"][:, 0]
    assert set(sexes) == {"a", "b"}
    assert np.array_equal(features[:, 1], sexes == "b")
    assert abs(np.mean(sexes[1:] == "b") - 2 / 3) < 5 * np.sqrt(2 / 9 / N)


def test_integer_columns_take_integers_and_the_feature_follows_them() -> None:
    """Draws are rounded before the feature is read off, so both speak of the same value."""
    background = np.arange(20).reshape(10, 2)
    values, features = drawn(continuous(instance(np.array([4, 5]), background)))
    assert values.dtype == np.int64
    assert len(np.unique(values[:, 0])) > 10
    np.testing.assert_allclose(features, (values - background.mean(axis=0)) / background.std(axis=0))


def test_integers_are_rounded_and_not_cut_off() -> None:
    """Cut off, draws around 500 would lose half a unit on average; 5 standard errors of rounded ones."""
    values, _ = drawn(continuous(instance(np.array([500]), np.array([[499], [500], [501]]))))
    assert abs(values.mean() - 500) < 5 * np.sqrt((2 / 3 + 1 / 12) / N)


def test_draws_never_leave_the_range_of_a_small_integer() -> None:
    """uint8 around 250 with deviation 81.6: cut off at 0 and 255, never wrapped around."""
    background = np.array([[0], [100], [200]], dtype=np.uint8)
    values, features = drawn(continuous(instance(np.array([250], dtype=np.uint8), background)))
    above = 0.478  # of a normal with mean 250 and deviation 81.6, beyond 254.5
    assert abs(np.mean(values[1:, 0] == 255) - above) < 5 * np.sqrt(0.25 / N)
    assert features.max() == (255 - 100) / background.std()


def test_rounding_never_leaves_a_bin_of_integers() -> None:
    """The feature says which bin was drawn; the value that the model gets must be in it."""
    background = np.random.default_rng(3).integers(0, 12, size=(200, 1))
    one = table(instance(np.array([5]), background), Discretizer.QUARTILE, around_instance=True)
    values, features = drawn(one)
    borders = np.unique(np.percentile(background, [25, 50, 75]))
    bin_of = np.searchsorted(borders, values[:, 0], side="left")
    assert np.array_equal(features[:, 0] == 1, bin_of == bin_of[0])


def test_bins_are_drawn_by_their_frequency_and_never_leave_the_data() -> None:
    """A column that is 5.0 in 60 % of rows: the reference put 0.0 there, in 61.6 % of its rows."""
    rng = np.random.default_rng(4)
    background = np.concatenate([np.full(600, 5.0), rng.uniform(5.5, 9, 400)])[:, None]
    one = table(instance([5.0], background), Discretizer.QUARTILE, around_instance=True)
    values, features = drawn(one)
    assert values.min() == 5.0
    assert values.max() <= background.max()
    assert abs(np.mean(values[1:] == 5.0) - 0.6) < 5 * np.sqrt(0.24 / N)
    assert np.array_equal(features[:, 0] == 1, values[:, 0] == 5.0)


def test_float32_values_on_a_border_keep_their_bin() -> None:
    """1.6 in float32 exceeds 1.6 in float64; statistics are taken in the model's own dtype."""
    background = np.array([[0.1], [1.6], [1.6], [1.6], [9.0], [9.0], [9.0], [9.0]])
    row = instance(np.array([1.6], dtype=np.float32), background)
    one = table(row, Discretizer.QUARTILE, around_instance=True)
    assert one.units.names == ("x0 <= 1.6",)


def test_declared_categories_are_drawn_whole_and_called_by_name() -> None:
    """Numbers 0, 1, 2 that are declared a category: only those, and the feature is "the same again"."""
    background = np.array([[0.0], [1.0], [1.0], [2.0]])
    one = continuous(instance([1.0], background, ("colour",), {0: ("red", "green", "blue")}))
    assert one.units.names == ("colour = green",)
    values, features = drawn(one)
    assert set(values[:, 0]) == {0.0, 1.0, 2.0}
    assert np.array_equal(features[:, 0] == 1, values[:, 0] == 1)


def test_without_background_named_categories_are_equally_likely() -> None:
    """Nothing is known but their names."""
    values, _ = drawn(continuous(instance([1.0], None, (), {0: ("red", "green", "blue", "grey")})))
    shares = [np.mean(values[1:, 0] == c) for c in range(4)]
    assert np.abs(np.array(shares) - 0.25).max() < 5 * np.sqrt(0.1875 / N)


def test_a_category_unknown_to_the_background_can_come_again() -> None:
    """It counts as one more row; otherwise its feature would rest on row 0 alone."""
    background = np.array([["a"], ["b"], ["b"]], dtype=object)
    values, features = drawn(continuous(instance(np.array(["new"], dtype=object), background)))
    assert set(values[:, 0]) == {"a", "b", "new"}
    assert abs(np.mean(values[1:, 0] == "new") - 0.25) < 5 * np.sqrt(0.1875 / N)
    assert np.array_equal(features[:, 0] == 1, values[:, 0] == "new")


def test_longer_categories_are_not_cut_to_the_instances_width() -> None:
    """A '<U1' instance among longer strings: numpy would truncate them silently."""
    background = np.array([["x"], ["a longer one"]])
    values, _ = drawn(continuous(instance(np.array(["x"]), background)))
    assert set(values[:, 0]) == {"x", "a longer one"}


@pytest.mark.parametrize("discretizer", Discretizer)
def test_constant_columns_are_left_alone_and_named(discretizer: Discretizer) -> None:
    """The reference turned a constant 7.0 into 0.0 in every row."""
    background = np.column_stack([np.full(50, 7.0), np.arange(50.0)])
    one = table(instance([7.0, 3.0], background, ("same", "other")), discretizer, around_instance=True)
    values, features = drawn(one, 100)
    assert np.all(values[:, 0] == 7.0)
    assert len(np.unique(features[:, 0])) == 1
    assert [w for w in one.warnings if "never varied" in w and "same" in w and "other" not in w]


@pytest.mark.parametrize("background", [None, np.array([[9.0, 9.0]])], ids=["none", "one row"])
def test_without_spread_the_own_size_serves_and_the_answer_says_so(background: Array | None) -> None:
    """Deviations |-20| and, for 0, 1."""
    one = continuous(instance([-20.0, 0.0], background))
    values, features = drawn(one)
    assert np.all(np.abs(values[1:].std(axis=0) / [20, 1] - 1) < 5 / np.sqrt(2 * N))
    assert not features[0].any()
    assert [w for w in one.warnings if "own size" in w and "spec.tabular.background" in w]
    assert "own size" in one.absent


@pytest.mark.parametrize(
    ("one", "discretizer", "field"),
    [
        (instance([1.0, 2.0]), Discretizer.QUARTILE, "discretizer"),
        (instance([1.0, 2.0], np.ones((5, 3))), Discretizer.CONTINUOUS, "spec.tabular.background"),
        (instance([1.0, np.nan]), Discretizer.CONTINUOUS, "instances"),
        (instance([1.0], np.array([["a"], ["b"]])), Discretizer.CONTINUOUS, "spec.tabular.background"),
        (instance([1.0], None, ("a", "b")), Discretizer.CONTINUOUS, "spec.tabular.feature_names"),
    ],
    ids=["bins of nothing", "width", "NaN", "text for numbers", "names"],
)
def test_what_does_not_fit_is_refused_by_field(one: Instance, discretizer: Discretizer, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        table(one, discretizer, around_instance=True)
    assert [v.field for v in caught.value.violations] == [field]
