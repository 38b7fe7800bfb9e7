"""Overload is refused at once, with a prediction of when to come again."""

import pytest

from whybox_server.core.errors import DeadlineExceeded, Overloaded
from whybox_server.engine.admission import Admission, refuse_hopeless


def test_permits_are_given_back_even_after_a_failure() -> None:
    """Two in, the third refused; one fails, and there is room again."""
    admission = Admission(2, 10.0, lambda: 0.0)
    with admission.permit():
        with pytest.raises(ValueError, match="failed"), admission.permit():
            with pytest.raises(Overloaded), admission.permit():
                raise AssertionError("not reached")
            raise ValueError("failed")
        with admission.permit():
            assert admission.running == 2
    assert admission.running == 0


def test_a_long_backlog_is_refused_with_the_time_it_needs() -> None:
    """15 s wait, 10 s are allowed: come again when 5 s have passed, and a little."""
    with pytest.raises(Overloaded) as refused, Admission(2, 10.0, lambda: 15.0).permit():
        raise AssertionError("not reached")
    assert 5.0 < refused.value.retry_after_s < 6.0


def test_who_reaches_a_draining_server_is_served() -> None:
    """His call was on its way when the signal came; that it is about to stop is for probes to say."""
    admission = Admission(2, 10.0, lambda: 0.0, draining=True)
    with admission.permit():
        assert admission.running == 1


def test_what_cannot_be_done_in_time_is_refused_before_it_starts() -> None:
    """1000 rows of 10 ms need 10 s; 9 s are too few, 11 s are enough, and an unknown speed is let in."""
    with pytest.raises(DeadlineExceeded):
        refuse_hopeless(1000, 0.01, 9.0)
    refuse_hopeless(1000, 0.01, 11.0)
    refuse_hopeless(1000, None, 0.001)
