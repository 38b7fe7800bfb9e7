"""Tensors of the Open Inference Protocol: bytes, JSON and what is no tensor at all."""

from __future__ import annotations

import json
import struct
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.serving.remote.speech.oip import DTYPES, Tensor, array_of, raw_of, values_of


@pytest.mark.parametrize("datatype", sorted(set(DTYPES) - {"BYTES", "BF16"}))
@given(data=st.data())
def test_raw_bytes_give_the_same_array_again(datatype: str, data: st.DataObject) -> None:
    """Of every datatype that numpy has, whatever the shape and bits, those of every NaN included."""
    shape = data.draw(arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    size = int(np.prod(shape)) * np.dtype(DTYPES[datatype]).itemsize
    bits = np.frombuffer(data.draw(st.binary(min_size=size, max_size=size)), np.uint8)
    array = (bits & 1 if datatype == "BOOL" else bits).view(DTYPES[datatype]).reshape(shape)
    again = array_of(Tensor("t", datatype, array.shape, raw_of(datatype, array)))
    assert (again.dtype, again.shape) == (array.dtype, shape)
    assert again.tobytes() == array.tobytes()


@given(st.lists(st.text(), max_size=4))
def test_texts_come_back_from_bytes(texts: list[str]) -> None:
    """Each after its length, as the protocol's binary extension has it."""
    array = np.array([*texts, ""], object)[:-1]
    raw = raw_of("BYTES", array)
    assert raw == b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    assert array_of(Tensor("t", "BYTES", (len(texts),), raw)).tolist() == texts


@given(arrays.arrays(np.float32, 16, elements=st.floats(width=32)))
def test_bfloat16_rounds_as_ml_dtypes_does(array: np.ndarray) -> None:
    """The oracle is ml_dtypes, bit for bit but for NaN, which has many; values come back exactly."""
    raw = raw_of("BF16", array)
    theirs = array.astype(ml_dtypes.bfloat16)
    numbers = ~np.isnan(array)
    np.testing.assert_array_equal(np.frombuffer(raw, "<u2")[numbers], theirs.view("<u2")[numbers])
    np.testing.assert_array_equal(array_of(Tensor("t", "BF16", (16,), raw)), theirs.astype(np.float32))


def test_json_writes_what_reads_back_as_the_same_float32() -> None:
    """Seventeen digits are enough for any double, and each float32 is one."""
    array = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    again = json.loads(json.dumps(values_of("FP32", array)))
    np.testing.assert_array_equal(array_of(Tensor("t", "FP32", (1000,), values=again)), array)


def test_null_is_nan() -> None:
    """MLServer writes NaN so; that it is no answer is found out where all NaN are."""
    found = array_of(Tensor("t", "FP32", (2, 2), values=[[1, None], [2.5, 3]]))
    np.testing.assert_array_equal(found, [[1, np.nan], [2.5, 3]])


@pytest.mark.parametrize(
    ("datatype", "shape", "values"),
    [
        ("FP32", (2,), ["1", "2"]),
        ("FP32", (2,), [1, "two"]),
        ("FP32", (2, 2), [[1, 2], [3]]),
        ("FP32", (2,), {"a": 1}),
        ("FP32", (3,), [1, 2]),
        ("INT64", (2,), [1, 2.5]),
        ("INT64", (1,), [None]),
        ("FP32", (-2,), [1, 2]),
        ("FP32", (1 << 40, 1 << 40), [1]),
        ("FP99", (1,), [1]),
    ],
)
def test_data_that_do_not_fit_are_refused(datatype: str, shape: tuple[int, ...], values: Any) -> None:
    """Nothing is made a number that is none, and no memory is taken for what a shape claims."""
    with pytest.raises(ModelOutputInvalid, match="output 't'"):
        array_of(Tensor("t", datatype, shape, values=values))


@pytest.mark.parametrize(
    ("datatype", "shape", "raw"),
    [
        ("FP32", (2,), bytes(7)),
        ("FP32", (1 << 40,), bytes(8)),
        ("BYTES", (1,), struct.pack("<I", 1 << 31) + b"a"),
        ("BYTES", (1,), b"\x01\x00"),
        ("BYTES", (2,), struct.pack("<I", 1) + b"a"),
    ],
)
def test_bytes_that_do_not_fit_are_refused(datatype: str, shape: tuple[int, ...], raw: bytes) -> None:
    """Lengths are compared before anything is built."""
    with pytest.raises(ModelOutputInvalid, match="output 't'"):
        array_of(Tensor("t", datatype, shape, raw))
