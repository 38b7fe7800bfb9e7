"""Erasure: known drops, flips known by enumeration, and what is no decision."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.answering import answering, instance_of, materialise, subject_of
from tests.oracles import erasure as oracle

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ScoreKind, TabularSpec, TextSpec
from whybox_server.core.target import Choice, Link, Space, Targets
from whybox_server.engine.drive import run
from whybox_server.methods.erasure import ERASURE, ErasureParams
from whybox_server.methods.flips import FlipSearch
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation, SegmentationKind

Outputs = Callable[[Array], Array]  # (n, segments) of zeros and ones -> (n, outputs)
SEEDS = range(25)
ROUNDING = 1e-12  # a product of matrices rounds differently with the number of rows


def ones(n: int) -> Instance:
    """An instance of n ones; erased elements are 0, so that rows are masks."""
    return instance_of(Modality.TENSOR, np.ones(n))


def plain(instance: Instance, outputs: int) -> Subject:
    return subject_of(instance, outputs)


def classifier(
    instance: Instance, kind: ScoreKind, labels: int, space: Space = Space.LOGIT, link: Link = Link.SOFTMAX
) -> Subject:
    """Asks about the default target of a model with so many outputs."""
    return Subject(instance, Targets((), tuple(f"class {i}" for i in range(labels)), kind, space, link))


def start(subject: Subject, **params: object):
    chosen, rng = ErasureParams(**params), np.random.default_rng(0)  # type: ignore[arg-type]
    task = ERASURE.prepare(subject, chosen, rng)
    return ERASURE.run(task, chosen, rng), ERASURE.cost(task, chosen)


def erase(subject: Subject, f: Outputs, budget: int | None = None, **params: object) -> Attribution:
    steps, _ = start(subject, **params)
    return run(steps, answering(lambda inputs: f(inputs["x0"]), subject.instance), budget)


def without(f: Outputs, n: int) -> oracle.Scores:
    """Scores without a set of segments."""

    def scores(erased: frozenset[int]) -> Array:
        row = np.ones((1, n))
        row[0, list(erased)] = 0
        return f(row)[0]

    return scores


def additive(seed: int, n: int = 8) -> Outputs:
    """Three outputs, each a sum of weights."""
    weights = np.random.default_rng(seed).normal(size=(n, 3))
    return lambda rows: rows @ weights


def wild(seed: int, n: int = 8) -> Outputs:
    """Three outputs of a small network."""
    rng = np.random.default_rng(seed)
    inner, outer = rng.normal(size=(n, 6)), rng.normal(size=(6, 3))
    return lambda rows: np.tanh(rows @ inner) @ outer


def words(weights: Mapping[str, float], negate: str = "") -> Outputs:
    """A sum of word weights as one logit, pushed to one side; a word after `negate` counts the other way."""

    def f(texts: Array) -> Array:
        totals = []
        for text in texts[:, 0]:
            read = text.split()
            signs = [-1 if i and read[i - 1] == negate else 1 for i in range(len(read))]
            totals.append(sum(sign * weights.get(word, 0.0) for sign, word in zip(signs, read, strict=True)))
        return np.array(totals, dtype=float)[:, None]

    return f


def sentence(text: str) -> Instance:
    return instance_of(Modality.TEXT, np.array([text], object), details=TextSpec())


def test_leaving_one_out_agrees_with_the_slow_loop():
    """A small network, every output a target; one round of 1 + N rows without a search."""
    for seed in SEEDS:
        f = wild(seed)
        found = erase(subject_of(ones(8), 3, targets=3), f, search=FlipSearch.NONE)
        expected = [oracle.left_out(without(f, 8), 8, output) for output in range(3)]
        assert np.allclose(found.values, expected, rtol=0, atol=ROUNDING)
        assert found.flip_set is None
    _, cost = start(subject_of(ones(8), 3), search=FlipSearch.NONE)
    assert (cost.rows, cost.exact) == (9, True)


def test_a_words_drop_in_log_odds_is_its_weight():
    """Logistic regression on words: exact, each occurrence for itself, whatever else the text says."""
    weights = {"good": 2.0, "bad": -3.0, "plot": 0.5}
    logit = words(weights)
    subject = classifier(sentence("good plot bad good"), ScoreKind.PROBABILITY, 1)
    found = erase(subject, lambda texts: 1 / (1 + np.exp(-logit(texts))))
    assert found.units.names == ("good", "plot", "bad", "good (2)")
    assert found.values[0] == pytest.approx([2, 0.5, -3, 2])
    assert found.unit == ""


def test_in_probabilities_the_drop_is_the_papers_log_likelihood():
    """log p(x) - log p(x without): by hand for a logistic model; the unit says so."""
    logit = words({"good": 2.0, "dull": -1.0})
    subject = classifier(sentence("good dull"), ScoreKind.PROBABILITY, 1, Space.PROBABILITY)
    found = erase(subject, lambda texts: 1 / (1 + np.exp(-logit(texts))))

    def log_p(total: float) -> float:
        return float(-np.log1p(np.exp(-total)))

    assert found.values[0] == pytest.approx([log_p(1) - log_p(-1), log_p(1) - log_p(2)])
    assert found.unit.startswith("log-probability")


def test_a_model_that_is_sure_gives_numbers_all_the_same():
    """p = 1 and p = 0 exactly: finite, and the decisive word stands out."""
    subject = classifier(sentence("good film"), ScoreKind.PROBABILITY, 2, Space.PROBABILITY)
    found = erase(subject, lambda texts: np.array([[0.0, 1] if "good" in t else [1, 0] for t in texts[:, 0]]))
    assert np.isfinite(found.values).all()
    assert found.values[0, 0] > 10
    assert found.values[0, 1] == 0
    assert (found.flip_set.segments, found.flip_set.flipped) == ((0,), True)


def test_a_negation_and_its_word_are_both_found():
    """ "not" turns "awful" round: each of the two drops most, and each of them flips."""
    subject = classifier(sentence("this film is not awful at all"), ScoreKind.LOGIT, 1)
    f = words({"awful": -3.0, "film": 0.2, "all": 0.1}, negate="not")
    found = erase(subject, f)
    names = found.units.names
    top = [names[i] for i in np.argsort(-np.abs(found.values[0]))[:2]]
    assert set(top) == {"not", "awful"}
    assert [names[i] for i in found.flip_set.segments] == ["not"]
    assert found.flip_set.scores[0] < 0


def test_the_flip_set_of_a_sum_is_its_largest_weights_until_the_sign_turns():
    """One logit, sorted weights: LIME's greedy rival on a linear model."""
    weights = np.array([0.5, 3.0, -1.0, 2.0, 1.0, -2.5])  # sum 3.0; without 3.0 it is 0.0, then below
    found = erase(classifier(ones(6), ScoreKind.LOGIT, 1), lambda rows: (rows @ weights)[:, None])
    assert found.flip_set.segments == (1, 3)
    assert found.flip_set.flipped
    assert found.flip_set.scores == pytest.approx([-2.0])
    assert found.complete


