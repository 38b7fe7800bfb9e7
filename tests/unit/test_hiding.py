"""`hide`: masks over segments become rows of the model, whatever the modality."""

from __future__ import annotations

import numpy as np
import pytest
from tests.answering import instance_of, materialise

from whybox_server.core.errors import InvalidRequest, MethodUnsupported
from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind

Kind = SegmentationKind


BY_DEFAULT = Segmentation(), Baseline()


def hidden(
    instance: Instance, segmentation: Segmentation = BY_DEFAULT[0], baseline: Baseline = BY_DEFAULT[1]
) -> Hiding:
    return hide(instance, segmentation, baseline, np.random.default_rng(0))


def table() -> Instance:
    background = np.array([[1.0, "red", 2], [3.0, "red", 4]], object)
    spec = TabularSpec(("size", "colour", "age"), background)
    arrays = (np.array([5.0], np.float32), np.array(["blue"], object), np.array([9], np.int64))
    return instance_of(Modality.TABULAR, *arrays, details=spec)


def text(value: str = "good, very good", **spec: object) -> Instance:
    return instance_of(Modality.TEXT, np.array([value], object), details=TextSpec(**spec))  # type: ignore[arg-type]


def picture() -> Instance:
    array = np.stack(
        np.meshgrid(np.linspace(0, 1, 24), np.linspace(1, 0, 32), [0.1, 0.5, 1.0], indexing="ij")
    )
    array = array.prod(axis=0).transpose(2, 0, 1).astype(np.float32)  # smooth, and nowhere its own blur
    return instance_of(Modality.IMAGE, array, details=ImageSpec("CHW"))


def series() -> Instance:
    return instance_of(Modality.TIME_SERIES, np.arange(24.0).reshape(12, 2), details=TimeSeriesSpec("TC"))


def tokens() -> Instance:
    instance = instance_of(Modality.TEXT, np.array([5, 6, 5, 0]), details=TextSpec(mask_id=103))
    return Instance({"ids": instance.inputs["x0"], "attention_mask": np.ones(4, np.int64)}, instance.spec)


def tensor() -> Instance:
    return instance_of(Modality.TENSOR, np.arange(1.0, 7).reshape(2, 3), np.array([7.0, 8.0]))


EVERY = [table, text, picture, series, tokens, tensor]


@pytest.mark.parametrize("make", EVERY)
def test_keeping_every_segment_gives_the_instance_back(make):
    """Row of all True: bit for bit, in every input, with its dtype."""
    instance = make()
    parts = hidden(instance)
    found = materialise(parts.rows(np.ones((1, parts.count), bool)), instance)
    for name, array in instance.inputs.items():
        assert found[name].dtype == array.dtype
        assert np.array_equal(found[name][0], array)


@pytest.mark.parametrize("make", [table, picture, series, tokens, tensor])
def test_hiding_one_segment_changes_nothing_outside_of_it(make):
    """`units.segments` is the oracle: what a client draws is what was hidden."""
    instance = make()
    parts = hidden(instance)
    found = materialise(parts.rows(~np.eye(parts.count, dtype=bool)), instance)
    for name, array in instance.inputs.items():
        where = np.broadcast_to(parts.units.segments.get(name, -1), array.shape)
        for segment in range(parts.count):
            changed = found[name][segment] != array
            assert not changed[where != segment].any()


@pytest.mark.parametrize("make", EVERY)
def test_the_instance_itself_is_never_written_to(make):
    """Read-only arrays survive cutting and building."""
    instance = make()
    for array in instance.inputs.values():
        array.flags.writeable = False
    parts = hidden(instance)
    materialise(parts.rows(np.zeros((2, parts.count), bool)), instance)


def test_units_name_every_segment_and_say_where_it_lies():
    """For a picture the labels broadcast to the input's shape and use every number."""
    units = hidden(picture()).units
    labels = np.broadcast_to(units.segments["x0"], units.shape)
    assert units.input == "x0"
    assert units.shape == (3, 24, 32)
    assert set(np.unique(labels)) == set(range(len(units.names)))


def test_a_mixed_table_hides_across_inputs_with_background_values():
    """Numbers become the mean, strings the most frequent, and each lies in its own input."""
    instance = table()
    parts = hidden(instance)
    assert parts.units.names == ("size", "colour", "age")
    found = materialise(parts.rows(np.zeros((1, 3), bool)), instance)
    assert [found[f"x{i}"][0, 0] for i in range(3)] == [2.0, "red", 3]


def test_background_rows_are_taken_as_chosen():
    """Row i takes alternative choice[i]; without a choice the first."""
    instance = table()
    parts = hidden(instance, baseline=Baseline(BaselineKind.BACKGROUND))
    assert parts.backgrounds == 2
    found = materialise(parts.rows(np.zeros((3, 3), bool), np.array([1, 0, 1])), instance)
    assert found["x0"].ravel().tolist() == [3, 1, 3]
    assert materialise(parts.rows(np.zeros((1, 3), bool)), instance)["x2"].ravel().tolist() == [2]


