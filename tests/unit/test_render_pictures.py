"""Pictures say what the numbers say: colours at known places, symmetric scales, nothing from outside."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from whybox import render, tensors
from whybox.v1 import explanation_pb2 as pb
from whybox.v1 import spec_pb2, tensor_pb2

SEGMENTS = np.repeat(np.repeat(np.array([[0, 1], [2, 3]], np.int32), 8, axis=0), 8, axis=1)  # (16, 16) quarters
VALUES = np.array([1.0, -1.0, 0.0, 0.25])


def to_tensor(array: np.ndarray) -> tensor_pb2.Tensor:
    return tensors.to_tensor(array, "test")


def base(values: np.ndarray, **attribution: object) -> pb.Explanation:
    """An explanation of one target per row of values."""
    message = pb.Explanation(complete=True)
    for i in range(len(values)):
        message.targets.add(index=i, label=f"class {i}", score=1.5, probability=0.8, space=pb.SCORE_SPACE_LOGIT)
    message.attribution.values.CopyFrom(to_tensor(values))
    message.attribution.base_values.CopyFrom(to_tensor(np.zeros(len(values))))
    for name, value in attribution.items():
        getattr(message.attribution, name).extend(value)  # type: ignore[attr-defined]
    message.provenance.CopyFrom(
        pb.Provenance(model="models/m", model_digest="sha256-" + "ab" * 32, method="lime", method_version="1", seed=7)
    )
    message.usage.rows_asked = message.usage.rows_unique = 1000
    return message


def picture() -> pb.Explanation:
    message = base(VALUES[None], names=[f"segment {i}" for i in range(4)], instance_shape=[3, 16, 16])
    message.attribution.input = "x"
    message.attribution.segments.by_name["x"].CopyFrom(to_tensor(SEGMENTS[None]))
    message.subject.modality = spec_pb2.MODALITY_IMAGE
    message.subject.picture.CopyFrom(to_tensor(np.full((16, 16, 3), 128, np.uint8)))
    return message


def table(names: list[str]) -> pb.Explanation:
    values = np.linspace(-1, 1, len(names))[None]
    message = base(values, names=names, instance_shape=[len(names)])
    message.attribution.input = "x"
    message.attribution.segments.by_name["x"].CopyFrom(to_tensor(np.arange(len(names), dtype=np.int32)))
    message.attribution.standard_errors.CopyFrom(to_tensor(np.full_like(values, 0.1)))
    message.subject.modality = spec_pb2.MODALITY_TABULAR
    message.subject.table.names.extend(names)
    message.subject.table.values.extend(map(str, range(len(names))))
    return message


def text(pieces: list[str], segments: list[int], values: list[float]) -> pb.Explanation:
    words = [piece for piece, segment in zip(pieces, segments, strict=True) if segment >= 0]
    message = base(np.array([values]), names=words)
    message.subject.modality = spec_pb2.MODALITY_TEXT
    message.subject.text.pieces.extend(pieces)
    message.subject.text.segments.extend(segments)
    return message


def series() -> pb.Explanation:
    values = np.zeros((1, 2, 12))
    values[0, 1, 4:8] = 2.0
    message = base(values, instance_shape=[2, 12])
    message.attribution.input = "x"
    message.subject.modality = spec_pb2.MODALITY_TIME_SERIES
    message.subject.series.values.CopyFrom(to_tensor(np.random.default_rng(0).normal(size=(12, 2))))
    message.subject.series.channels.extend(["a", "b"])
    return message


ALL = {
    "picture": picture,
    "table": lambda: table(["age", "height", "weight"]),
    "text": lambda: text(["so", " ", "good", "!"], [0, -1, 1, -1], [0.1, 0.9]),
    "series": series,
}


def decoded(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), np.int64)


def test_a_heat_map_is_the_segments_looked_up() -> None:
    """Oracle: numpy indexing."""
    assert_array_equal(render.heatmap(picture()), VALUES[SEGMENTS])


def test_red_supports_and_blue_is_against() -> None:
    """In the heat map of four quarters: red top left, blue top right, neutral bottom left."""
    image = decoded(render.png(picture(), overlay="heat_map", side_by_side=False))
    reds = (image[..., 0] - image[..., 2] > 100).nonzero()
    blues = (image[..., 2] - image[..., 0] > 60).nonzero()
    # The colour bar lies below the map and shows both colours; the map is what lies above its middle.
    top_reds, top_blues = reds[1][reds[0] < image.shape[0] * 0.5], blues[1][blues[0] < image.shape[0] * 0.5]
    assert len(top_reds) > 1000
    assert len(top_blues) > 1000
    assert top_reds.max() < top_blues.min()


def test_only_one_polarity_is_drawn_when_asked() -> None:
    """positive: no blue; negative: no red, in the map."""
    for polarity, unwanted in (("positive", 2), ("negative", 0)):
        image = decoded(render.png(picture(), overlay="heat_map", side_by_side=False, polarity=polarity))
        upper = image[100 : int(image.shape[0] * 0.5)]
        assert (upper[..., unwanted] - upper[..., 2 - unwanted]).max() < 20


@pytest.mark.parametrize("overlay", ["blended", "heat_map", "masked", "outlines", "original"])
def test_every_overlay_is_a_picture_of_its_own(overlay: str) -> None:
    """Decodes, has a sensible size, and differs from the others."""
    image = decoded(render.png(picture(), overlay=overlay))
    assert image.shape[0] > 320
    assert image.std() > 0


def test_overlays_differ() -> None:
    """Five overlays, five files."""
    files = {render.png(picture(), overlay=o) for o in ("blended", "heat_map", "masked", "outlines", "original")}
    assert len(files) == 5


@pytest.mark.parametrize("kind", ALL)
def test_every_kind_is_drawn_in_every_form(kind: str) -> None:
    """PNG decodes; text lines keep to the width and hold no escape codes; the page parses."""
    message = ALL[kind]()
    assert decoded(render.png(message)).shape[2] == 3
    plain = render.text(message, width=60, color=False)
    assert "\x1b" not in plain
    assert max(map(len, plain.splitlines())) <= 60
    assert "lime" in plain
    assert "class 0" in plain
    HTMLParser().feed(render.html(message))


@pytest.mark.parametrize("kind", ALL)
def test_a_partial_answer_says_so_everywhere(kind: str) -> None:
    """Text and page; nobody may take it for the whole."""
    message = ALL[kind]()
    message.complete = False
    assert "PARTIAL" in render.text(message)
    assert "PARTIAL" in render.html(message)


def test_a_page_needs_nothing_from_outside() -> None:
    """No script, no link, no address but the SVG name space and data:."""
    page = render.html(picture())
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert len(page) < 400_000


def test_hostile_words_are_only_words() -> None:
    """Labels, names and texts are escaped."""
    evil = "<script>alert(1)</script>"
    message = text([evil, " ", "b"], [0, -1, 1], [1.0, -1.0])
    message.targets[0].label = evil
    page = render.html(message)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_scales_are_symmetric_about_zero() -> None:
    """Values from -1 to 3: the legend runs from -3 to +3."""
    message = picture()
    message.attribution.values.CopyFrom(to_tensor(np.array([[3.0, -1.0, 0.0, 0.0]])))
    legend = render.html(message)
    assert "-3" in legend
    assert "+3" in legend


def test_a_hundred_targets_are_a_page_too() -> None:
    """Each target has its own section."""
    message = base(np.random.default_rng(0).normal(size=(100, 4)), names=list("abcd"), instance_shape=[4])
    message.attribution.input = "x"
    message.attribution.segments.by_name["x"].CopyFrom(to_tensor(np.arange(4, dtype=np.int32)))
    message.subject.table.names.extend("abcd")
    message.subject.table.values.extend("1234")
    assert render.html(message).count("class 99") >= 1


@pytest.mark.parametrize(
    "options", [{"overlay": "rainbow"}, {"alpha": 2.0}, {"clip_percent_upperbound": 0.0}, {"colour": "red"}]
)
def test_wrong_options_are_named(options: dict[str, object]) -> None:
    """The message names the option and what it may be."""
    with pytest.raises(ValueError, match=next(iter(options))):
        render.png(picture(), **options)


def test_zero_everywhere_is_drawn_in_the_neutral_colour() -> None:
    """No division by zero, no colour."""
    message = picture()
    message.attribution.values.CopyFrom(to_tensor(np.zeros((1, 4))))
    image = decoded(render.png(message, overlay="heat_map", side_by_side=False))
    upper = image[100 : int(image.shape[0] * 0.5)]
    assert (np.abs(upper[..., 0] - upper[..., 2])).max() < 20


def test_a_result_this_version_cannot_draw_is_refused() -> None:
    """No result at all is one of those."""
    message = pb.Explanation()
    message.targets.add(label="x")
    with pytest.raises(ValueError, match="draw"):
        render.png(message)