@pytest.mark.parametrize("make", [additive, wild])
@pytest.mark.parametrize("search", [FlipSearch.GREEDY, FlipSearch.BEAM])
def test_every_flip_set_flips_is_needed_in_full_and_is_near_the_smallest(make, search: FlipSearch):
    """Enumeration of all 255 sets: never smaller, no segment superfluous; mostly the very smallest."""
    sizes, smallest = [], []
    for seed in SEEDS:
        f = make(seed)
        scores = without(f, 8)
        found = erase(plain(ones(8), 3), f, search=search).flip_set
        least = oracle.smallest_flip(scores, 8)
        erased = frozenset(found.segments)
        assert np.allclose(found.scores, scores(erased), rtol=0, atol=ROUNDING)
        assert found.flipped == oracle.flips(scores, erased)
        if not found.flipped:
            continue
        assert len(erased) == len(found.segments) >= least
        assert not any(oracle.flips(scores, erased - {segment}) for segment in erased if len(erased) > 1)
        sizes.append(len(erased))
        smallest.append(least)
    assert len(sizes) >= 20
    assert np.mean(np.equal(sizes, smallest)) >= 0.8


def test_a_wider_beam_finds_no_larger_sets():
    """On average over small networks; with a beam of all pairs it is as good as enumeration up to three."""
    sizes = {}
    for beam in (1, 3, 28):
        found = [
            erase(plain(ones(8), 3), wild(s), search=FlipSearch.BEAM, beam_size=beam).flip_set for s in SEEDS
        ]
        sizes[beam] = [len(flip.segments) if flip.flipped else 9 for flip in found]
    assert np.mean(sizes[28]) <= np.mean(sizes[3]) <= np.mean(sizes[1])
    for seed, size in zip(SEEDS, sizes[28], strict=True):
        least = oracle.smallest_flip(without(wild(seed), 8), 8)
        assert size == least or (least or 9) > 3


def test_evidence_that_is_there_twice_needs_a_pair():
    """OR: leaving one out shows nothing, the flip set is both."""

    def f(rows: Array) -> Array:
        either = np.maximum(rows[:, 0], rows[:, 2])
        return np.stack([either, np.full(len(rows), 0.5)], axis=1)

    found = erase(plain(ones(4), 2), f)
    assert found.values.tolist() == [[0, 0, 0, 0]]
    assert set(found.flip_set.segments) == {0, 2}


