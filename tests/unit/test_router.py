"""Queries find the model they are about, and a further model is asked under its own input's name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from tests.models.graph import FLOAT, INT64, model, node

from whybox_server.core.errors import InvalidRequest, WhyboxError
from whybox_server.core.probe import Probe
from whybox_server.core.query import Query, Reply, Want
from whybox_server.core.rows import Array, Samples
from whybox_server.core.rows_probed import SEED
from whybox_server.engine.router import AS_VALUES, Other, Renamed, Router, Seeding, route_to
from whybox_server.serving.lane import Mode, Slice
from whybox_server.serving.onnx.load import load
from whybox_server.serving.onnx.model import OnnxModel

ROW = {"x": np.array([0.5, -1.0, 2.0], np.float32)}


def squashing(kind: int = FLOAT, dims: tuple[int | str, ...] = ("n", 3), name: str = "seen") -> OnnxModel:
    """A model whose output is the Sigmoid of its input, which a classifier's would be cut off from."""
    cast = node("Cast", name, "float", to=FLOAT)
    squashed = node("Sigmoid", "float", "squashed")
    return load(model([cast, squashed], {name: (kind, dims)}, {"squashed": (FLOAT, dims)}, {}), AS_VALUES)


@pytest.fixture
def other() -> Iterator[Other]:
    made = squashing()
    yield Other("cem.autoencoder", "models/usual", made)
    made.close()


class Noting:
    """Notes the inputs' names and answers with its own number."""

    def __init__(self, number: float) -> None:
        self.number = number
        self.heard: list[Array] = []

    async def predict(self, query: Query) -> Reply:
        out = {name: np.empty((len(query.rows), 3), np.float32) for name in ("x", "seen")}
        query.rows.write(np.arange(len(query.rows)), out)
        self.heard.append(out["seen" if self.number else "x"])
        return Reply(np.full((len(query.rows), 1), self.number))


async def test_a_query_goes_to_its_own_model() -> None:
    """By name; the further model's rows are written under its own input's name."""
    first, second = Noting(0.0), Noting(1.0)
    known = {"": (first, {}), "models/usual": (second, {"x": "seen"})}
    opened = []

    async def opening(query: Query) -> tuple[Noting, dict[str, str]]:
        opened.append((query.model, query.want))
        return known[query.model]

    router = Router(opening)
    rows = Samples({"x": ROW["x"][None]})
    assert (await router.predict(Query(rows))).scores == 0.0
    assert (await router.predict(Query(rows, model="models/usual"))).scores == 1.0
    assert [heard.tolist() for heard in (*first.heard, *second.heard)] == [[ROW["x"].tolist()]] * 2
    await router.predict(Query(rows))
    await router.predict(Query(rows, Want.VALUES, probe=Probe(at="h")))
    await router.predict(Query(rows, Want.VALUES, probe=Probe(at="h")))
    await router.predict(Query(rows, Want.VALUES, probe=Probe(at="g")))
    scores, values = ("", Want.SCORES), ("", Want.VALUES)
    assert opened == [scores, ("models/usual", Want.SCORES), values, values], "once per model and place"


async def test_each_row_carries_the_target_that_is_led_back() -> None:
    """A seed of one 1 per row beside the instance's own inputs; the targets are part of a row's identity."""
    heard: list[Query] = []

    class Deaf:
        async def predict(self, query: Query) -> Reply:
            heard.append(query)
            return Reply(np.zeros((len(query.rows), 2)))

    rows = Samples({"x": np.zeros((3, 2), np.float32)})
    seeding = Seeding(Deaf())
    await seeding.predict(Query(rows))
    await seeding.predict(Query(rows, Want.GRADIENT, np.array([1, 0, 1])))
    plain, seeded = heard
    assert plain.rows is rows
    out = {"x": np.ones((3, 2), np.float32), SEED: np.full((3, 2), 9.0)}
    seeded.rows.write(np.arange(3), out)
    assert out[SEED].tolist() == [[0, 1], [1, 0], [0, 1]]
    assert not out["x"].any()
    first, second, third = seeded.rows.keys()
    assert first == third != second
    with pytest.raises(WhyboxError, match="no target"):
        await seeding.predict(Query(rows, Want.GRADIENT))


def test_renamed_rows_are_the_same_rows() -> None:
    """Same digests, and taken rows are renamed, too."""
    rows = Samples({"x": np.arange(6, dtype=np.float32).reshape(2, 3)})
    renamed = Renamed(rows, {"x": "seen"})
    assert len(renamed) == 2
    assert renamed.keys() == rows.keys()
    out = {"seen": np.empty((1, 3))}
    renamed.take(np.array([1])).write(np.array([0]), out)
    assert out["seen"].tolist() == [[3.0, 4.0, 5.0]]


@pytest.mark.parametrize("mode", Mode)
def test_a_further_model_is_read_as_it_is(other: Other, mode: Mode) -> None:
    """Its Sigmoid stays: numbers between 0 and 1, as numpy computes them."""
    route = route_to(other, mode, ROW)
    assert route.names == {"x": "seen"}
    rows = Renamed(Samples({"x": ROW["x"][None]}), route.names)
    (scores,) = route.lane.runner.run([Slice(rows, np.arange(1))], route.lane.fixed_rows)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-ROW["x"][None].astype(float))), rtol=1e-6)


def test_a_single_number_is_reconstructed_as_one_number() -> None:
    """A classifier's single probability would stand for two classes."""
    made = squashing(dims=("n", 1))
    route = route_to(Other("f", "m", made), Mode.FAST, {"seen": np.array([0.0], np.float32)})
    assert route.names == {}
    rows = Samples({"seen": np.zeros((2, 1), np.float32)})
    assert route.lane.runner.run([Slice(rows, np.arange(2))], None)[0].tolist() == [[0.5], [0.5]]
    made.close()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (lambda: squashing(dims=("n", 4)), "float32"),
        (lambda: squashing(dims=("n", 1, 3)), "must be"),
        (lambda: squashing(kind=INT64), "int64"),
    ],
)
def test_a_model_of_other_rows_is_refused_by_the_parameter_that_names_it(made, why):
    """Other lengths, other ranks, and integers where the explained model takes fractions."""
    opened = made()
    with pytest.raises(InvalidRequest, match=f"^cem.autoencoder: 'models/usual' does not take .*{why}"):
        route_to(Other("cem.autoencoder", "models/usual", opened), Mode.FAST, ROW)
    opened.close()


def test_an_axis_of_length_one_is_no_detail(other: Other) -> None:
    """An instance given alone may have one more; rows are written as they are, and would not fit."""
    with pytest.raises(InvalidRequest, match=r"\(3,\) where the explained model takes float32 \(1, 3\)"):
        route_to(other, Mode.FAST, {"x": ROW["x"][None]})


def test_whole_numbers_that_are_fractions_to_the_explained_model_do_not_become_integers() -> None:
    """The instance would fit, and the rows around it would not."""
    opened = squashing(kind=INT64)
    with pytest.raises(InvalidRequest, match="int64"):
        route_to(Other("f", "m", opened), Mode.FAST, {"x": np.ones(3, np.float32)})
    opened.close()


def test_inputs_of_several_names_must_be_the_same(other: Other) -> None:
    """Which of two inputs the only one stands for is nobody's to guess."""
    with pytest.raises(InvalidRequest, match="its inputs are seen"):
        route_to(other, Mode.FAST, {**ROW, "y": ROW["x"]})
