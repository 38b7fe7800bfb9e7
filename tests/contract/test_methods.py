"""What every method promises, over `METHODS` and tiny models of every modality.

A new method needs nothing here: it is taken from `METHODS` with its default parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from tests.answering import (
    Answer,
    answering,
    answering_in_pieces,
    instance_of,
    materialise,
    subject_of,
)
from tests.inside import NumpyInside, around_input, joined, looked_up, mapped

from whybox.v1 import method_pb2
from whybox_server.core.errors import BudgetSpent
from whybox_server.core.explanation import Contrast, Finding, Mask, Regions, Rule
from whybox_server.core.instance import Instance
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array, Samples
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.engine.drive import identities, run
from whybox_server.methods import METHOD, METHODS
from whybox_server.methods.layers import WITH_PLACES
from whybox_server.methods.method import Cost, Method, violations
from whybox_server.perturb.hiding import hide
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.options import Baseline, Segmentation

FEW_ROWS = 400  # of methods that sample: enough for a linear model, quick enough for a unit test
FEW_ORDERS = 120  # of methods that walk: each of the table's 60 background rows twice
FEW_STEPS = 3  # of methods that descend: a closing is tried at every one


@dataclass(frozen=True, eq=False)
class Weighted:
    """f = weights . inputs + offset, row by row; the inputs are flattened and joined."""

    weights: Array  # (elements,)
    offset: float = 0.0

    def __call__(self, **inputs: Array) -> Array:
        flat = np.hstack([array.reshape(len(array), -1) for array in inputs.values()])
        return (flat * self.weights).sum(axis=1) + self.offset

    def slope(self, values: Array, inputs: Any) -> Array:
        """Of two outputs, the second -2 times the first: (n, 2, *shape)."""
        one = self.weights.reshape(values.shape[1:])
        return np.broadcast_to(np.stack([one, -2 * one]), (len(values), 2, *one.shape))


@dataclass(frozen=True)
class Case:
    """An instance and a linear model of it with two outputs, the second -2 times the first.

    table: the vectors that whole numbers are looked up as; the model is linear in them.
    """

    instance: Instance
    linear: Callable[..., Array]  # (n, *shape) per input -> (n,)
    twins: tuple[int, int]  # two segments that count alike
    table: Array | None = None

    def model(self, inputs: Any) -> Array:
        scores = self.linear(**inputs)
        return np.stack([scores, -2 * scores], axis=1)

    @property
    def inside(self) -> NumpyInside | None:
        """What methods see of the model; None for strings."""
        slope = self.linear.slope if isinstance(self.linear, Weighted) else None
        if self.table is not None:
            tokens = self.instance.inputs["x0"].size
            return NumpyInside(
                (looked_up("x0", self.table, tokens, lambda vectors: self.model({"x0": vectors})),)
            )
        if self.instance.inputs["x0"].dtype == object:
            return None
        if len(self.instance.inputs) > 1:
            return NumpyInside((joined(self.instance, self.model, slope),))
        place = around_input(self.instance, self.model, slope)
        if self.instance.spec.modality not in WITH_PLACES or not isinstance(self.linear, Weighted):
            return NumpyInside((place,))
        weights = self.linear.weights.reshape(place.site.shape)
        bias = self.linear.offset * np.array([1.0, -2.0])
        maps, end = mapped(place, weights, bias, axes_of(self.instance.spec, weights.shape).channel)
        return NumpyInside((place, maps), end)


def tabular() -> Case:
    """Columns of mean 0 and deviation 1, the instance one deviation above: effects are the weights."""
    rows = np.random.default_rng(0).normal(size=(60, 5))
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    instance = instance_of(Modality.TABULAR, np.ones(5), details=TabularSpec(background=rows))
    return Case(instance, Weighted(np.array([2.0, -1, 0.5, 2.0, 0])), (0, 3))


@cache  # the superpixels of a picture take a while
def image() -> Case:
    """A smooth picture; weights per value are such that each superpixel has a drawn effect."""
    steep = np.linspace(0, 1, 16)
    picture = np.stack([np.outer(steep, steep), np.outer(1 - steep, steep), np.outer(steep, 1 - steep)])
    instance = instance_of(Modality.IMAGE, picture.astype(np.float32), details=ImageSpec("CHW"))
    parts = hide(instance, Segmentation(), Baseline(), np.random.default_rng(0))
    blurred = materialise(parts.rows(np.zeros((1, parts.count), bool)), instance)["x0"][0]
    removed = instance.inputs["x0"].astype(np.float64) - blurred
    labels = np.broadcast_to(parts.units.segments["x0"], removed.shape)
    total = np.bincount(labels.ravel(), np.abs(removed).ravel())
    effect = np.random.default_rng(1).normal(size=parts.count)
    effect[1] = effect[0] = 2.0
    instance.inputs["x0"].flags.writeable = False  # all tests have this one
    return Case(instance, Weighted((np.sign(removed) * (effect / total)[labels]).ravel()), (0, 1))


def series() -> Case:
    """One channel, rising: windows 3 and 12 have the same effect by construction."""
    steps = np.arange(40.0)
    effect = np.random.default_rng(2).normal(size=20)
    effect[12] = effect[3]
    per_step = np.repeat(effect, 2) / 2 / (steps - steps.mean())
    instance = instance_of(Modality.TIME_SERIES, steps, details=TimeSeriesSpec("T"))
    return Case(instance, Weighted(per_step), (3, 12))


def text() -> Case:
    """The score is the sum of the weights of the words that are there."""
    weights = {"a": 1.0, "fine": 3.0, "film": 0.0, "but": -1.0, "far": 0.5, "too": -2.0, "good": 3.0}

    def linear(x0: Array) -> Array:
        return np.array([sum(weights[word] for word in row[0].split()) for row in x0])

    sentence = np.array(["a fine film but far too good"], object)
    return Case(instance_of(Modality.TEXT, sentence, details=TextSpec()), linear, (1, 6))


def tokens() -> Case:
    """Five tokens, looked up in a table of vectors; the first and the last have the same effect."""
    table, weights = np.random.default_rng(4).normal(size=(2, 9, 3))
    table[7], weights[4] = table[3], weights[0]

    def linear(x0: Array) -> Array:
        vectors = table[x0] if x0.dtype.kind == "i" else x0
        return (vectors * weights[:5]).sum(axis=(1, 2))

    ids = instance_of(Modality.TEXT, np.array([3, 5, 1, 8, 7]), details=TextSpec())
    return Case(ids, linear, (0, 4), table)


def tensor() -> Case:
    """Two inputs of different rank."""
    instance = instance_of(Modality.TENSOR, np.ones((2, 2)), np.ones(3))
    return Case(instance, Weighted(np.array([1.0, -1.0, 2.0, 0.0, 1.0, 0.5, -3.0])), (0, 4))


CASES = {
    Modality.TABULAR: tabular,
    Modality.IMAGE: image,
    Modality.TIME_SERIES: series,
    Modality.TEXT: text,
    Modality.TENSOR: tensor,
}


def with_background(make: Callable[[], Case]) -> Callable[[], Case]:
    """The same case, where a picture or series has typical ones beside it, too."""

    def made() -> Case:
        case = make()
        spec, array = case.instance.spec, case.instance.inputs["x0"]
        if not isinstance(spec.details, ImageSpec | TimeSeriesSpec):
            return case
        typical = array + np.random.default_rng(3).normal(size=(12, *array.shape))
        details = replace(spec.details, background=typical.astype(array.dtype))
        return replace(case, instance=replace(case.instance, spec=replace(spec, details=details)))

    return made


def case_of(method: Method[Any, Any], modality: Modality) -> Callable[[], Case]:
    """A case that the method explains: inside a model there are no strings, only what they became."""
    if modality is Modality.TEXT and method.probes:
        return tokens
    return with_background(CASES[modality]) if method.name in DRAW_FROM_BACKGROUND else CASES[modality]


DRAW_FROM_BACKGROUND = {"prediction_difference"}  # methods that refuse pictures and series without
PAIRS = [
    pytest.param(method, case_of(method, modality), id=f"{method.name}-{modality.value}")
    for method in METHODS
    for modality in CASES
    if modality in method.modalities
]
# Methods whose finding is no attribution.
OTHER_KINDS = {"streak", "anchors", "cem", "meaningful_perturbation"}
ATTRIBUTIONS = [pair for pair in PAIRS if pair.values[0].name not in OTHER_KINDS]
every_pair = pytest.mark.parametrize(("method", "make"), PAIRS)
every_attribution = pytest.mark.parametrize(("method", "make"), ATTRIBUTIONS)
# Numbers that are no effects of hiding a segment; their truths are in tests of their own.
OTHER_NUMBERS = {"rise-image", "rise-time_series", "rise-text"} | {
    f"{name}-{modality.value}"
    for name in ("prediction_difference", "integrated_gradients", "gradient_shap", "deeplift")
    for modality in (Modality.IMAGE, Modality.TIME_SERIES)
}
SLOPES = {
    "gradient",
    "saliency",
    "gradient_x_input",
    "smooth_grad",
    "deconvnet",
    "guided_backprop",
    "cam",
    "grad_cam",
    "guided_grad_cam",
    "lrp",
    "deep_taylor",
}
# A row per target is all that they ask: there is nothing between no answer and the whole.
ONE_PASS = (SLOPES | {"deeplift"}) - {"smooth_grad"}
OF_SEGMENTS = [
    pair for pair in ATTRIBUTIONS if pair.id not in OTHER_NUMBERS and pair.values[0].name not in SLOPES
]
every_attribution_of_segments = pytest.mark.parametrize(("method", "make"), OF_SEGMENTS)
every_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


def parameters(method: Method[Any, Any]) -> Any:
    """Defaults, with fewer samples where there are many, and no bias on purpose."""
    defaults = method.params()
    set_here = {
        "num_samples": FEW_ROWS,
        "num_permutations": FEW_ORDERS,
        "num_masks": FEW_ROWS,
        "centred": True,
    }
    if method.name in DRAW_FROM_BACKGROUND:
        del set_here["num_samples"]  # per part: the default is fewer
    set_here |= {"c_steps": 2, "max_iterations": FEW_STEPS, "iterations": FEW_STEPS}
    names = [field.name for field in fields(defaults) if field.name in set_here]
    return replace(defaults, **{name: set_here[name] for name in names})


def begin(method: Method[Any, Any], case: Case, seed: int = 0) -> Any:
    """The method's generator on the case, both outputs being targets."""
    return started(method, case, seed)[1]


