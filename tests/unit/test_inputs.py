"""Pictures, texts and records become what the model takes."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.spec import ImageSpec, Modality, ModelSpec, TabularSpec
from whybox_server.engine.inputs import arrays_of
from whybox_server.engine.task import Picture, Record, Text


@dataclass(frozen=True)
class Input:
    name: str
    dtype: np.dtype
    shape: tuple[int | None, ...]


FLOAT, OBJECT = np.dtype(np.float32), np.dtype(object)


def image(layout: str, **values: object) -> ModelSpec:
    return ModelSpec(modality=Modality.IMAGE, details=ImageSpec(layout=layout, **values))  # type: ignore[arg-type]


def test_a_picture_is_normalised_as_the_spec_says() -> None:
    """(p / 255 - mean) / std, channel by channel, computed by hand."""
    pixels = np.array([[[255, 0, 51]]], np.uint8)
    spec = image("CHW", mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
    made = arrays_of(Picture(pixels), [Input("x", FLOAT, (3, 1, 1))], spec, "instances[0]")
    assert_allclose(made["x"].ravel(), [1.0, -1.0, 0.2])


def test_a_picture_is_resized_to_the_model_and_spread_over_its_range() -> None:
    """A white picture is `white` everywhere, whatever its size was."""
    made = arrays_of(
        Picture(np.full((10, 20, 3), 255, np.uint8)),
        [Input("x", FLOAT, (4, 6, 3))],
        image("HWC", black=-1.0, white=7.0),
        "instances[0]",
    )
    assert made["x"].shape == (4, 6, 3)
    assert_allclose(made["x"], 7.0)


def test_colour_becomes_grey_by_luma() -> None:
    """Pure green weighs 0.587 (BT.601)."""
    made = arrays_of(
        Picture(np.array([[[0, 255, 0]]], np.uint8)), [Input("x", FLOAT, (1, 1))], image("HW"), "instances[0]"
    )
    assert_allclose(made["x"], [[0.587]])


def test_a_record_finds_its_columns_by_name() -> None:
    """Order in the record does not matter."""
    spec = ModelSpec(modality=Modality.TABULAR, details=TabularSpec(("age", "height")))
    made = arrays_of(Record({"height": 1.8, "age": 40.0}), [Input("x", FLOAT, (2,))], spec, "instances[0]")
    assert_allclose(made["x"], [40.0, 1.8])


def test_a_record_of_a_model_with_an_input_per_column() -> None:
    """Strings stay strings."""
    inputs = [Input("age", FLOAT, (1,)), Input("city", OBJECT, (1,))]
    spec = ModelSpec(modality=Modality.TABULAR, details=TabularSpec(("age", "city")))
    made = arrays_of(Record({"age": 40.0, "city": "Bern"}), inputs, spec, "instances[0]")
    assert made["city"].tolist() == ["Bern"]


def test_a_record_names_the_inputs_of_any_model() -> None:
    """As `explain.proto` says: by column name or input name. One number per input is no table for that."""
    inputs = [Input("a", FLOAT, ()), Input("b", FLOAT, ())]
    made = arrays_of(Record({"b": 2.0, "a": 1.0}), inputs, ModelSpec(modality=Modality.TENSOR), "instances[0]")
    assert {name: array.tolist() for name, array in made.items()} == {"a": [1.0], "b": [2.0]}


@pytest.mark.parametrize(
    ("fields", "mention"), [({"age": 1.0, "hieght": 2.0}, "did you mean height"), ({"age": 1.0}, "missing: height")]
)
def test_wrong_columns_are_named(fields: dict[str, float], mention: str) -> None:
    """The remedy stands in the message."""
    spec = ModelSpec(modality=Modality.TABULAR, details=TabularSpec(("age", "height")))
    with pytest.raises(InvalidRequest, match=mention):
        arrays_of(Record(fields), [Input("x", FLOAT, (2,))], spec, "instances[0]")


def test_a_text_needs_one_string_input() -> None:
    """A model of numbers cannot read."""
    with pytest.raises(InvalidRequest, match="string input"):
        arrays_of(Text("hello"), [Input("x", FLOAT, (2,))], ModelSpec(modality=Modality.TABULAR), "instances[0]")
