"""`core.rows`: descriptions become the rows they describe, and equal keys mean equal rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.answering import materialise

from whybox_server.core.instance import Instance
from whybox_server.core.rows import KEY_BYTES, Masked, Part, Rows, Samples, Stacked, Texts, Windows
from whybox_server.core.spec import ModelSpec

SEGMENTS = np.array([0, 0, 1, -1], dtype=np.int32)
INSTANCE = np.array([1.0, 2.0, 3.0, 4.0], dtype=np.float32)
BACKGROUND = np.array([[-1, -2, -3, -4], [-10, -20, -30, -40]], dtype=np.float32)


def masked(masks: list[list[bool]], choice: list[int] | None = None) -> Masked:
    part = Part("x", INSTANCE, BACKGROUND, SEGMENTS)
    return Masked((part,), np.array(masks, bool), None if choice is None else np.array(choice))


def windows() -> Windows:
    boxes = np.array([[0, 0], [0, 2], [3, 4]])
    return Windows("x", INSTANCE, BACKGROUND[0], boxes[:, :1], boxes[:, 1:], {})


def stacked() -> Stacked:
    return Stacked((masked([[True, True], [False, True]]), windows(), masked([[True, False]])))


def built(rows: Rows, at: np.ndarray | None = None) -> np.ndarray:
    return materialise(rows, Instance({"x": INSTANCE}, ModelSpec()), at)["x"]


def test_a_masked_row_keeps_where_the_mask_is_true_and_segment_minus_one_always():
    """Written out by hand, with the second background for the last row."""
    rows = masked([[True, True], [False, True], [False, False]], choice=[1, 0, 1])
    assert built(rows).tolist() == [[1, 2, 3, 4], [-1, -2, 3, 4], [-10, -20, -30, 4]]


def test_an_input_that_is_a_single_number_is_masked_too():
    """Shape () per row: a buffer of shape (n,)."""
    part = Part("x", np.array(3.0), np.array([0.0]), np.array(0, np.int32))
    rows = Masked((part,), np.array([[True], [False]]))
    assert materialise(rows, Instance({"x": np.array(3.0)}, ModelSpec()))["x"].tolist() == [3, 0]


def test_segments_broadcast_over_channels():
    """One label per pixel hides all channels of the pixel."""
    image = np.arange(1, 9, dtype=np.float32).reshape(2, 2, 2)
    part = Part("x", image, np.zeros((1, 2, 2, 2), np.float32), np.array([[[0, 1], [1, 1]]], np.int32))
    rows = Masked((part,), np.array([[False, True]]))
    found = materialise(rows, Instance({"x": image}, ModelSpec()))["x"][0]
    assert found.tolist() == [[[0, 2], [3, 4]], [[0, 6], [7, 8]]]


def test_windows_hide_a_box_and_leave_the_other_inputs_alone():
    """By hand; the first box is empty, the last one is cut at the border."""
    rest = np.array([7, 8], np.int64)
    rows = Windows("x", INSTANCE, BACKGROUND[0], np.array([[0], [1]]), np.array([[0], [3]]), {"y": rest})
    found = materialise(rows, Instance({"x": INSTANCE, "y": rest}, ModelSpec()))
    assert found["x"].tolist() == [[1, 2, 3, 4], [1, -2, -3, 4]]
    assert found["y"].tolist() == [[7, 8], [7, 8]]


def test_texts_cut_out_or_replace_and_keep_separators():
    """By hand: "a" is one segment in two places."""
    pieces, segments = ("a", ", ", "b", " ", "a"), np.array([0, -1, 1, -1, 0], np.int32)
    masks = np.array([[True, True], [False, True], [True, False]])
    deleted = Texts("x", pieces, segments, masks, "")
    assert [deleted.text(i) for i in range(3)] == ["a, b a", ", b ", "a,  a"]
    assert Texts("x", pieces, segments, masks, "[M]").text(1) == "[M], b [M]"


@pytest.mark.parametrize("shape", [(), (1,)])
def test_a_text_is_written_whole_whatever_its_length(shape: tuple[int, ...]):
    """A string longer than every piece survives, in scalar and in one-element inputs."""
    text = "w" * 300
    rows = Texts("x", (text, "!"), np.array([0, -1], np.int32), np.array([[True]]), "")
    instance = Instance({"x": np.full(shape, text, dtype=object)}, ModelSpec())
    assert materialise(rows, instance)["x"].ravel().tolist() == [text + "!"]


def test_samples_of_strings_and_numbers_are_written_and_keyed_together():
    """Two rows that differ in the string only have different keys; equal rows have equal ones."""
    inputs = {"s": np.array([["a"], ["b"], ["a"]], object), "n": np.array([[1.0], [1.0], [1.0]])}
    rows = Samples(inputs)
    first, second, third = rows.keys()
    assert first == third != second
    instance = Instance({"s": np.array(["z"], object), "n": np.array([0.0])}, ModelSpec())
    found = materialise(rows.take(np.array([1, 0])), instance)
    assert found["s"].ravel().tolist() == ["b", "a"]


def test_samples_of_numbers_have_equal_keys_exactly_when_all_their_inputs_are_equal():
    """Inputs of any rank and layout, none at all of a row included; only the last two rows are equal."""
    grid = np.arange(16.0).reshape(4, 2, 2)
    grid[3] = grid[2]
    flags = np.array([True, False, False, False])
    inputs = {"a": grid, "b": flags, "c": np.zeros((4, 0)), "d": np.asfortranarray(grid[:, 0])}
    first, second, third, fourth = Samples(inputs).keys()
    assert len({first, second, third}) == 3
    assert third == fourth
    assert all(len(key) == KEY_BYTES for key in (first, second, third))
    assert Samples(inputs).take(np.array([3, 0])).keys() == [fourth, first]
    assert Samples({"a": grid[:0]}).keys() == []


def test_sample_keys_do_not_mix_up_which_input_a_number_belongs_to():
    """The same bytes in a row, cut elsewhere, read as another type or under another name: other rows."""
    one = np.arange(3, dtype=np.float32)[None]
    ways = [
        {"a": one[:, :2], "b": one[:, 2:]},
        {"a": one[:, :1], "b": one[:, 1:]},
        {"a": one},
        {"b": one},
        {"a": one.view(np.int32)},
        {"a": one[:, None]},
    ]
    assert len({Samples(way).keys()[0] for way in ways}) == len(ways)


@pytest.mark.parametrize(
    "make", [lambda: masked([[True, True], [False, True], [True, True]]), windows, stacked]
)
def test_taking_rows_is_taking_their_keys_and_their_values(make):
    """take, keys and write commute, in any order and with repetition."""
    rows = make()
    at = np.array([2, 0, 2, 1])
    assert rows.take(at).keys() == [rows.keys()[i] for i in at]
    assert np.array_equal(built(rows.take(at)), built(rows)[at])
    assert np.array_equal(built(rows, at), built(rows)[at])
    assert len(rows.take(at)) == len(at)


def test_stacked_rows_are_their_blocks_one_after_the_other():
    """Concatenation is the oracle, also for indices that jump between blocks."""
    rows = stacked()
    whole = np.concatenate([built(block) for block in rows.blocks])
    assert len(rows) == len(whole) == 6
    assert np.array_equal(built(rows), whole)
    jumping = np.array([5, 0, 3, 3, 1, 4])
    assert np.array_equal(built(rows.take(jumping)), whole[jumping])


@given(st.lists(st.lists(st.booleans(), min_size=9, max_size=9), min_size=1, max_size=20))
def test_masked_rows_have_equal_keys_exactly_when_their_masks_are_equal(masks: list[list[bool]]):
    """Set of keys against set of masks, with more segments than bits in a byte."""
    part = Part("x", np.arange(9.0), np.zeros((1, 9)), np.arange(9, dtype=np.int32))
    keys = Masked((part,), np.array(masks)).keys()
    assert all(len(key) == KEY_BYTES for key in keys)
    pairs = set(zip(keys, map(tuple, masks), strict=True))
    assert len(pairs) == len(set(keys)) == len(set(map(tuple, masks)))


def test_a_row_that_hides_nothing_has_one_key_whatever_background_it_drew():
    """The instance is asked once, not once per background."""
    keys = masked([[True, True], [True, True], [False, True], [False, True]], choice=[0, 1, 0, 1]).keys()
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


@pytest.mark.parametrize(
    "other",
    [
        Part("y", INSTANCE, BACKGROUND, SEGMENTS),
        Part("x", INSTANCE + 1, BACKGROUND, SEGMENTS),
        Part("x", INSTANCE, BACKGROUND + 1, SEGMENTS),
        Part("x", INSTANCE, BACKGROUND, SEGMENTS[::-1]),
        Part("x", INSTANCE.astype(np.float64), BACKGROUND, SEGMENTS),
    ],
    ids=["name", "instance", "background", "segments", "dtype"],
)
def test_a_key_depends_on_everything_that_a_masked_row_is_made_of(other: Part):
    """Changing any ingredient changes the key of the same mask."""
    mask = np.array([[False, True]])
    part = Part("x", INSTANCE, BACKGROUND, SEGMENTS)
    assert Masked((other,), mask).keys() != Masked((part,), mask).keys()


def test_window_keys_depend_on_box_background_and_the_other_inputs():
    """Four rows that differ in one ingredient each."""
    low, high = np.array([[0]]), np.array([[2]])
    found = {
        Windows("x", INSTANCE, BACKGROUND[0], low, high, {}).keys()[0],
        Windows("x", INSTANCE, BACKGROUND[0], low, high + 1, {}).keys()[0],
        Windows("x", INSTANCE, BACKGROUND[1], low, high, {}).keys()[0],
        Windows("x", INSTANCE, BACKGROUND[0], low, high, {"y": INSTANCE}).keys()[0],
    }
    assert len(found) == 4


def test_text_keys_do_not_mix_up_where_pieces_are_cut():
    """("ab", "c") and ("a", "bc") join to the same text and are other rows when something is hidden."""
    segments, mask = np.array([0, 1], np.int32), np.array([[True, False]])
    assert (
        Texts("x", ("ab", "c"), segments, mask, "").keys()
        != Texts("x", ("a", "bc"), segments, mask, "").keys()
    )


def test_writing_fills_only_the_rows_asked_for():
    """A buffer that is longer than the batch keeps what it held."""
    buffer = np.full((4, 4), 99, np.float32)
    windows().write(np.array([1, 2]), {"x": buffer})
    assert buffer[2:].tolist() == [[99] * 4] * 2
    assert buffer[0].tolist() == [-1, -2, 3, 4]