def started(method: Method[Any, Any], case: Case, seed: int = 0) -> tuple[Cost, Any]:
    params, rng = parameters(method), np.random.default_rng(seed)
    task = method.prepare(subject_of(case.instance, 2, 2, case.inside), params, rng)
    return method.cost(task, params), method.run(task, params, rng)


@dataclass(frozen=True)
class Told:
    """One run: what it was said to cost, all that was asked, and what was found."""

    cost: Cost
    asked: tuple[Query, ...]
    found: Any


def tell(method: Method[Any, Any], case: Case) -> Told:
    asked: list[Query] = []
    answer = answering(case.model, case.instance, case.inside)

    def noting(query: Query) -> Reply:
        asked.append(query)
        return answer(query)

    cost, steps = started(method, case)
    found = run(steps, noting)
    return Told(cost, tuple(asked), found)


@cache
def told(method: Method[Any, Any], make: Callable[[], Case]) -> Told:
    """The run that all tests share which only look at what came out of it."""
    return tell(method, make())


def explain(method: Method[Any, Any], case: Case, answer: Answer | None = None, seed: int = 0) -> Any:
    return run(begin(method, case, seed), answer or answering(case.model, case.instance, case.inside))


def numbers(found: object) -> Array:
    """All that a finding of any kind says in numbers, in one row."""
    arrays = [np.empty(0)]
    for value in (getattr(found, field.name) for field in fields(found)):  # type: ignore[arg-type]
        if is_dataclass(value):
            arrays.append(numbers(value))
        elif isinstance(value, np.ndarray | float | tuple):
            arrays.append(np.ravel(value))
    return np.concatenate([array for array in arrays if array.dtype.kind in "iuf"])


