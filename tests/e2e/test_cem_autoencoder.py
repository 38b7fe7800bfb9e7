"""CEM with an autoencoder of the models folder, through a real server in this process and its socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.models.graph import FLOAT, f32, model, node

import whybox

AXIS = f32([1.0, 1.0, 1.0, 0.0]) / np.sqrt(3)  # what is usual: multiples of it
WEIGHTS = f32([2.0, 0.5, 0.5, 1.0])
ROW = np.zeros(4, np.float32)
EXPECTED = {0.0: 0.144, 1.0: 0.093, 10.0: 0.022}  # off the axis by gamma; see tests/oracles/cem.py
SPEC = """
labels: ["no", "yes"]
score: logit
tabular:
  feature_names: [a, b, c, d]
"""


def linear(matrix: np.ndarray, name: str, bias: np.ndarray) -> bytes:
    """One layer: rows (n, inputs) to (n, outputs)."""
    nodes = [node("MatMul", f"{name} w", "product"), node("Add", "product b", "out")]
    inputs, outputs = matrix.shape
    return model(
        nodes,
        {name: (FLOAT, ["n", inputs])},
        {"out": (FLOAT, ["n", outputs])},
        {"w": f32(matrix), "b": f32(bias)},
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with its border at w.x = 0.5, an autoencoder of it, and two models that are none."""
    root = tmp_path_factory.mktemp("models")
    made = {
        "border": linear(np.stack([-WEIGHTS, WEIGHTS], axis=1) / 2, "x", f32([0.25, -0.25])),
        "usual": linear(np.outer(AXIS, AXIS), "seen", f32(np.zeros(4))),
        "narrow": linear(np.eye(4)[:, :3], "seen", f32(np.zeros(3))),
        "wide": linear(np.eye(5), "seen", f32(np.zeros(5))),
    }
    for name, data in made.items():
        place = root / name / "1"
        place.mkdir(parents=True)
        (place / "model.onnx").write_bytes(data)
    (root / "border" / "1" / "whybox.yaml").write_text(SPEC)
    return root


@pytest.fixture(scope="module")
def local(folder: Path) -> Iterator[whybox.Client]:
    with whybox.local(models=folder) as client:
        yield client


def negative(client: whybox.Client, **params: Any) -> tuple[np.ndarray, whybox.Explanation]:
    """The pertinent negative of the row of zeros and the explanation it is from."""
    given = {"find": "pertinent_negative", "beta": 0.0, "c_steps": 4, "max_iterations": 80, **params}
    e = client.explain("models/border", ROW, "cem", feature_range=[-0.5, 0.5], **given)
    found = e.contrast.pertinent_negative
    assert found is not None
    return np.asarray(found.values), e


def off_axis(values: np.ndarray) -> float:
    return float(np.linalg.norm(values - values @ np.outer(AXIS, AXIS)))


def test_a_negative_lies_nearer_to_what_is_usual_as_gamma_grows(local: whybox.Client) -> None:
    """Over the border every time, and as far off the axis as in closed form."""
    for gamma in (0.0, 1.0, 10.0):
        autoencoder = {"gamma": gamma, "autoencoder": "models/usual"} if gamma else {}
        values, _ = negative(local, **autoencoder)
        assert WEIGHTS @ values > 0.5
        assert off_axis(values) == pytest.approx(EXPECTED[gamma], abs=0.015)


def test_the_autoencoders_rows_are_planned_metered_and_cached(local: whybox.Client) -> None:
    """A call again with the same seed asks no model; the bound holds for the rows of both models."""
    given = {"gamma": 2.0, "autoencoder": "models/usual", "c_steps": 2, "max_iterations": 20}
    plan = local.plan("models/border", ROW, "cem", feature_range=[-0.5, 0.5], **given)
    values, first = negative(local, **given, mode="reproducible")
    again, second = negative(local, **given, mode="reproducible")
    assert values.tobytes() == again.tobytes()
    assert first.usage.rows_asked <= plan.rows[0]
    assert second.usage.rows_unique == first.usage.rows_unique
    assert second.usage.rows_sent == 0
    assert first.usage.rows_unique > 2 * 2 * 20, "two models, some twenty rows around each of forty points"


def test_a_budget_counts_the_rows_of_both_models(local: whybox.Client) -> None:
    """A partial answer that has asked no more than allowed."""
    given = {"gamma": 2.0, "autoencoder": "models/usual", "max_queries": 120}
    e = local.explain("models/border", ROW, "cem", feature_range=[-0.5, 0.5], **given)
    assert not e.complete
    assert e.usage.rows_unique <= 120


def test_a_sent_autoencoder_serves_as_one_of_the_folder_does(local: whybox.Client) -> None:
    """Explained first, which sends it; then named by its digest."""
    data = linear(np.outer(AXIS, AXIS), "another", f32(np.zeros(4)))
    name = local.explain(data, ROW, "occlusion", target=0, baseline=1.0).provenance.model
    assert "sha256" in name
    values, _ = negative(local, gamma=10.0, autoencoder=name)
    assert off_axis(values) == pytest.approx(EXPECTED[10.0], abs=0.015)


@pytest.mark.parametrize(
    ("given", "reason", "words"),
    [
        ({"gamma": 1.0, "autoencoder": "models/usuall"}, "UNKNOWN_MODEL", "did you mean models/usual"),
        ({"gamma": 1.0, "autoencoder": "models/narrow"}, "INVALID_FIELD", "cem.autoencoder: .*answers 3"),
        ({"gamma": 1.0, "autoencoder": "models/wide"}, "INVALID_FIELD", "cem.autoencoder: .*does not take"),
        ({"autoencoder": "models/usual"}, "INVALID_FIELD", "gamma: says how much"),
        ({"gamma": 1.0}, "INVALID_FIELD", "gamma: weighs an autoencoder's error"),
    ],
)
def test_what_is_no_autoencoder_is_refused_by_name(
    local: whybox.Client, given: dict[str, Any], reason: str, words: str
) -> None:
    """The reason, and what to do about it."""
    with pytest.raises(whybox.ExplainError, match=words) as refused:
        local.explain("models/border", ROW, "cem", feature_range=[-0.5, 0.5], **given)
    assert refused.value.reason == reason
