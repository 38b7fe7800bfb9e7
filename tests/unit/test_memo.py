"""What is kept between explanations of a model."""

from __future__ import annotations

from whybox_server.core.memo import MOST_ENTRIES, Memo


def test_a_value_is_made_once():
    """The second answer is the same object, and `make` is not called again."""
    memo, made = Memo(), []
    values = [memo.get(b"a", lambda: made.append(1) or object()) for _ in range(2)]
    assert values[0] is values[1]
    assert len(made) == 1


def test_the_oldest_value_goes_when_there_are_too_many():
    """One more than fits: the first is made again, the last is not."""
    memo = Memo()
    for i in range(MOST_ENTRIES + 1):
        memo.get(bytes([i]), lambda i=i: i)
    assert memo.get(bytes([MOST_ENTRIES]), lambda: -1) == MOST_ENTRIES
    assert memo.get(bytes([0]), lambda: -1) == -1