def says_nothing(found: Finding) -> bool:
    """Whether a finding is that there is nothing to find."""
    if isinstance(found, Contrast):
        return found.positive is None and found.negative is None and bool(found.negative_reason)
    if isinstance(found, Rule):
        return not found.predicates and found.threshold_met
    if isinstance(found, Mask):
        return not np.ptp(found.values) and any("the same however much" in text for text in found.warnings)
    if isinstance(found, Regions):
        return not found.segments and any("the same whatever" in text for text in found.warnings)
    return bool(np.abs(found.values).max() < 1e-9)


def truth(case: Case) -> Array:
    """Effect of hiding each segment; of a linear model that is all there is to know, (segments,)."""
    parts = hide(case.instance, Segmentation(), Baseline(), np.random.default_rng(0))
    masks = np.vstack([np.ones(parts.count, bool), ~np.eye(parts.count, dtype=bool)])
    scores = case.linear(**materialise(parts.rows(masks), case.instance))
    return scores[0] - scores[1:]


@every_pair
def test_the_same_seed_asks_the_same_rows_and_finds_the_same_numbers(method, make):
    """Bit for bit: keys of all rows, and values."""
    first, second = told(method, make), tell(method, make())
    assert [q.rows.keys() for q in first.asked] == [q.rows.keys() for q in second.asked]
    assert numbers(first.found).tobytes() == numbers(second.found).tobytes()


