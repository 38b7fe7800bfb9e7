"""Cutting instances: superpixels, grids, spans of time, words, columns, and the caller's own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.answering import instance_of

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.rows import Array
from whybox_server.core.spec import ImageSpec, Modality, TabularSpec, TextSpec, TimeSeriesSpec
from whybox_server.perturb.cut import cut_instance
from whybox_server.perturb.layout import axes_of
from whybox_server.perturb.options import Segmentation, SegmentationKind
from whybox_server.perturb.picture import displayed
from whybox_server.perturb.segments import contiguous
from whybox_server.perturb.words import cut_text

Kind = SegmentationKind


def four_squares(size: int = 40) -> Array:
    """A picture of four flat quarters, (size, size, 3) in [0, 1]."""
    picture = np.zeros((size, size, 3))
    half = size // 2
    picture[:half, half:], picture[half:, :half], picture[half:, half:] = (1, 0, 0), (0, 1, 0), (0, 0, 1)
    return picture


def labels_of(array: Array, layout: str, segmentation: Segmentation, **details: object) -> Array:
    instance = instance_of(Modality.IMAGE, array, details=ImageSpec(layout, **details))  # type: ignore[arg-type]
    return cut_instance(instance, segmentation).segments["x0"]


@pytest.mark.parametrize("kind", [Kind.SLIC, Kind.QUICKSHIFT, Kind.FELZENSZWALB, Kind.GRID])
def test_superpixels_do_not_cross_the_borders_of_flat_quarters(kind: Kind):
    """Four colours far apart: no segment has two of them, labels are 0, 1, ... without a gap."""
    picture = four_squares()
    labels = labels_of(picture, "HWC", Segmentation(kind, count=16))
    assert labels.shape == (40, 40, 1)
    assert labels.dtype == np.int32
    found = np.unique(labels)
    assert np.array_equal(found, np.arange(len(found)))
    for segment in found:
        assert len(np.unique(picture[labels[..., 0] == segment], axis=0)) == 1


@pytest.mark.parametrize("kind", [Kind.SLIC, Kind.GRID])
def test_the_layout_changes_nothing_but_the_axis_of_the_channel(kind: Kind):
    """CHW and HWC of one picture have the same labels."""
    picture = four_squares()
    last = labels_of(picture, "HWC", Segmentation(kind))
    first = labels_of(np.moveaxis(picture, -1, 0), "CHW", Segmentation(kind))
    assert first.shape == (1, 40, 40)
    assert np.array_equal(first[0], last[..., 0])


def test_superpixels_are_sought_in_the_displayed_picture_not_in_the_normalised_one():
    """Undoing mean, std, black and white gives the picture back, and so the very same labels."""
    rng = np.random.default_rng(0)
    picture = np.clip(four_squares() + 0.05 * rng.random((40, 40, 3)), 0, 1)
    mean, std = (120.0, 110.0, 100.0), (60.0, 5.0, 70.0)
    model_input = (255 * picture - mean) / std
    spec = ImageSpec("HWC", 0.0, 255.0, mean, std)
    axes = axes_of(instance_of(Modality.IMAGE, model_input, details=spec).spec, model_input.shape)
    assert np.allclose(displayed(model_input, axes, spec), picture, atol=1e-12)
    plain = labels_of(picture, "HWC", Segmentation())
    normalised = labels_of(model_input, "HWC", Segmentation(), white=255.0, mean=mean, std=std)
    assert np.array_equal(plain, normalised)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_any_number_of_channels_can_be_displayed(channels: int):
    """Three channels come out, within [0, 1]; all but three and four are grey."""
    array = np.random.default_rng(0).normal(size=(channels, 6, 5))
    spec = ImageSpec("CHW")
    shown = displayed(
        array, axes_of(instance_of(Modality.IMAGE, array, details=spec).spec, array.shape), spec
    )
    assert shown.shape == (6, 5, 3)
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert (channels in (3, 4)) != bool(np.all(shown == shown[..., :1]))


def test_a_grey_picture_without_a_channel_axis_is_cut_too():
    """Layout HW: labels have the instance's own shape."""
    assert labels_of(four_squares()[..., 0], "HW", Segmentation(count=4)).shape == (40, 40)


