"""Explanations as plain JSON values."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import msgspec
import numpy as np
import pytest
from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from tests.messages import messages

from whybox.tensors import to_tensor
from whybox.v1 import explanation_pb2, tensor_pb2
from whybox_server.kserve.shown import shown

Explanation = explanation_pb2.Explanation
ARRAY_OF = ("whybox.v1.Tensor", "whybox.v1.Tensors")
MESSAGES = [
    message for file in (explanation_pb2, tensor_pb2) for message in file.DESCRIPTOR.message_types_by_name.values()
]
TENSORS = {
    field.full_name
    for message in MESSAGES
    for field in message.fields
    if field.message_type is not None and field.message_type.full_name in ARRAY_OF
}


@given(messages(Explanation, without=TENSORS))
def test_all_but_tensors_is_proto3_json(message: explanation_pb2.Explanation):
    """google.protobuf is the oracle: it reads the very message back. 64-bit integers may be numbers then."""
    found = shown(message, {"subject": True})
    assert found.pop("parameters") == {"subject": True}
    read = json_format.ParseDict(json.loads(msgspec.json.encode(found)), Explanation())
    assert json_format.MessageToDict(read) == json_format.MessageToDict(message)


def test_whole_numbers_are_numbers_as_long_as_readers_keep_them():
    """A double holds whole numbers up to 2^53; seeds may be larger."""
    message = Explanation()
    message.usage.rows_asked, message.provenance.seed = 5000, 2**64 - 1
    found = shown(message, {})
    assert found["usage"]["rows_asked"] == 5000
    assert found["provenance"]["seed"] == str(2**64 - 1)


def test_zero_and_false_are_said():
    """Readers of plain JSON know no defaults: class 0 has an index, and what is not complete says so."""
    message = Explanation()
    message.targets.add(label="ant")
    found = shown(message, {})
    assert found["complete"] is False
    assert list(found["warnings"]) == []
    assert found["targets"] == [{"index": 0, "score": 0.0, "label": "ant"}], "a probability that is unset stays so"


ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(name) for name in ("f8", "f4", "i8", "u8", "i1", "?", "f2")]),
    hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)


@given(ARRAYS)
def test_a_tensor_is_read_back_from_either_form(array: np.ndarray):
    """Numpy is the oracle, in lists and in bytes; NaN and infinities are protobuf's words."""
    message = Explanation()
    message.attribution.values.CopyFrom(to_tensor(array, ""))
    lists = json.loads(msgspec.json.encode(shown(message, {})))["attribution"]["values"]
    coded = shown(message, {"tensors": "base64"})["attribution"]["values"]
    assert lists["shape"] == coded["shape"] == list(array.shape)
    assert lists["dtype"] == coded["dtype"]
    raw = np.frombuffer(base64.b64decode(coded["data"]), array.dtype).reshape(array.shape)
    np.testing.assert_array_equal(raw, array)
    words = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
    flat = [words.get(value, value) for value in np.ravel(np.array(lists["data"], dtype=object))]
    np.testing.assert_array_equal(np.array(flat, array.dtype).reshape(array.shape), array)


def test_dtypes_have_the_names_of_the_open_inference_protocol():
    message = Explanation()
    message.contrast.pertinent_negative.values.by_name["t"].CopyFrom(to_tensor(np.array(["a"], dtype=object), ""))
    values = shown(message, {"tensors": "base64"})["contrast"]["pertinent_negative"]["values"]["by_name"]["t"]
    assert values == {"dtype": "STRING", "shape": [1], "data": ["a"]}
    message.attribution.values.CopyFrom(to_tensor(np.zeros((1, 2), np.float32), ""))
    assert shown(message, {})["attribution"]["values"] == {"dtype": "FP32", "shape": [1, 2], "data": [[0, 0]]}


@pytest.mark.parametrize("view", ["picture", "tensor", "series", "text", "table"])
@pytest.mark.parametrize(
    "asked", [{}, {"subject": False}, {"subject": True}, {"subject": "TRUE"}, {"subject": "false"}]
)
def test_what_the_caller_sent_is_not_sent_back_unless_asked_for(view: str, asked: dict[str, Any]):
    """The cut text and the readable row are no mere repetition; a counterpart's picture is none at all."""
    message = Explanation()
    pixels = to_tensor(np.zeros((2, 2, 3), np.uint8), "")
    getattr(message.subject, view).MergeFrom(
        pixels if view in ("picture", "tensor") else type(getattr(message.subject, view))()
    )
    getattr(message.subject, view).SetInParent()
    message.subject.modality = 1
    message.contrast.pertinent_negative.subject.picture.CopyFrom(pixels)
    found = shown(message, asked)
    kept = view in ("text", "table") or str(asked.get("subject")).lower() == "true"
    assert (view in found["subject"]) == kept
    assert "modality" in found["subject"]
    assert "picture" in found["contrast"]["pertinent_negative"]["subject"]
    assert found["parameters"] == asked