def test_labels_alone_are_enough_for_a_flip():
    """One-hot scores give no margin; two of three votes must go."""

    def f(rows: Array) -> Array:
        return np.eye(2)[(rows.sum(axis=1) >= 2).astype(int)]

    found = erase(plain(ones(3), 2), f)
    assert found.flip_set.flipped
    assert len(found.flip_set.segments) == 2


def test_outputs_that_decide_for_themselves_flip_by_the_first_target():
    """Two sigmoids: the second one's yes is what must go, though the first is larger."""
    weights = np.array([[5.0, 0], [5, 0], [0, 1]])
    targets = Targets(
        (Choice(index=1), Choice(index=0)), ("a", "b"), ScoreKind.LOGIT, Space.LOGIT, Link.SIGMOID
    )
    found = erase(Subject(ones(3), targets), lambda rows: rows @ weights - 0.5)
    assert found.flip_set.segments == (2,)
    assert "the flip is of the first target's decision, not of 'a'" in found.warnings


def test_a_no_is_flipped_into_a_yes():
    """One output below one half: what holds it down must go."""
    weights = np.array([1.0, -4.0, 0.5])
    subject = classifier(ones(3), ScoreKind.PROBABILITY, 1)
    found = erase(subject, lambda rows: 1 / (1 + np.exp(-(rows @ weights)[:, None])))
    assert found.flip_set.segments == (1,)
    assert found.flip_set.scores[0] > 0.5


def test_a_target_that_is_not_the_answer_is_told_what_flips():
    """Values are the target's; the flip is the model's."""
    targets = Targets((Choice(index=1),), ("cat", "dog"), ScoreKind.LOGIT, Space.LOGIT)
    weights = np.array([[2.0, 1], [0, 0.5]])
    found = erase(Subject(ones(2), targets), lambda rows: rows @ weights)
    assert found.values.tolist() == [[1, 0.5]]
    assert any("the model's answer, 'cat'" in text for text in found.warnings)
    assert found.flip_set.segments == (0,)


def test_a_single_value_has_no_decision():
    """Unset it is left out; asked for, it is refused with the remedy."""
    found = erase(plain(ones(3), 1), lambda rows: rows.sum(axis=1, keepdims=True))
    assert found.flip_set is None
    assert found.values.tolist() == [[1, 1, 1]]
    for search in (FlipSearch.GREEDY, FlipSearch.BEAM):
        with pytest.raises(InvalidRequest, match="search: the model's one output is a plain value.*use NONE"):
            erase(plain(ones(3), 1), lambda rows: rows, search=search)


def test_no_flip_is_said_and_the_nearest_set_is_shown():
    """The bias is stronger than all words: the set with the smallest margin, `flipped` False."""
    weights = np.array([1.0, -1, 2])
    found = erase(classifier(ones(3), ScoreKind.LOGIT, 1), lambda rows: (rows @ weights + 10)[:, None])
    assert found.flip_set.segments == (2, 0)
    assert not found.flip_set.flipped
    assert found.complete
    assert "none of the sets of at most 3 segments that were tried" in found.warnings[-1]


def test_at_most_so_many_segments_are_erased():
    """Two must go, one may."""
    found = erase(
        classifier(ones(3), ScoreKind.LOGIT, 1),
        lambda rows: rows.sum(axis=1, keepdims=True) - 1.5,
        max_erased=1,
    )
    assert (len(found.flip_set.segments), found.flip_set.flipped) == (1, False)
    assert "at most 1 segments" in found.warnings[-1]


def test_no_more_are_erased_at_once_than_allowed():
    """Three of four must go: two are too few, and no larger set is asked."""
    model = lambda rows: rows.sum(axis=1, keepdims=True) - 1.5  # noqa: E731 a sum of votes
    subject = classifier(ones(4), ScoreKind.LOGIT, 1)
    assert len(erase(subject, model, max_erased=3).flip_set.segments) == 3
    found = erase(subject, model, max_erased=2).flip_set
    assert (len(found.segments), found.flipped) == (2, False)


def test_the_search_asks_for_smaller_sets_only():
    """Six weights, two must go: the first round, and prefixes of two and three; singles are known."""
    asked = []
    weights = np.array([0.5, 3.0, -1.0, 2.0, 1.0, -2.5])

    def f(rows: Array) -> Array:
        asked.append(len(rows))
        return (rows @ weights)[:, None]

    erase(classifier(ones(6), ScoreKind.LOGIT, 1), f)
    assert asked == [7, 2]


@pytest.mark.parametrize("budget", [0, 1])
def test_a_budget_too_small_for_one_erasure_passes(budget: int):
    """The instance alone says nothing."""
    with pytest.raises(BudgetSpent):
        erase(plain(ones(3), 2), additive(0, 3), budget=budget)


