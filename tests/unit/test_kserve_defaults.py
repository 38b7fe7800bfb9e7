"""What an operator lays under KServe's calls is checked when the server starts."""

from __future__ import annotations

import pytest

from whybox_server.kserve.defaults import defaults_of
from whybox_server.methods import METHODS


@pytest.mark.parametrize("method", [one.name for one in METHODS])
def test_every_method_is_a_default_by_its_name_alone(method: str) -> None:
    assert defaults_of(method, {"seed": 3}) == {"method": method, "seed": 3}


def test_nothing_said_is_nothing_laid_under() -> None:
    """So that a caller's own word, or LIME, decides."""
    assert defaults_of(None, {}) == {}


def test_parameters_may_name_the_method_themselves() -> None:
    """As a caller's may: by a key of their own, or by the method's name."""
    assert defaults_of(None, {"method": "occlusion"}) == {"method": "occlusion"}
    assert defaults_of(None, {"lime": {"num_samples": 9}}) == {"lime": {"num_samples": 9}}
    assert defaults_of("lime", {"lime": {"num_samples": 9}}) == {"method": "lime", "lime": {"num_samples": 9}}


def test_all_that_is_wrong_is_said_at_once_by_the_settings_name() -> None:
    """With near names; the oracle is the very reader of calls."""
    with pytest.raises(ValueError, match="did you mean num_samples") as caught:
        defaults_of("lime", {"num_sample": 5, "seed": "x", "baseline": {"constant": []}})
    said = str(caught.value)
    assert "explain_parameters.num_sample: no such parameter" in said
    assert "explain_parameters.seed: must be a whole number" in said
    assert "explain_parameters.baseline" in said


def test_a_parameter_of_another_method_is_refused() -> None:
    """It would fail every call that leaves the choice to the operator."""
    with pytest.raises(ValueError, match=r"explain_parameters\.num_samples: no such parameter"):
        defaults_of("occlusion", {"num_samples": 5})
    with pytest.raises(ValueError, match="only one method may be given, got occlusion and lime"):
        defaults_of("occlusion", {"lime": {}})
