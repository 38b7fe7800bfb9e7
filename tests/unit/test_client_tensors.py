"""Arrays survive the wire; what has no wire type is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from whybox import ExplainError
from whybox.tensors import DTYPES, from_tensor, to_tensor
from whybox.v1 import tensor_pb2

SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
ANY_ORDER = st.sampled_from(list(DTYPES.values())).flatmap(
    lambda d: st.sampled_from([d, d.newbyteorder(">")])
)


@given(ANY_ORDER.flatmap(lambda dtype: arrays.arrays(dtype, SHAPES)))
def test_every_number_comes_back_bit_for_bit(array: np.ndarray) -> None:
    """The identity, for all dtypes of the wire, either byte order, scalars and empty axes included."""
    back = from_tensor(to_tensor(array, "x"))
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.tobytes() == array.astype(back.dtype).tobytes()


@given(arrays.arrays(np.float32, (3, 4)), st.booleans())
def test_strides_do_not_reach_the_wire(array: np.ndarray, reverse: bool) -> None:
    """A transposed or reversed view is sent as the C-contiguous copy of itself."""
    view = array.T[::-1] if reverse else array.T
    assert to_tensor(view, "x") == to_tensor(view.copy(order="C"), "x")


@given(arrays.arrays(object, SHAPES, elements=st.text(st.characters(exclude_categories=["Cs"]), max_size=5)))
def test_every_text_comes_back(array: np.ndarray) -> None:
    """The identity for strings, zero bytes and all of Unicode included."""
    back = from_tensor(to_tensor(array, "x"))
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()


def test_the_wire_is_little_endian_and_row_major() -> None:
    """1 and 258 as int16 are 01 00 02 01, whatever the machine thinks."""
    tensor = to_tensor(np.array([[1, 258]], dtype=">i2"), "x")
    assert tensor.data == bytes([1, 0, 2, 1])
    assert list(tensor.shape) == [1, 2]
    assert tensor.dtype == tensor_pb2.DATA_TYPE_INT16


def test_every_type_of_the_contract_is_known() -> None:
    """DataType without UNSPECIFIED is the table of numbers and STRING: a new one must be added here."""
    assert set(DTYPES) | {tensor_pb2.DATA_TYPE_STRING} == set(tensor_pb2.DataType.values()) - {0}


def test_a_table_of_numbers_and_strings_travels_as_strings() -> None:
    """numpy makes objects of it, and the wire has no objects."""
    tensor = to_tensor(np.array([[1.5, "Bern"]], dtype=object), "x")
    assert list(tensor.strings) == ["1.5", "Bern"]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([1j]), "complex128"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), "datetime64"),
        (np.array([None]), "None"),
        ([[1, 2], [3]], "lengths"),
        (np.array([b"\xff"]), "UTF-8"),
        ("\ud800", "Unicode"),
    ],
)
def test_what_has_no_wire_type_is_refused_with_its_field(value: object, said: str) -> None:
    """The message names the field and what is wrong with it."""
    with pytest.raises(ExplainError, match=said) as refused:
        to_tensor(value, "instances[0]")
    assert refused.value.violations[0].field == "instances[0]"
    assert not refused.value.remote


@pytest.mark.parametrize(
    "tensor",
    [
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FP32, shape=[2], data=b"1234"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FP32, shape=[1], data=b"12345"),
        tensor_pb2.Tensor(shape=[1], data=b"1"),
        tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_STRING, shape=[2], strings=["a"]),
    ],
)
def test_a_tensor_that_contradicts_itself_is_an_error_of_the_server(tensor: tensor_pb2.Tensor) -> None:
    """Never a shorter array, never a crash inside numpy."""
    with pytest.raises(ExplainError, match="broken") as broken:
        from_tensor(tensor)
    assert broken.value.remote