def test_a_constant_model_is_as_firm_as_before():
    """All zeros, no flip, said in words, and no search over all sets."""
    asked = []

    def f(rows: Array) -> Array:
        asked.append(len(rows))
        return np.tile([1.0, 0.0], (len(rows), 1))

    found = erase(plain(ones(30), 2), f)
    assert not found.values.any()
    assert not found.flip_set.flipped
    assert "as firm as before" in found.warnings[-1]
    assert sum(asked) == 1 + 30 + 29


@pytest.mark.parametrize("search", [FlipSearch.GREEDY, FlipSearch.BEAM])
@pytest.mark.parametrize("make", [additive, wild])
def test_no_set_is_asked_twice_and_the_cost_is_a_bound(make, search: FlipSearch):
    """Rows of all queries together; the first query is the instance and every segment."""
    for seed in SEEDS:
        f, instance = make(seed), ones(8)
        steps, cost = start(plain(instance, 3), search=search, beam_size=4)
        keys: list[bytes] = []
        sizes: list[int] = []

        def noting(query: Query) -> Reply:
            keys.extend(query.rows.keys())  # noqa: B023 used at once
            sizes.append(len(query.rows))  # noqa: B023 used at once
            return Reply(f(materialise(query.rows, instance)["x0"]))  # noqa: B023 used at once

        run(steps, noting)
        assert len(set(keys)) == len(keys) <= cost.rows
        assert sizes[0] == 9


@given(st.integers(0, 70), st.sampled_from([FlipSearch.GREEDY, FlipSearch.BEAM]), st.integers(0, 20))
def test_any_budget_gives_what_was_found_or_the_error(budget: int, search: FlipSearch, seed: int):
    """Drops that are given are right, the set's scores are its own, and a partial answer says so."""
    f = wild(seed)
    whole = erase(plain(ones(8), 3), f, search=FlipSearch.NONE)
    try:
        found = erase(plain(ones(8), 3), f, budget=budget, search=search)
    except BudgetSpent:
        assert budget < 2
        return
    known = min(8, budget - 1)
    assert found.values[0, :known] == pytest.approx(whole.values[0, :known])
    assert not found.values[0, known:].any()
    scores = without(f, 8)
    assert np.allclose(
        found.flip_set.scores, scores(frozenset(found.flip_set.segments)), rtol=0, atol=ROUNDING
    )
    assert found.flip_set.flipped == oracle.flips(scores, frozenset(found.flip_set.segments))
    if budget < 9:
        assert not found.complete
        assert any(f"{8 - known} of 8 segments were not erased" in text for text in found.warnings)
    if not found.complete:
        assert "the budget ended the search for a flip" in found.warnings[-1]


def test_a_text_is_erased_word_by_word_and_by_mask_or_deletion():
    """Positions, not distinct words, unless asked; the model sees what the baseline says."""
    seen: list[str] = []

    def f(texts: Array) -> Array:
        seen.extend(texts[:, 0])
        return np.zeros((len(texts), 1))

    subject = plain(sentence("so so good"), 1)
    erase(subject, f)
    assert sorted(seen) == sorted(["so so good", " so good", "so  good", "so so "])
    seen.clear()
    erase(subject, f, baseline=Baseline(BaselineKind.MASK), segmentation=Segmentation(SegmentationKind.WORDS))
    assert sorted(seen) == sorted(["so so good", "UNKWORDZ UNKWORDZ good", "so so UNKWORDZ"])


def test_a_text_of_one_word_and_a_text_of_token_ids():
    """One word: one drop, the empty text. Ids: the pad token goes in, and padding is never erased."""
    one = erase(classifier(sentence("good"), ScoreKind.LOGIT, 1), words({"good": 1.0}))
    assert one.values.tolist() == [[1]]
    table = np.array([0.0, 5, 7])
    ids = instance_of(Modality.TEXT, np.array([1, 2, 1, 0]), details=TextSpec(pad_id=0))
    found = erase(
        plain(ids, 1),
        lambda rows: table[rows].sum(axis=1, keepdims=True),
        baseline=Baseline(BaselineKind.PAD),
    )
    assert found.values.tolist() == [[5, 7, 5]]


def test_all_rows_take_the_same_background_row():
    """Drops are differences from one row of the background, which is named in a warning."""
    background = np.array([[10.0] * 6, [20.0] * 6, [40.0] * 6])
    instance = instance_of(Modality.TABULAR, np.zeros(6), details=TabularSpec(background=background))
    draw = Baseline(BaselineKind.BACKGROUND)
    found = erase(plain(instance, 1), lambda rows: -rows.sum(axis=1, keepdims=True), baseline=draw)
    assert len(set(found.values[0].tolist())) == 1
    assert found.values[0, 0] in (10, 20, 40)
    assert "one of 3 background rows was drawn for all sets" in found.warnings[-1]