@pytest.mark.parametrize(("height", "width", "count"), [(28, 28, 49), (10, 30, 3), (1, 7, 50), (5, 5, 1)])
def test_a_grid_has_about_the_asked_number_of_nearly_equal_rectangles(height: int, width: int, count: int):
    """Sides of the rectangles differ by at most one, and there are never more than positions."""
    labels = labels_of(np.zeros((height, width)), "HW", Segmentation(Kind.GRID, count))
    made = labels.max() + 1
    assert np.array_equal(np.unique(labels), np.arange(made))
    assert made == min(count, height * width)
    boxes = [np.argwhere(labels == i) for i in range(made)]
    sides = np.array([box.max(axis=0) - box.min(axis=0) + 1 for box in boxes])
    assert all(len(box) == side.prod() for box, side in zip(boxes, sides, strict=True))
    assert np.ptp(sides, axis=0).max() <= 1


@pytest.mark.parametrize("kind", [Kind.QUICKSHIFT, Kind.FELZENSZWALB])
def test_a_picture_of_one_segment_is_refused_with_a_remedy(kind: Kind):
    """A tiny flat picture has nothing to compare."""
    with pytest.raises(InvalidRequest, match=r"segmentation\.kind: .* one segment only .* use GRID"):
        labels_of(np.full((8, 8, 3), 0.5), "HWC", Segmentation(kind))


def test_windows_of_time_lie_in_one_channel_each_and_are_named():
    """(time, channel) of (5, 2), two spans: four segments, channel by channel."""
    spec = TimeSeriesSpec("TC", ("up", "down"))
    cut = cut_instance(
        instance_of(Modality.TIME_SERIES, np.zeros((5, 2)), details=spec), Segmentation(count=2)
    )
    assert cut.segments["x0"].tolist() == [[0, 2], [0, 2], [0, 2], [1, 3], [1, 3]]
    assert cut.names == ("up, steps 0-2", "up, steps 3-4", "down, steps 0-2", "down, steps 3-4")


def test_windows_of_a_series_with_the_channel_first_are_the_transposed_ones():
    """(channel, time) of (2, 3), one span: a segment per channel."""
    instance = instance_of(Modality.TIME_SERIES, np.zeros((2, 3)), details=TimeSeriesSpec("CT"))
    assert cut_instance(instance, Segmentation(count=1)).segments["x0"].tolist() == [[0] * 3, [1] * 3]


@pytest.mark.parametrize(("layout", "shape"), [("TC", (6, 2)), ("CT", (2, 6)), ("T", (6,))])
def test_series_layouts_agree(layout: str, shape: tuple[int, ...]):
    """Moving the channel's axis moves it in the labels; all channels at once needs no channel."""
    instance = instance_of(Modality.TIME_SERIES, np.zeros(shape), details=TimeSeriesSpec(layout))
    spans = cut_instance(instance, Segmentation(count=3, all_channels=True)).segments["x0"]
    assert np.broadcast_to(spans, shape).reshape(shape).max() == 2
    along_time = np.moveaxis(np.broadcast_to(spans, shape), layout.index("T"), 0)
    assert [set(step.ravel().tolist()) for step in along_time] == [{0}, {0}, {1}, {1}, {2}, {2}]


def test_there_are_never_more_windows_than_steps():
    """Twenty is the default; a series of one step has one segment."""
    one = instance_of(Modality.TIME_SERIES, np.zeros((1,)), details=TimeSeriesSpec("T"))
    assert cut_instance(one, Segmentation()).names == ("step 0",)
    long = instance_of(Modality.TIME_SERIES, np.zeros((100,)), details=TimeSeriesSpec("T"))
    assert len(cut_instance(long, Segmentation()).names) == 20


