"""Each bundled model's evidence is where we say: without it the answer falls, without something else it stays.

On the committed files, in onnxruntime alone; no other part of whybox takes part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

DEMO = Path(__file__).parents[1] / "demo"
SIZE_CAP_BYTES = 500_000
BRICK, GRASS, GRAVEL, PLAIN = range(4)


def scores(name: str, rows: np.ndarray) -> np.ndarray:
    """The last output: probabilities or values, (n, outputs)."""
    session = onnxruntime.InferenceSession((DEMO / "models" / name / "1" / "model.onnx").read_bytes())
    out = session.run(None, {session.get_inputs()[0].name: rows})[-1]
    return np.array([[row[key] for key in sorted(row)] for row in out]) if isinstance(out, list) else out


def composed() -> np.ndarray:
    """(3, 224, 224): brick on the left, grass on the right."""
    picture = Image.open(DEMO / "inputs" / "brick_and_grass.png").convert("RGB")
    return (np.asarray(picture, np.float32) / 255).transpose(2, 0, 1).copy()


def halved(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return np.concatenate([left[:, :, :112], right[:, :, 112:]], axis=2)


@pytest.mark.parametrize("name", sorted(path.name for path in (DEMO / "models").iterdir()))
def test_a_model_is_small_and_described(name: str) -> None:
    """Under 500 KB, with a whybox.yaml beside it."""
    assert (DEMO / "models" / name / "1" / "model.onnx").stat().st_size < SIZE_CAP_BYTES
    assert (DEMO / "models" / name / "whybox.yaml").is_file()


def test_the_texture_of_each_half_decides_for_its_class() -> None:
    """Erasing the brick half (flat grey, its own mean) takes brick away and leaves grass, and the other way round."""
    picture = composed()
    grey = np.broadcast_to(picture.mean(axis=(1, 2), keepdims=True), picture.shape)
    p = scores("texture", np.stack([picture, halved(grey, picture), halved(picture, grey)]))
    whole, no_brick, no_grass = p
    assert min(whole[BRICK], whole[GRASS]) > 0.2
    assert no_brick[BRICK] < 0.1 < whole[BRICK]
    assert no_grass[GRASS] < 0.1 < whole[GRASS]
    assert no_brick[GRASS] >= whole[GRASS] * 0.8
    assert no_grass[BRICK] >= whole[BRICK] * 0.8


def test_pure_textures_are_recognised() -> None:
    """Mirroring a half makes a whole picture of one texture."""
    picture = composed()
    brick = halved(picture, picture[:, :, ::-1])
    grass = halved(picture[:, :, ::-1], picture)
    p = scores("texture", np.stack([brick, grass]))
    assert p[0, BRICK] > 0.9
    assert p[1, GRASS] > 0.9


def test_a_digit_without_its_strokes_is_no_seven() -> None:
    """All ink removed: the probability of seven falls to chance; a blank corner removed: nothing changes."""
    digit = np.load(DEMO / "inputs" / "digit.npy")
    blank, corner = np.zeros_like(digit), digit.copy()
    corner[0, -1, :1] = 0
    p = scores("digits", np.stack([digit, blank, corner]))[:, 7]
    assert p[0] > 0.9
    assert p[1] < 0.3
    assert p[2] > 0.9


def test_words_of_opinion_decide_and_others_do_not() -> None:
    """Removing "wonderful" leaves a coin's toss; removing "Friday" leaves the answer; nothing is legal."""
    texts = ["we saw it on friday and the film was wonderful", "we saw it on friday and the film was"]
    texts += ["we saw it on and the film was wonderful", "the film was not wonderful", ""]
    p = scores("sentiment", np.array(texts, dtype=object))[:, 1]
    assert p[0] > 0.85
    assert abs(p[1] - 0.5) < 0.25
    assert p[2] > 0.85
    assert p[3] < 0.5
    assert abs(p[4] - 0.5) < 0.25


def test_the_pulse_is_the_evidence_wherever_it_is() -> None:
    """Steps 70 to 85 of channel b smoothed away: no pulse any more; steps 10 to 25 of channel a: still one."""
    series = np.load(DEMO / "inputs" / "event.npy")
    without, elsewhere = series.copy(), series.copy()
    without[1, 68:88] = np.linspace(series[1, 67], series[1, 88], 20)
    elsewhere[0, 10:26] = np.linspace(series[0, 9], series[0, 26], 16)
    p = scores("events", np.stack([series, without, elsewhere]))[:, 1]
    assert p[0] > 0.8
    assert p[1] < 0.2
    assert p[2] > 0.8


def test_the_forest_reads_the_size_of_the_tumour() -> None:
    """With every column at the background's median the patient is benign; as measured, malignant."""
    rows = np.loadtxt(DEMO / "inputs" / "patient.csv", delimiter=",", skiprows=1, dtype=np.float32)[None]
    background = np.load(DEMO / "models" / "breast_cancer" / "background.npz")["background"]
    median = np.median(background, axis=0, keepdims=True).astype(np.float32)
    p = scores("breast_cancer", np.concatenate([rows, median]))[:, 0]
    assert p[0] > 0.9
    assert p[1] < 0.5


def test_the_regressor_answers_in_its_own_unit() -> None:
    """Progressions of the data lie between 25 and 346."""
    row = np.loadtxt(DEMO / "inputs" / "diabetic.csv", delimiter=",", skiprows=1, dtype=np.float32)[None]
    value = scores("diabetes", row)[0, 0]
    assert 25 < value < 346
