"""Which outputs are explained, and in which units."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import ScoreKind
from whybox_server.core.target import Choice, Link, Space, Targets

LABELS = ("cat", "dog", "eel")


def targets(*choices: Choice, kind: ScoreKind = ScoreKind.LOGIT, space: Space = Space.LOGIT, link: Link = Link.SOFTMAX) -> Targets:
    return Targets(choices, LABELS, kind, space, link)


def test_nothing_chosen_means_the_highest_score() -> None:
    """Of a classifier; by definition of the default."""
    chosen = targets().choose(np.array([0.1, 3.0, -1.0]))
    assert (chosen.indices, chosen.labels) == ((1,), ("dog",))


def test_nothing_chosen_means_output_zero_of_a_regression() -> None:
    """Even when another output is larger: values are not in competition."""
    assert targets(kind=ScoreKind.VALUE, space=Space.VALUE).choose(np.array([0.1, 3.0, -1.0])).indices == (0,)


def test_top_k_is_highest_first_and_repetitions_are_dropped() -> None:
    """Sorting by hand: 5 > 3 > 1; the label 'eel' is the same output as top 1."""
    chosen = targets(Choice(label="eel"), Choice(top=2)).choose(np.array([3.0, 1.0, 5.0]))
    assert chosen.indices == (2, 0)


@pytest.mark.parametrize("choice", [Choice(index=3), Choice(index=-1), Choice(top=0), Choice(top=4), Choice(label="cow")])
def test_what_the_model_does_not_have_is_refused_by_field(choice: Choice) -> None:
    """The violation names targets[0] and says what there is."""
    with pytest.raises(InvalidRequest) as refused:
        targets(choice).choose(np.zeros(3))
    assert refused.value.violations[0].field == "targets[0]"


def test_probabilities_of_logits_follow_the_link() -> None:
    """Softmax and sigmoid by their definitions, at float64 precision."""
    scores = np.array([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    soft = targets(Choice(index=2), space=Space.PROBABILITY).choose(scores[0]).of(scores)[:, 0]
    assert_allclose(soft, [np.exp(4) / (np.exp(1) + np.exp(2) + np.exp(4)), 1 / 3], rtol=1e-14)
    each = targets(Choice(index=2), space=Space.PROBABILITY, link=Link.SIGMOID).choose(scores[0]).of(scores)[:, 0]
    assert_allclose(each, [1 / (1 + np.exp(-4)), 0.5], rtol=1e-14)


def test_log_odds_of_certain_probabilities_are_finite() -> None:
    """log(p / (1 - p)) with p clipped to [1e-7, 1 - 1e-7]; the middle one is exact."""
    scores = np.array([[0.0, 0.8, 1.0]])
    three = targets(Choice(top=3), kind=ScoreKind.PROBABILITY, space=Space.LOGIT).choose(scores[0])
    assert_allclose(three.of(scores)[0], [16.118, np.log(4), -16.118], rtol=1e-4)


def test_values_are_no_probabilities() -> None:
    """A regression has none to show."""
    chosen = targets(kind=ScoreKind.VALUE, space=Space.VALUE).choose(np.array([7.0]))
    assert chosen.probabilities(np.array([[7.0]])) is None