def test_elements_of_a_series_are_named_in_the_order_of_their_numbers():
    """Element [c, t] of a CT series is called so."""
    instance = instance_of(Modality.TIME_SERIES, np.zeros((2, 3)), details=TimeSeriesSpec("CT"))
    cut = cut_instance(instance, Segmentation(Kind.ELEMENTS))
    labels = cut.segments["x0"]
    assert cut.names[labels[0, 2]] == "channel 0, step 2"
    assert cut.names[labels[1, 0]] == "channel 1, step 0"


def test_a_given_segmentation_is_renumbered_and_negatives_stay_out():
    """Numbers 7 and 3 become 1 and 0, in the caller's order of size; names keep the numbers."""
    given_labels = np.array([[7, 7], [3, -5]])
    instance = instance_of(Modality.IMAGE, np.zeros((2, 2, 3)), details=ImageSpec("HWC"))
    cut = cut_instance(instance, Segmentation(Kind.GIVEN, given=given_labels))
    assert cut.segments["x0"][..., 0].tolist() == [[1, 1], [0, -1]]
    assert cut.names == ("segment 3", "segment 7")


@given(st.lists(st.integers(-3, 6), min_size=1, max_size=30))
def test_renumbering_keeps_who_is_with_whom(labels: list[int]):
    """Two positions share a new label exactly when they shared an old one, negatives all together."""
    fresh, olds = contiguous(np.array(labels))
    for old, new in zip(labels, fresh.tolist(), strict=True):
        assert new == -1 if old < 0 else olds[new] == old


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs an integer per position"),
        (np.zeros((2, 2)), "segments are integers"),
        (np.zeros((3, 5), int), "does not broadcast"),
        (np.full((2, 2), -1), "nothing can be hidden"),
    ],
)
def test_a_wrong_given_segmentation_names_its_field(labels: Array | None, message: str):
    """Missing, fractional, of another shape, all negative."""
    instance = instance_of(Modality.IMAGE, np.zeros((2, 2, 3)), details=ImageSpec("HWC"))
    with pytest.raises(InvalidRequest, match=rf"segmentation\.given: .*{message}"):
        cut_instance(instance, Segmentation(Kind.GIVEN, given=labels))


@pytest.mark.parametrize(
    ("modality", "array", "details", "kind"),
    [
        (Modality.IMAGE, np.zeros((4, 4)), ImageSpec("HW"), Kind.WORDS),
        (Modality.TIME_SERIES, np.zeros(4), TimeSeriesSpec("T"), Kind.SLIC),
        (Modality.TABULAR, np.zeros(4), TabularSpec(), Kind.GRID),
        (Modality.TENSOR, np.zeros(4), None, Kind.WINDOWS),
        (Modality.TEXT, np.array([3, 4]), TextSpec(), Kind.CHARACTERS),
    ],
)
def test_a_kind_of_another_modality_is_refused(modality: Modality, array: Array, details: object, kind: Kind):
    """The message lists what applies."""
    with pytest.raises(InvalidRequest, match=r"segmentation\.kind: .*does not apply to .*; use "):
        cut_instance(instance_of(modality, array, details=details), Segmentation(kind))


def test_too_many_segments_are_refused_before_anything_is_built():
    """Every value of a photograph alone would need masks of gigabytes."""
    with pytest.raises(InvalidRequest, match=r"segmentation\.kind: 150528 segments"):
        labels_of(np.zeros((3, 224, 224), np.float32), "CHW", Segmentation(Kind.ELEMENTS))


def test_a_layout_of_another_rank_is_refused():
    """The message names the field of the spec."""
    with pytest.raises(InvalidRequest, match=r"spec\.image\.layout: 'CHW' does not describe"):
        labels_of(np.zeros((4, 4)), "CHW", Segmentation())


