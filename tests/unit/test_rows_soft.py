"""Soft masks and patches: what is written, and that equal digests mean equal rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from skimage.transform import resize
from tests.answering import materialise
from tests.oracles.rise import enlarged

from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows
from whybox_server.core.rows_soft import Patched, Soft, bilinear
from whybox_server.core.spec import ModelSpec

RNG = np.random.default_rng(0)
GRIDS = RNG.random((5, 3, 2)).astype(np.float32)
SHIFTS = RNG.integers(0, 4, size=(5, 2))
SHAPES = {"CHW": ((3, 9, 8), (1, 2)), "HWC": ((9, 8, 3), (0, 1)), "HW": ((9, 8), (0, 1))}


def soft(layout: str = "CHW", dtype: type = np.float64) -> Soft:
    shape, places = SHAPES[layout]
    rng = np.random.default_rng(1)
    instance, background = rng.random(shape), rng.random((2, *shape))
    matrices = (bilinear(9, 3, 5), bilinear(8, 2, 4))
    return Soft(
        "x",
        instance.astype(dtype),
        background.astype(dtype),
        places,
        matrices,
        GRIDS,
        SHIFTS,
        np.arange(5) % 2,
    )


def built(rows: Rows, instance: Array, at: Array | None = None) -> Array:
    return materialise(rows, Instance({"x": instance}, ModelSpec()), at)["x"]


@pytest.mark.parametrize("layout", SHAPES)
def test_a_row_is_the_blend_that_its_mask_says(layout):
    """Against a mask interpolated pixel by pixel, cut out at its shift; single precision of the mask."""
    rows = soft(layout)
    found = built(rows, rows.instance)
    for i, (grid, (down, right)) in enumerate(zip(GRIDS, SHIFTS, strict=True)):
        mask = enlarged(grid, 14, 12)[down : down + 9, right : right + 8]
        whole = {"CHW": mask[None], "HWC": mask[..., None], "HW": mask}[layout]
        expected = rows.instance * whole + rows.background[i % 2] * (1 - whole)
        assert np.allclose(found[i], expected, atol=1e-6)


def test_a_full_mask_is_the_instance_and_an_empty_one_the_background_bit_for_bit():
    """x 1 + b 0 and x 0 + b 1 are exact."""
    rows = replace(
        soft(), grids=np.array([np.ones((3, 2)), np.zeros((3, 2))], bool), shifts=None, choice=None
    )
    found = built(rows, rows.instance)
    assert np.array_equal(found[0], rows.instance)
    assert np.array_equal(found[1], rows.background[0])


@pytest.mark.parametrize(
    ("dtype", "big"), [(np.uint8, 255), (np.int64, 10**7 + 1), (np.float16, 100), (np.float32, 1)]
)
def test_rows_are_in_the_models_dtype_and_whole_numbers_are_rounded(dtype, big):
    """Half of `big` and half of 0, rounded to even; no dtype loses digits of the instance."""
    instance = np.full((4,), big, dtype)
    grids = np.array([[0.5], [1.0]], np.float32)
    rows = Soft("x", instance, np.zeros((1, 4), dtype), (0,), (np.ones((4, 1), np.float32),), grids)
    found = built(rows, instance)
    assert found.dtype == dtype
    half = np.rint(big / 2) if np.dtype(dtype).kind in "iu" else big / 2
    assert found[0].tolist() == [half] * 4
    assert np.array_equal(found[1], instance)


def test_rows_taken_are_the_rows_themselves_with_their_own_digests():
    """Pixels and digests of a shuffled selection, with repetitions."""
    rows, at = soft(), np.array([3, 0, 3, 4])
    assert np.array_equal(built(rows.take(at), rows.instance), built(rows, rows.instance, at))
    assert rows.take(at).keys() == [rows.keys()[i] for i in at]


def test_whatever_changes_a_row_changes_its_digest():
    """Grid, shift, background taken, instance, backgrounds, matrices, places, other inputs."""
    rows = soft("HW")
    others = [
        replace(rows, grids=1 - rows.grids),
        replace(rows, shifts=rows.shifts + 1),
        replace(rows, choice=1 - rows.choice),
        replace(rows, instance=rows.instance + 1),
        replace(rows, background=rows.background + 1),
        replace(rows, enlarge=(rows.enlarge[0] * 0.5, rows.enlarge[1])),
        replace(rows, places=(1, 0)),
        replace(rows, rest={"y": np.zeros(1)}),
        replace(rows, name="y"),
    ]
    for i in range(len(rows)):
        assert len({keys[i] for keys in [rows.keys(), *(one.keys() for one in others)]}) == 1 + len(others)
    assert len(set(rows.keys())) == len(rows)


def test_no_shift_and_no_choice_are_zeros():
    """The same rows have the same digests however they are described."""
    rows = soft()
    plain = replace(rows, shifts=None, choice=None)
    spelt = replace(rows, shifts=np.zeros_like(rows.shifts), choice=np.zeros(len(rows), np.int64))
    assert plain.keys() == spelt.keys()
    assert np.array_equal(built(plain, rows.instance), built(spelt, rows.instance))


@pytest.mark.parametrize(("length", "cells", "extra"), [(9, 3, 3), (224, 7, 32), (5, 5, 0), (6, 1, 2)])
def test_enlarging_is_what_scikit_image_does(length, cells, extra):
    """Linear interpolation of scikit-image with its borders repeated, in single precision."""
    line = np.random.default_rng(2).random(cells)
    expected = resize(line[None], (1, length + extra), order=1, mode="edge", anti_aliasing=False)[0]
    found = bilinear(length, cells, extra)
    assert np.allclose(found @ line, expected, atol=1e-6)
    assert np.allclose(found.sum(axis=1), 1)


def patched() -> Patched:
    instance = np.arange(12.0).reshape(3, 4)
    values = np.array([[[50.0, 51]], [[60, 61]], [[50, 51]]])
    return Patched("x", instance, np.array([[0, 0], [2, 2], [1, 1]]), values, {"y": np.array([7.0])})


def test_a_patch_is_put_where_it_belongs_and_nothing_else_changes():
    """Box of 1 x 2 at its corner; the other input is the instance's."""
    rows = patched()
    found = materialise(
        rows, Instance({"x": rows.instance, "y": rows.rest["y"]}, ModelSpec()), np.array([1, 0])
    )
    expected = rows.instance.copy()
    expected[2, 2:4] = [60, 61]
    assert np.array_equal(found["x"][0], expected)
    assert found["y"].tolist() == [[7], [7]]


def test_patches_have_the_digests_of_their_values_and_places():
    """Two of equal values at different places differ; taking keeps digests; all it depends on counts."""
    rows = patched()
    assert len(set(rows.keys())) == 3
    assert rows.take(np.array([2, 0])).keys() == [rows.keys()[2], rows.keys()[0]]
    for other in (
        replace(rows, instance=rows.instance + 1),
        replace(rows, values=rows.values + 1),
        replace(rows, starts=rows.starts + [[0, 1], [0, -1], [-1, 0]]),
        replace(rows, rest={"y": np.array([8.0])}),
    ):
        assert not set(other.keys()) & set(rows.keys())


def test_patches_of_words_have_the_digests_of_their_words():
    """Objects are told apart by what they say, not by where they lie in memory."""
    words = np.array([["ab"], ["".join(["a", "b"])], ["b"]], object)
    rows = Patched("x", np.array(["z", "y"], object), np.zeros((3, 1), int), words, {})
    first, second, third = rows.keys()
    assert first == second != third
