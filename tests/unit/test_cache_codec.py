"""Records and sealed values: what goes in comes out bit for bit, and nothing else comes out."""

from __future__ import annotations

import struct
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from whybox_server.core.errors import ModelOutputInvalid
from whybox_server.serving.cache.codec import (
    CHUNK_BYTES,
    DTYPES,
    Ragged,
    layout_in,
    layout_of,
    pack,
    seal,
    unpack,
    unseal,
)
from whybox_server.serving.lane import Answers

CHECK = b"8 bytes!"


@st.composite
def answers_of(draw: st.DrawFn) -> Answers:
    """One to three answers for a few rows, of any dtype and of shapes with zeros and ones in them."""
    rows = draw(st.integers(1, 5))
    shapes = draw(
        st.lists(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4), min_size=1, max_size=3),
    )
    dtypes = st.sampled_from(sorted(DTYPES)).map(np.dtype)
    return tuple(draw(hnp.arrays(draw(dtypes), (rows, *shape))) for shape in shapes)


@given(answers_of())
def test_answers_survive_the_way_into_redis_and_back_bit_for_bit(answers: Answers) -> None:
    """The oracle is the input: dtype, shape and bytes, NaN payloads and negative zeros included."""
    layout = layout_of(answers, len(answers[0]))
    values = [seal(record, CHECK) for record in pack(layout, answers)]
    records = [unseal(value, CHECK) for value in values]
    found_layout, found = unpack([record for record in records if record is not None])
    assert found_layout == layout
    for before, after in zip(answers, found, strict=True):
        assert (after.dtype, after.shape, after.tobytes()) == (before.dtype, before.shape, before.tobytes())


def test_big_endian_answers_come_back_as_equal_numbers() -> None:
    """Values are little-endian on every machine; 1.5 and -2 are the same numbers in either order."""
    answers = (np.array([[1.5], [-2.0]], ">f4"),)
    _, (found,) = unpack(pack(layout_of(answers, 2), answers))
    assert found.dtype == np.dtype("<f4")
    assert found.tolist() == [[1.5], [-2.0]]


def test_rows_larger_than_a_chunk_are_packed_one_by_one() -> None:
    """Three rows of more than `CHUNK_BYTES` each come back equal."""
    answers = (np.arange(3 * (CHUNK_BYTES // 8 + 1), dtype=np.float64).reshape(3, -1),)
    _, (found,) = unpack(pack(layout_of(answers, 3), answers))
    assert np.array_equal(found, answers[0])


@given(st.binary(max_size=64))
def test_garbage_is_a_miss(value: bytes) -> None:
    """No bytes that we did not write are taken for an answer, and none raise."""
    assert unseal(value, CHECK) is None


@given(answers_of(), st.data())
def test_a_value_with_any_byte_changed_or_missing_is_a_miss(answers: Answers, data: st.DataObject) -> None:
    """CRC-32 finds every change of one byte; the check and the size find the rest."""
    value = seal(pack(layout_of(answers, len(answers[0])), answers)[0], CHECK)
    at = data.draw(st.integers(0, len(value) - 1))
    flip = data.draw(st.integers(1, 255))
    assert unseal(value[:at] + bytes([value[at] ^ flip]) + value[at + 1 :], CHECK) is None
    assert unseal(value[:at], CHECK) is None
    assert unseal(value + b"\0", CHECK) is None


def test_a_right_value_under_a_wrong_key_is_a_miss() -> None:
    """Its check belongs to another row."""
    answers = (np.zeros((1, 2)),)
    value = seal(pack(layout_of(answers, 1), answers)[0], b"another!")
    assert unseal(value, CHECK) is None
    assert unseal(value, b"another!") is not None


@pytest.mark.parametrize("value", [None, 7, "text", [b"a list"], b""])
def test_what_is_not_bytes_is_a_miss(value: object) -> None:
    """Redis may hold anything under our key."""
    assert unseal(value, CHECK) is None


def _forged(header: bytes, payload: bytes) -> bytes:
    record = header + payload
    return record + struct.pack("<8sI", CHECK, crc32(record + CHECK))


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<BBHcBBI", 9, 0, 11, b"f", 4, 1, 1),  # a later version
        struct.pack("<BBHcBBI", 1, 1, 11, b"f", 4, 1, 1),  # a flag nobody knows
        struct.pack("<BBHcBBI", 1, 0, 11, b"O", 8, 1, 1),  # objects
        struct.pack("<BBHcBBI", 1, 0, 11, b"f", 4, 1, 2**32 - 1),  # 16 GiB
        struct.pack("<BBHcBBI", 1, 0, 11, b"f", 4, 9, 1),  # nine dimensions, one of them there
        struct.pack("<BBHcBBI", 1, 0, 65535, b"f", 4, 1, 1),  # a header longer than the value
        struct.pack("<BBH", 1, 0, 4),  # no answers
        struct.pack("<BBHcBBI", 1, 0, 11, b"\xff", 4, 1, 1),
    ],
)
def test_a_well_sealed_value_with_an_impossible_header_is_a_miss(header: bytes) -> None:
    """Seal and size are right, only the header lies; nothing is allocated for it."""
    assert unseal(_forged(header, bytes(4)), CHECK) is None


def test_records_of_different_layouts_do_not_mix() -> None:
    """Equal sizes are not enough: two float32 are no float64."""
    narrow, wide = (np.zeros((1, 2), np.float32),), (np.zeros((1, 1), np.float64),)
    long = (np.zeros((1, 3), np.float32),)
    first = pack(layout_of(narrow, 1), narrow)
    for other in (wide, long):
        with pytest.raises(Ragged):
            unpack(first + pack(layout_of(other, 1), other))
    with pytest.raises(Ragged):
        unpack([b"no record"])
    assert layout_in(b"no") is None


@pytest.mark.parametrize(
    "answer",
    [
        np.zeros((3, 1)),
        np.zeros(()),
        np.array([["a"], ["b"]]),
        np.zeros((2, 1), complex),
        np.zeros((2, 1), object),
    ],
)
def test_answers_that_are_no_numbers_or_not_one_per_row_are_refused(answer: np.ndarray) -> None:
    """Two rows were asked."""
    with pytest.raises(ModelOutputInvalid):
        layout_of((answer,), 2)