@every_pair
def test_the_instance_is_neither_changed_nor_written_to(method, make):
    """Read-only inputs, and the same bytes afterwards."""
    case = make()
    before = {name: array.copy() for name, array in case.instance.inputs.items()}
    for array in case.instance.inputs.values():
        array.flags.writeable = False
    explain(method, case)
    for name, array in before.items():
        assert np.array_equal(array, case.instance.inputs[name])


@every_pair
def test_row_zero_is_the_instance_and_every_row_fits_the_model(method, make):
    """Row 0 equals it bit for bit; all rows are finite and of its dtypes."""
    case, asked = make(), told(method, make).asked
    first = materialise(asked[0].rows, case.instance, np.array([0]))
    for name, array in case.instance.inputs.items():
        assert np.array_equal(first[name][0], array)
    for query in asked:
        assert len(query.rows)
        if isinstance(query.rows, Samples):
            for name, array in case.instance.inputs.items():
                assert query.rows.inputs[name].dtype == array.dtype
                assert query.rows.inputs[name].shape[1:] == array.shape
        for array in materialise(query.rows, case.instance, probe=query.probe).values():
            assert array.dtype == object or np.isfinite(array).all()


@every_pair
def test_the_cost_bounds_what_is_asked_and_is_met_when_it_says_exact(method, make):
    """All rows, repetitions included."""
    stated = told(method, make).cost
    asked = sum(len(query.rows) for query in told(method, make).asked)
    assert asked == stated.rows if stated.exact else asked <= stated.rows


@every_pair
def test_batches_and_the_order_of_rows_in_them_change_nothing(method, make):
    """Shuffled batches, now of one and now of seven, against one call: the same bytes."""
    case = make()
    pieces = answering_in_pieces(case.model, case.instance, (1, 7), np.random.default_rng(9), case.inside)
    assert np.array_equal(numbers(explain(method, case, pieces)), numbers(told(method, make).found))


