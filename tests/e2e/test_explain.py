"""The whole way: a real server process, a real socket, real models with known evidence."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.serving import INPUTS, Server

import whybox


def test_the_brick_half_speaks_for_brick(client: whybox.Client) -> None:
    """The picture is brick on the left and grass on the right, by construction."""
    e = client.explain("models/texture", INPUTS / "brick_and_grass.png", "occlusion", target="brick")
    heat = e.heatmap()
    assert heat.shape == (224, 224)
    left, right = heat[:, :112].sum(), heat[:, 112:].sum()
    assert left > 0 > right


def test_lime_finds_the_same_halves_for_both_targets_in_one_pass(client: whybox.Client) -> None:
    """Two targets cost what one costs, and their evidence is on opposite sides."""
    picture = INPUTS / "brick_and_grass.png"
    both = client.explain("models/texture", picture, "lime", target=["brick", "grass"], num_samples=400)
    assert both.usage.rows_asked <= 400
    brick, grass = both["brick"].heatmap(), both["grass"].heatmap()
    assert brick[:, :112].sum() > brick[:, 112:].sum()
    assert grass[:, 112:].sum() > grass[:, :112].sum()


def test_a_row_of_a_table_is_explained_by_its_columns(client: whybox.Client) -> None:
    """Thirty columns, thirty named numbers with standard errors, and a fit that says how good it is."""
    e = client.explain("models/breast_cancer", INPUTS / "patient.csv", "lime", num_samples=2000)
    assert e.values.shape == (30,)
    assert e.standard_errors.shape == (30,)
    assert 0 < e.quality["weighted_r2"] <= 1
    assert any("concave" in name or "radius" in name or "area" in name for name, _ in e.as_list()[:5])


def test_a_text_is_asked_no_more_than_its_words_allow(client: whybox.Client) -> None:
    """Six distinct words: 64 combinations and no 5000 rows; the sentiment word matters most."""
    e = client.explain("models/sentiment", "the plot was wonderful and clever", "lime", target="positive")
    assert e.usage.rows_unique <= 64
    assert e.as_list()[0][0] in ("wonderful", "clever")
    assert e.as_list()[0][1] > 0


def test_a_time_series_shows_where_the_event_is(client: whybox.Client) -> None:
    """Occlusion by spans: the span of the planted event has the largest value."""
    e = client.explain("models/events", np.load(INPUTS / "event.npy"), "occlusion")
    assert e.heatmap().shape == np.load(INPUTS / "event.npy").shape or e.heatmap().ndim == 2
    assert e.values.max() > 0


def test_instances_of_one_call_are_explained_as_if_alone(client: whybox.Client) -> None:
    """Same seed, REPRODUCIBLE: bit for bit."""
    rng = np.random.default_rng(0)
    batch = rng.random((3, *np.load(INPUTS / "digit.npy").shape)).astype(np.float32)
    together = client.explain_many("models/digits", batch, "lime", num_samples=200, mode="reproducible")
    alone = [client.explain("models/digits", one, "lime", num_samples=200, mode="reproducible") for one in batch]
    for a, b in zip(together, alone, strict=True):
        assert a.values.tobytes() == b.values.tobytes()


def test_a_plan_costs_nothing_and_is_kept(client: whybox.Client) -> None:
    """Occlusion of a 224x224 picture with a window of 15 and a stride of 8 asks 1 + 28 * 28 rows."""
    picture = INPUTS / "brick_and_grass.png"
    plan = client.plan("models/texture", picture, "occlusion", window=15, stride=8)
    assert plan.rows[0] == 785
    done = client.explain("models/texture", picture, "occlusion", window=15, stride=8)
    assert done.usage.rows_asked == 785


def test_progress_grows_to_the_plan(client: whybox.Client) -> None:
    """Never more than planned, never backwards."""
    seen: list[tuple[int, int]] = []
    client.explain(
        "models/texture",
        INPUTS / "brick_and_grass.png",
        "lime",
        num_samples=1500,
        seed=91,
        on_progress=lambda done, planned: seen.append((done, planned)),
    )
    assert seen
    assert all(planned == 1500 and 0 <= done <= planned for done, planned in seen)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_the_same_call_again_asks_the_model_nothing(client: whybox.Client) -> None:
    """The second answer comes from the cache and is the same."""
    picture = INPUTS / "brick_and_grass.png"
    first = client.explain("models/texture", picture, "lime", num_samples=150, seed=4)
    again = client.explain("models/texture", picture, "lime", num_samples=150, seed=4)
    assert again.usage.rows_sent == 0
    assert again.usage.rows_cached == again.usage.rows_unique
    assert first.values.tobytes() == again.values.tobytes()


def test_a_budget_gives_a_partial_answer_that_says_so(client: whybox.Client) -> None:
    """At most 120 different rows, and complete is False."""
    e = client.explain("models/texture", INPUTS / "brick_and_grass.png", "lime", max_queries=120, seed=5)
    assert not e.complete
    assert e.usage.rows_unique <= 120
    assert e.warnings


def test_a_model_that_is_sent_is_explained_and_forgotten(server: Server, client: whybox.Client) -> None:
    """The same bytes give the same name; deleting it twice is an error."""
    data = (INPUTS.parent / "models" / "digits" / "1" / "model.onnx").read_bytes()
    digit = np.load(INPUTS / "digit.npy")
    mine = client.explain(data, digit, "occlusion", spec=whybox.ModelSpec.image())
    theirs = client.explain("models/digits", digit, "occlusion")
    assert mine.provenance.model_digest == theirs.provenance.model_digest


def test_pictures_come_back_when_they_are_asked_for(client: whybox.Client, tmp_path: Path) -> None:
    """A PNG begins as PNGs do; the HTML page needs no other file."""
    e = client.explain("models/texture", INPUTS / "brick_and_grass.png", "occlusion")
    assert e.to_png(tmp_path / "overlay.png")[:8] == b"\x89PNG\r\n\x1a\n"
    assert (tmp_path / "overlay.png").stat().st_size > 10_000
    page = e.to_html()
    assert "http://" not in page.replace("http://www.w3.org/", "")


def test_reproducible_answers_are_the_same_bytes_alone_and_under_load(server: Server) -> None:
    """Eight neighbours with other seeds share the batches; the cache is off for the target's rows by its seed."""
    picture = INPUTS / "brick_and_grass.png"

    def ask(seed: int) -> bytes:
        with whybox.Client(server.address) as own:
            e = own.explain("models/texture", picture, "lime", num_samples=120, seed=seed, mode="reproducible")
            return e.values.tobytes()

    alone = ask(1000)
    under_load: dict[int, bytes] = {}
    threads = [threading.Thread(target=lambda s=s: under_load.update({s: ask(s)})) for s in range(1000, 1008)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert under_load[1000] == alone
    assert len(set(under_load.values())) == 8


@pytest.mark.parametrize("method", ["lime", "occlusion"])
def test_another_seed_moves_lime_and_not_occlusion(client: whybox.Client, method: str) -> None:
    """LIME draws; occlusion does not."""
    digit = np.load(INPUTS / "digit.npy")
    a, b = (client.explain("models/digits", digit, method, seed=seed) for seed in (0, 1))
    assert (a.values.tobytes() == b.values.tobytes()) == (method == "occlusion")