def test_deleted_words_leave_their_separators_and_masked_ones_a_token():
    """The default deletes every occurrence; MASK puts the spec's token; both say so."""
    instance = text(mask_token="[M]")
    masks = np.array([[False, True]])
    deleted = hidden(instance)
    assert materialise(deleted.rows(masks), instance)["x0"].tolist() == [[", very "]]
    assert "deleted" in deleted.baseline
    masked = hidden(instance, baseline=Baseline(BaselineKind.MASK))
    assert materialise(masked.rows(masks), instance)["x0"].tolist() == [["[M], very [M]"]]
    assert "[M]" in masked.baseline
    assert "".join(masked.units.pieces) == "good, very good"


def test_hidden_tokens_leave_padding_and_attention_mask_alone():
    """Everything hidden: only ids that are no padding change."""
    instance = tokens()
    parts = hidden(instance)
    found = materialise(parts.rows(np.zeros((1, parts.count), bool)), instance)
    assert found["ids"].tolist() == [[103, 103, 103, 0]]
    assert found["attention_mask"].tolist() == [[1, 1, 1, 1]]


def test_a_segment_that_equals_the_baseline_is_reported():
    """A flat channel has nothing to hide behind its own mean: never a silent zero."""
    array = np.stack([np.arange(8.0), np.full(8, 5.0)], axis=1)
    instance = instance_of(Modality.TIME_SERIES, array, details=TimeSeriesSpec("TC"))
    (warning,) = hidden(instance, Segmentation(count=2)).warnings
    assert "2 of 4 segments equal the baseline" in warning
    assert "channel 1, steps 0-3" in warning
    assert hidden(picture()).warnings == ()


def test_a_picture_of_one_flat_colour_is_refused_or_reported():
    """Felzenszwalb finds one segment; SLIC cuts squares, and all of them equal their blur."""
    flat = instance_of(Modality.IMAGE, np.full((3, 20, 20), 0.5, np.float32), details=ImageSpec("CHW"))
    with pytest.raises(InvalidRequest, match="use GRID"):
        hidden(flat, Segmentation(Kind.FELZENSZWALB))
    assert "equal the baseline" in hidden(flat, baseline=Baseline(BaselineKind.MEAN)).warnings[0]


@pytest.mark.parametrize(("value", "what"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_an_instance_that_is_not_finite_is_refused_with_its_place(value: float, what: str):
    """Says which input and which index."""
    array = np.zeros((2, 3))
    array[1, 2] = value
    message = rf"instances: instance contains {what} at index \(1, 2\) of input 'x0'"
    with pytest.raises(InvalidRequest, match=message):
        hidden(instance_of(Modality.TENSOR, array))


def test_a_negative_count_is_refused():
    """Zero is the default, so below zero is a mistake."""
    with pytest.raises(InvalidRequest, match=r"segmentation\.count: must be at least 1"):
        hidden(picture(), Segmentation(count=-1))


@pytest.mark.parametrize("kind", [BaselineKind.BLUR, BaselineKind.GIVEN, BaselineKind.PAD])
def test_a_string_takes_only_its_own_baselines(kind: BaselineKind):
    """Blurring a word means nothing."""
    with pytest.raises(
        InvalidRequest, match=rf"baseline\.kind: {kind.name} does not apply to text .*DELETE, MASK"
    ):
        hidden(text(), baseline=Baseline(kind))


def test_a_text_model_with_further_inputs_is_refused():
    """Its rows could not be described; the remedy is another modality."""
    mixed = instance_of(Modality.TEXT, np.array(["a b"], object), np.ones(2), details=TextSpec())
    with pytest.raises(MethodUnsupported, match="one string"):
        hidden(mixed)


@pytest.mark.parametrize("layout", ["CHW", "HWC"])
def test_all_channels_of_a_segment_are_hidden_together(layout: str):
    """A constant baseline shows where: the same pixels in each channel."""
    array: Array = np.ones((3, 16, 16) if layout == "CHW" else (16, 16, 3), np.float32)
    instance = instance_of(Modality.IMAGE, array, details=ImageSpec(layout))
    parts = hidden(instance, Segmentation(Kind.GRID, 4), Baseline(BaselineKind.CONSTANT))
    rows = materialise(parts.rows(np.array([[False, True, True, True]])), instance)["x0"][0]
    shown = np.moveaxis(rows, layout.index("C"), 0)
    assert (shown[:, :8, :8] == 0).all()
    assert shown.sum() == 3 * (256 - 64)
