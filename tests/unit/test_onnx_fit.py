"""A caller's arrays against a model's inputs: what is taken, and what is refused with which words."""

from __future__ import annotations

import numpy as np
import pytest

from whybox_server.core.errors import InputMismatch, InvalidRequest
from whybox_server.core.spec import BatchAxis
from whybox_server.serving.onnx.fit import fit, fit_rows
from whybox_server.serving.onnx.signature import Signature, TensorInfo

F32, F16, I64, U8, TEXT = (np.dtype(kind) for kind in (np.float32, np.float16, np.int64, np.uint8, object))
FIELD = "instances[0].tensors"


def takes(*inputs: TensorInfo) -> Signature:
    return Signature(inputs, BatchAxis.DYNAMIC)


IMAGE = takes(TensorInfo("image", F32, (None, 3, 4, 4)))
TABLE = takes(TensorInfo("age", F32, (None, 1)), TensorInfo("town", TEXT, (None, 1)))


@pytest.mark.parametrize("name", ["", "image"])
@pytest.mark.parametrize("shape", [(3, 4, 4), (1, 3, 4, 4)])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, np.uint8, np.int64, bool])
def test_a_row_comes_with_or_without_a_leading_1_and_in_any_number_type(name, shape, dtype):
    """The values are the same afterwards, in the model's dtype and shape."""
    array = np.arange(48).reshape(shape).astype(dtype)
    fitted = fit(IMAGE, {name: array}, FIELD)["image"]
    assert (fitted.dtype, fitted.shape) == (F32, (3, 4, 4))
    np.testing.assert_array_equal(fitted.ravel(), array.ravel())


@pytest.mark.parametrize("shape", [(4, 4), (2, 3, 4, 4), (3, 4, 5), (4, 4, 3), ()])
def test_a_wrong_shape_is_refused_with_what_was_expected_and_what_came(shape):
    """The words that the caller's program can read are those of the message."""
    with pytest.raises(InputMismatch) as caught:
        fit(IMAGE, {"": np.zeros(shape)}, FIELD)
    assert caught.value.details["input"] == "image"
    assert caught.value.details["expected"] == "float32 (3, 4, 4)"
    assert caught.value.details["actual"] == f"float64 ({', '.join(map(str, shape))})"


def test_axes_of_any_length_take_any_length():
    """(?, 5) means five columns and any number of steps; a leading 1 is told by the rank."""
    series = takes(TensorInfo("x", F32, (None, None, 5)))
    assert fit(series, {"": np.zeros((7, 5))}, FIELD)["x"].shape == (7, 5)
    assert fit(series, {"": np.zeros((1, 7, 5))}, FIELD)["x"].shape == (7, 5)
    with pytest.raises(InputMismatch, match=r"float32 \(\?, 5\)"):
        fit(series, {"": np.zeros((7, 4))}, FIELD)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (I64, 1.5),
        (I64, np.nan),
        (U8, 256),
        (U8, -1),
        (I64, 1e30),
        (F16, 1e6),
        (F32, 1j),
        (F32, "3"),
        (TEXT, 3),
    ],
)
def test_a_cast_that_changes_a_value_is_refused(dtype, value):
    """Fractions, values out of range, complex numbers and texts for numbers are no rounding matters."""
    with pytest.raises(InputMismatch):
        fit(takes(TensorInfo("x", dtype, (None, 1))), {"": np.array([value])}, FIELD)


@pytest.mark.parametrize(("dtype", "value"), [(I64, 3.0), (U8, 255), (F16, 0.1), (np.dtype(bool), 1)])
def test_a_cast_that_keeps_a_value_is_made(dtype, value):
    """Integral floats become integers; rounding to a narrower float is what narrow models expect."""
    fitted = fit(takes(TensorInfo("x", dtype, (None, 1))), {"": np.array([value])}, FIELD)["x"]
    assert fitted.dtype == dtype
    assert fitted[0] == dtype.type(value)


@pytest.mark.parametrize(
    "text", [np.array("hello"), np.array(["hello"], dtype=object), np.array([["hello"]])]
)
def test_a_text_may_be_a_scalar_or_a_row_of_one(text):
    """A string input is declared (?, 1); nobody writes texts in brackets."""
    fitted = fit(takes(TensorInfo("t", TEXT, (None, 1))), {"": text}, FIELD)["t"]
    assert (fitted.dtype, fitted.tolist()) == (TEXT, ["hello"])


def test_numbers_in_an_object_array_are_numbers():
    """As a table's row comes that was collected value by value."""
    fitted = fit(TABLE, {"age": np.array([41], dtype=object), "town": np.array(["Ulm"])}, FIELD)
    assert (fitted["age"].dtype, fitted["age"].tolist()) == (F32, [41.0])


def test_every_wrong_name_is_listed_with_the_nearest():
    """One refusal for all of them, and the misspelt one gets its correction."""
    with pytest.raises(InvalidRequest) as caught:
        fit(TABLE, {"Age": np.zeros(1), "colour": np.zeros(1)}, FIELD)
    said = {one.field: one.description for one in caught.value.violations}
    assert "did you mean 'age'" in said[f"{FIELD}['Age']"]
    assert "its inputs are 'age', 'town'" in said[f"{FIELD}['colour']"]
    assert {f"{FIELD}['age']", f"{FIELD}['town']"} <= said.keys()


def test_the_empty_name_will_not_do_for_two_inputs():
    """Which of them would it be?"""
    with pytest.raises(InvalidRequest, match="is missing"):
        fit(TABLE, {"": np.zeros(1)}, FIELD)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinities_are_counted_and_refused(value):
    """A NaN in the instance makes every score NaN; the message says how many there are."""
    array = np.zeros((3, 4, 4))
    array[1, 2, :2] = value
    with pytest.raises(InvalidRequest, match="2 of 48 values are NaN or infinite") as caught:
        fit(IMAGE, {"image": array}, FIELD)
    assert caught.value.violations[0].field == f"{FIELD}['image']"


def test_without_a_batch_axis_the_whole_shape_is_the_row():
    """A leading 1 is still taken off."""
    signature = Signature((TensorInfo("x", F32, (3, 4)),), BatchAxis.NONE)
    assert fit(signature, {"": np.zeros((3, 4))}, FIELD)["x"].shape == (3, 4)
    assert fit(signature, {"": np.zeros((1, 3, 4))}, FIELD)["x"].shape == (3, 4)


def test_rows_of_a_prediction_must_be_equally_many():
    """(n, *row) each; the message counts them."""
    assert fit_rows(IMAGE, {"": np.zeros((5, 3, 4, 4))}, "inputs")["image"].dtype == F32
    with pytest.raises(InvalidRequest, match="equally many"):
        fit_rows(TABLE, {"age": np.zeros((2, 1)), "town": np.full((3, 1), "Ulm")}, "inputs")
    with pytest.raises(InputMismatch):
        fit_rows(IMAGE, {"": np.zeros((3, 4, 4))}, "inputs")
    with pytest.raises(InputMismatch):
        fit_rows(IMAGE, {"": np.zeros((0, 3, 4, 4))}, "inputs")