@every_attribution
def test_the_shapes_of_a_finding_agree_with_each_other(method, make):
    """values (t, units), base_values (t,), one quality per target or none."""
    case, found = make(), told(method, make).found
    units = (len(found.units.names),) if found.units.names else found.units.shape
    assert found.values.shape == (2, *units)
    assert found.values.dtype == np.float64
    assert found.base_values.shape == (2,)
    assert found.standard_errors is None or found.standard_errors.shape == found.values.shape
    assert len(found.quality) in (0, 2)
    assert found.complete
    assert found.baseline or method.name in SLOPES
    assert found.segmentation
    scores = case.model({name: array[None] for name, array in case.instance.inputs.items()})[0]
    assert np.array_equal(found.instance_scores, scores)


@every_attribution_of_segments
def test_a_linear_model_is_told_as_it_is(method, make):
    """Effects of the segments up to a common factor near 1; the second output is -2 times the first."""
    found, expected = told(method, make).found, truth(make())
    values = found.values[0].ravel()
    assert np.corrcoef(values, expected)[0, 1] > 0.99
    slope = (values @ expected) / (expected @ expected)
    assert 0.85 < slope < 1.05  # LIME's ridge shrinks
    assert np.allclose(found.values[1], -2 * found.values[0], atol=1e-9)


@every_pair
def test_a_constant_model_has_nothing_to_tell(method, make):
    """All zeros, up to rounding, or nothing chosen."""
    case = make()
    numbers = sum(array.size for array in case.instance.inputs.values())
    same = lambda x0: np.full(len(x0), 3.0)  # noqa: E731
    linear = Weighted(np.zeros(numbers), 3.0) if isinstance(case.linear, Weighted) else same
    assert says_nothing(explain(method, replace(case, linear=linear)))


@every_attribution_of_segments
def test_segments_that_count_alike_get_alike(method, make):
    """Twins differ by less than a twentieth of the largest value: what sampling leaves."""
    values = told(method, make).found.values[0].ravel()
    one, other = make().twins
    assert abs(values[one] - values[other]) < 0.05 * np.abs(values).max()


@every_pair
def test_a_method_can_be_closed_at_every_question(method, make):
    """No exception, and nothing more is asked."""
    case = make()
    answer = answering(case.model, case.instance, case.inside)
    for stop in range(len(told(method, make).asked)):
        steps = begin(method, case)
        query = next(steps)
        for _ in range(stop):
            query = steps.send(answer(query))
        steps.close()
        with pytest.raises(StopIteration):
            next(steps)


@every_pair
def test_a_spent_budget_ends_in_a_partial_finding_or_in_the_error(method, make):
    """Budgets from nothing to everything: never more rows, never NaN, complete only when it is."""
    case = make()
    needed = len(set().union(*map(identities, told(method, make).asked)))
    answer = answering(case.model, case.instance, case.inside)
    assert run(begin(method, case), answer, budget=needed).complete
    partial = 0
    tried = {0, 1, 2, 3, needed // 4, needed // 2, needed - 1}
    for budget in sorted(budget for budget in tried if budget < needed):
        keys: set[bytes] = set()

        def noting(query: Query, keys: set[bytes] = keys) -> Reply:
            keys.update(identities(query))
            return answer(query)

        try:
            found = run(begin(method, case), noting, budget=budget)
        except BudgetSpent:
            continue
        finally:
            assert len(keys) <= budget
        partial += 1
        assert not found.complete
        assert found.warnings
        assert np.isfinite(numbers(found)).all()
    assert partial or method.name in ONE_PASS


@every_method
def test_parameters_are_those_of_the_wire_and_explain_themselves(method):
    """Names as in the proto message of the same name; defaults are within their own bounds."""
    message = getattr(method_pb2, method.params.__name__)
    assert [field.name for field in fields(method.params)] == [
        field.name for field in message.DESCRIPTOR.fields
    ]
    for field in fields(method.params):
        about = field.metadata["about"]
        assert about.summary
        assert about.unset
    assert violations(method.params()) == []


@every_method
def test_a_method_says_who_it_is(method):
    """Name, paper and version; the table by name finds it."""
    assert METHOD[method.name] is method
    assert method.summary.endswith(".")
    assert method.citation
    assert method.version
    assert method.modalities
