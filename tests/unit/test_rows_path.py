"""Rows on ways and rows with noise: what is written, and that equal digests mean equal rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.answering import materialise

from whybox_server.core.instance import Instance
from whybox_server.core.rows import Array, Rows
from whybox_server.core.rows_path import Along, Noisy, noise
from whybox_server.core.spec import ModelSpec

SHAPE = (3, 4)
OTHER = np.arange(2)


def along(dtype: type = np.float64, n: int = 7) -> Along:
    rng = np.random.default_rng(0)
    starts, end = rng.normal(size=(2, *SHAPE)), rng.normal(size=SHAPE)
    choice = np.arange(n) % 2
    return Along("x", starts.astype(dtype), end.astype(dtype), np.linspace(0, 1, n), {"y": OTHER}, choice)


def noisy(n: int = 7) -> Noisy:
    return Noisy(along(n=n), "x", np.array([[0.5], [1.0], [2.0]]), np.linspace(0, 2, n), np.arange(n) + 3)


def built(rows: Rows, like: Array, at: Array | None = None) -> dict[str, Array]:
    return materialise(rows, Instance({"x": like, "y": OTHER}, ModelSpec()), at)


def test_a_row_lies_where_its_number_says():
    """b + a (x - b), written out; the other input is the instance's in every row."""
    rows = along()
    found = built(rows, rows.end)
    for i, alpha in enumerate(rows.alphas):
        start = rows.starts[i % 2]
        assert np.allclose(found["x"][i], start + alpha * (rows.end - start), rtol=1e-14)
        assert np.array_equal(found["y"][i], OTHER)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_ends_of_a_way_are_exact_and_rows_have_the_models_dtype(dtype):
    """Bit for bit: a sum that rounds would miss the instance by its last digit."""
    rows = replace(along(dtype), alphas=np.array([0.0, 0.3, 1.0]), choice=np.array([1, 0, 1]))
    found = built(rows, rows.end)["x"]
    assert found.dtype == dtype
    assert np.array_equal(found[0], rows.starts[1])
    assert np.array_equal(found[2], rows.end)
    expected = 0.7 * rows.starts[0].astype(float) + 0.3 * rows.end.astype(float)
    assert np.allclose(found[1], expected, rtol=4 * np.finfo(dtype).eps, atol=2 * np.finfo(dtype).eps)


@pytest.mark.parametrize("rows", [along(), noisy()], ids=["along", "noisy"])
def test_some_rows_are_those_rows(rows):
    """Keys and values of any choice, in any order, whether taken first or written so."""
    at = np.array([5, 0, 3, 3])
    taken, whole = rows.take(at), built(rows, np.zeros(SHAPE))["x"]
    assert taken.keys() == [rows.keys()[i] for i in at]
    assert np.array_equal(built(taken, np.zeros(SHAPE))["x"], whole[at])
    assert np.array_equal(built(rows, np.zeros(SHAPE), at)["x"], whole[at])


@pytest.mark.parametrize("rows", [along(), noisy()], ids=["along", "noisy"])
def test_different_rows_have_different_keys_and_equal_ones_equal(rows):
    """All rows of a description differ; a second description of the same recipe has the same keys."""
    assert len(set(rows.keys())) == len(rows)
    again = along() if isinstance(rows, Along) else noisy()
    assert again.keys() == rows.keys()


@pytest.mark.parametrize(
    "change",
    [
        {"name": "z"},
        {"starts": along().starts + 1},
        {"end": along().end + 1},
        {"alphas": along().alphas / 2 + 0.1},
        {"rest": {"y": OTHER + 1}},
        {"choice": 1 - along().choice},
    ],
    ids=lambda change: next(iter(change)),
)
def test_whatever_changes_a_way_changes_its_keys(change):
    """But at alpha 1, where all ways end at the same row."""
    before, after = along().keys(), replace(along(), **change).keys()
    same = [a == b for a, b in zip(before, after, strict=True)]
    assert same == [False] * 6 + [next(iter(change)) == "choice"]


@pytest.mark.parametrize(
    "change", [{"scale": np.ones(1)}, {"seeds": np.arange(7)}, {"factors": np.full(7, 3.0)}]
)
def test_whatever_changes_the_noise_changes_the_keys(change):
    """Row by row."""
    pairs = zip(noisy().keys(), replace(noisy(), **change).keys(), strict=True)
    assert not any(a == b for a, b in pairs)


def test_noise_is_normal_scaled_and_told_by_its_seed():
    """Row by row: the way's row plus factor x scale x the seed's draws; mean 0 and deviation 1 of 10^5."""
    rows = noisy()
    found, plain = built(rows, np.zeros(SHAPE))["x"], built(rows.rows, np.zeros(SHAPE))["x"]
    assert np.array_equal(found[0], plain[0])
    for i in range(1, len(rows)):
        added = rows.factors[i] * rows.scale * noise(int(rows.seeds[i]), SHAPE)
        assert np.allclose(found[i], plain[i] + added, rtol=1e-12)
    many = noise(1, (100_000,))
    assert abs(many.mean()) < 5 / np.sqrt(many.size)
    assert abs(many.std() - 1) < 5 / np.sqrt(2 * many.size)