def test_columns_are_numbered_on_across_inputs():
    """One input per column, one of them a string: names and numbers follow the inputs' order."""
    spec = TabularSpec(("age", "colour", "height"))
    arrays = (np.array([3], np.int64), np.array(["red"], object), np.array([1.8], np.float32))
    cut = cut_instance(instance_of(Modality.TABULAR, *arrays, details=spec), Segmentation())
    assert [cut.segments[f"x{i}"].tolist() for i in range(3)] == [[0], [1], [2]]
    assert cut.names == ("age", "colour", "height")


def test_groups_of_columns_are_named_by_their_columns():
    """A one-hot group moves together; a group of more than three is named by its number."""
    spec = TabularSpec(("a", "b", "c", "d", "e", "f"))
    labels = np.array([4, 4, -1, 9, 9, 9])
    cut = cut_instance(
        instance_of(Modality.TABULAR, np.zeros(6), details=spec), Segmentation(Kind.GIVEN, given=labels)
    )
    assert cut.segments["x0"].tolist() == [0, 0, -1, 1, 1, 1]
    assert cut.names == ("a, b", "d, e, f")


def test_a_wrong_number_of_feature_names_is_refused():
    """Two names for three columns."""
    with pytest.raises(InvalidRequest, match=r"spec\.tabular\.feature_names: 2 names for 3 columns"):
        cut_instance(
            instance_of(Modality.TABULAR, np.zeros(3), details=TabularSpec(("a", "b"))), Segmentation()
        )


def test_distinct_words_are_one_segment_each_and_join_to_the_text():
    """All occurrences together; punctuation and blanks belong to no segment."""
    text = "Not bad, not BAD: bad!"
    cut = cut_text(text, None)
    assert "".join(cut.pieces) == text
    assert cut.names == ("Not", "bad", "not", "BAD")
    assert [n for n in cut.segments.tolist() if n >= 0] == [0, 1, 2, 3, 1]


def test_positions_tell_occurrences_apart_and_characters_take_everything():
    """Names stay unique; each character, blanks too, is a segment."""
    assert cut_text("no no", Kind.POSITIONS).names == ("no", "no (2)")
    assert cut_text("a b", Kind.CHARACTERS).names == ("a", " ", "b")


@given(st.text(alphabet=st.characters(exclude_categories=("Cs",)), max_size=40))
def test_the_pieces_of_any_text_join_to_it(text: str):
    """Whatever the script, nothing is lost; texts without words are refused in words."""
    if not any(letter.isalnum() or letter == "_" for letter in text):
        with pytest.raises(InvalidRequest, match="instances: the text"):
            cut_text(text, None)
        return
    cut = cut_text(text, None)
    assert "".join(cut.pieces) == text
    assert set(cut.segments.tolist()) - {-1} == set(range(len(cut.names)))


@pytest.mark.parametrize(
    ("text", "message"), [("", "is empty"), ("  \n", "is empty"), ("?!", "only punctuation")]
)
def test_a_text_without_words_is_refused(text: str, message: str):
    """Both messages say what to give instead."""
    with pytest.raises(InvalidRequest, match=message):
        cut_text(text, None)


def test_token_ids_are_cut_without_their_padding_and_without_the_attention_mask():
    """Distinct ids by default, positions on request; the mask input has as many elements and is kept."""
    ids = np.array([5, 9, 5, 0])
    instance = instance_of(Modality.TEXT, ids, details=TextSpec())
    named = type(instance)({"attention_mask": np.ones(4, int), "input_ids": ids}, instance.spec)
    distinct = cut_instance(named, Segmentation())
    assert list(distinct.segments) == ["input_ids"]
    assert distinct.segments["input_ids"].tolist() == [0, 1, 0, -1]
    assert cut_instance(named, Segmentation(Kind.POSITIONS)).segments["input_ids"].tolist() == [0, 1, 2, -1]
