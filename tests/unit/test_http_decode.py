"""JSON to messages: everything proto3 JSON has, tensors as lists, and every mistake by its place."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from tests.messages import messages

from whybox.v1 import endpoint_pb2, explain_pb2, explanation_pb2, tensor_pb2
from whybox_server.api.decode import Findings
from whybox_server.api.tensors import DTYPES, to_array
from whybox_server.core.errors import InvalidRequest
from whybox_server.http.decode import from_query, parse, to_message
from whybox_server.http.encode import to_json

Explain, Tensor = explain_pb2.ExplainRequest, tensor_pb2.Tensor
MADE = (Explain, endpoint_pb2.CreateEndpointRequest, explain_pb2.ListMethodsResponse, explanation_pb2.Explanation)


def read(body: object, made: type[Message] = Explain, **held: str) -> Message:
    found = Findings()
    message = to_message(made, parse(body if isinstance(body, bytes) else json.dumps(body).encode()), held, found)
    found.settle()
    return message


def wrong(body: object, made: type[Message] = Explain, **held: str) -> dict[str, str]:
    """Violations by place."""
    with pytest.raises(InvalidRequest) as caught:
        read(body, made, **held)
    return {violation.field: violation.description for violation in caught.value.violations}


@given(st.sampled_from(MADE).flatmap(messages), st.booleans())
def test_what_json_format_writes_is_read_back(message: Message, camel: bool):
    """google.protobuf is the oracle, in both spellings of names."""
    said = json_format.MessageToJson(message, preserving_proto_field_name=not camel)
    assert read(said.encode(), type(message)) == message


@given(st.sampled_from(MADE).flatmap(messages))
def test_what_is_written_is_what_json_format_reads(message: Message):
    """google.protobuf is the oracle, of what it reads and of what it writes itself."""
    assert json_format.Parse(to_json(message), type(message)()) == message
    assert json.loads(to_json(message)) == json_format.MessageToDict(message, preserving_proto_field_name=True)


def test_what_json_has_no_word_for_is_written_as_proto3_has_it():
    """Numbers that are not finite, and numbers that an enum does not know, as google.protobuf writes them."""
    message = explanation_pb2.Explanation()
    message.attribution.quality.add().measures.update({"a": math.nan, "b": math.inf, "c": -math.inf, "d": 0.1, "e": 2.0})
    message.provenance.mode = 77
    message.provenance.nodes["CPU"] = 3
    said = to_json(message)
    assert json.loads(said) == json_format.MessageToDict(message, preserving_proto_field_name=True)
    assert json_format.Parse(said, explanation_pb2.Explanation()).provenance == message.provenance


def test_names_are_those_of_the_proto():
    """64-bit integers are texts, as proto3 JSON has them; what is unset is left out."""
    message = explanation_pb2.Attribution(values=Tensor(dtype=tensor_pb2.DATA_TYPE_FP64, shape=[1], data=bytes(8)), additive=True)
    values = {"dtype": "DATA_TYPE_FP64", "shape": ["1"], "data": "AAAAAAAAAAA="}
    assert json.loads(to_json(message)) == {"values": values, "additive": True}
    assert b'"base_values"' in to_json(explanation_pb2.Attribution(base_values=Tensor()))


@pytest.mark.parametrize("dtype", DTYPES.values())
@pytest.mark.parametrize("shape", [(3,), (2, 3), (2, 0), (1, 2, 2)])
def test_lists_hold_what_base64_holds(dtype: str, shape: tuple[int, ...]):
    """numpy's own bytes are the oracle; a shape beside flat lists is taken, and may be left out of nested ones."""
    array = np.random.default_rng(1).normal(size=shape).astype(dtype)
    name = tensor_pb2.DataType.Name(next(number for number, code in DTYPES.items() if code == dtype))
    short = name.removeprefix("DATA_TYPE_")
    packed = {"dtype": name, "shape": list(shape), "data": base64.b64encode(array.tobytes()).decode()}
    lists = {"dtype": short, "data": array.tolist()}
    flat = {"dtype": short, "shape": list(shape), "data": array.ravel().tolist()}
    expected = read(packed, Tensor)
    np.testing.assert_array_equal(to_array(expected, ""), array)
    assert read(lists, Tensor) == read(flat, Tensor) == expected


def test_texts_come_as_lists_too():
    tensor = read({"dtype": "STRING", "data": [["a"], ["ü"]]}, Tensor)
    assert list(tensor.strings) == ["a", "ü"]
    assert list(tensor.shape) == [2, 1]


@pytest.mark.parametrize("alphabet", ["+/", "-_"])
def test_base64_of_either_alphabet_with_or_without_padding(alphabet: str):
    data = bytes(range(255, 0, -7))
    text = base64.b64encode(data).decode().translate(str.maketrans("+/", alphabet))
    for spelt in (text, text.rstrip("=")):
        assert read({"data": spelt}, Tensor).data == data


TENSORS = [
    ({"dtype": "FP32", "data": [[1, 2], [3]]}, "data", "unequal lengths"),
    ({"dtype": "FP32", "data": [[[1]], [[1], [2]]]}, "data", "unequal lengths"),
    ({"dtype": "FP32", "data": [[1], 2]}, "data[1]", "must be a list"),
    ({"dtype": "FP32", "data": [1, [2]]}, "data[1]", "must be a number, got a list"),
    ({"dtype": "FP32", "data": [[1, None]]}, "data[0][1]", "must be a number, got null"),
    ({"dtype": "FP32", "data": [[1, "2"]]}, "data[0][1]", "must be a number, got a text"),
    ({"dtype": "FP32", "data": [True]}, "data[0]", "must be a number, got a truth value"),
    ({"dtype": "FP32", "data": [1, {}]}, "data[1]", "must be a number, got an object"),
    ({"dtype": "FP32", "data": [[0], [1e39]]}, "data[1][0]", "is too large for float32"),
    ({"dtype": "FP16", "data": [0, -70000]}, "data[1]", "is too large for float16"),
    ({"dtype": "FP64", "data": [0, 10**400]}, "data[1]", "must be a number"),
    ({"dtype": "INT8", "data": [[1], [-129]]}, "data[1][0]", "must be in [-128, 127]"),
    ({"dtype": "UINT64", "data": [2**64 - 1, -1]}, "data[1]", "must be in [0, 18446744073709551615]"),
    ({"dtype": "INT32", "data": [1.5]}, "data[0]", "must be a whole number"),
    ({"dtype": "BOOL", "data": [True, 1]}, "data[1]", "must be true or false"),
    ({"dtype": "STRING", "data": ["a", 1]}, "data[1]", "must be a text"),
    ({"dtype": "FP32", "shape": [2, 1], "data": [[1, 2]]}, "data", "`shape` says (2, 1)"),
    ({"dtype": "FP32", "data": json.loads("[" * 17 + "]" * 17)}, "data", "deeper than 16"),
    ({"dtype": "FP32", "data": "A*=="}, "data", "no base64"),
    ({"dtype": "FP32", "data": "ü"}, "data", "no base64"),
    ({"dtype": "FP32", "data": 5}, "data", "must be base64"),
    ({"dtype": "FP32", "data": {}}, "data", "must be base64"),
    ({"dtype": "FP31", "data": []}, "dtype", "DATA_TYPE_FP32"),
]


@pytest.mark.parametrize(("body", "place", "why"), TENSORS)
def test_a_wrong_tensor_is_refused_at_the_element(body: object, place: str, why: str):
    assert why in wrong(body, Tensor)[place]


PLACES = [
    (b"", "body", "no JSON"),
    (b"{", "body", "no JSON"),
    (b"\xff{}", "body", "no JSON"),
    (b"[" * 100_000, "body", "nested too deeply"),
    (b'{"a":' * 100_000, "body", "nested too deeply"),
    (b"[]", "body", "must be an object, got a list"),
    (b"null", "body", "must be an object, got null"),
    (b'{"seed": ' + b"9" * 10_000 + b"}", "body", "no JSON"),
    (b"NaN", "body", "finite"),
    (b'{"spec": {"image": {"mean": [0, NaN]}}}', "spec.image.mean[1]", "finite"),
    (b'{"spec": {"image": {"white": -Infinity}}}', "spec.image.white", "finite"),
    (b'{"spec": {"image": {"white": 1e999}}}', "spec.image.white", "finite"),
    ({"spec": {"image": {"mean": [0, "NaN"]}}}, "spec.image.mean[1]", "finite"),
    ({"spec": {"image": {"white": "Infinity"}}}, "spec.image.white", "finite"),
    ({"lime": {"kernel_width": 10**400}}, "lime.kernel_width", "must be a number"),
    ({"seed": -1}, "seed", "must be a whole number of 64 bits, not negative, got -1"),
    ({"seed": 1.5}, "seed", "got 1.5"),
    ({"seed": True}, "seed", "got true"),
    ({"seed": []}, "seed", "got a list"),
    ({"model": 5}, "model", "must be a text, got 5"),
    ({"mode": "SLOW"}, "mode", 'must be one of MODE_FAST, MODE_REPRODUCIBLE, got "SLOW"'),
    ({"render": "TEXT"}, "render", "must be a list"),
    ({"render": ["TEXT", "GIF"]}, "render[1]", "must be one of"),
    ({"instances": {"text": "a"}}, "instances", "must be a list, got an object"),
    ({"instances": [{"text": "a"}, None]}, "instances[1]", "must be an object, got null"),
    ({"instances": [{"text": "a", "record": {}}]}, "instances[0].record", "only one of text and record"),
    ({"instances": [{"record": {"fields": []}}]}, "instances[0].record.fields", "must be an object"),
    ({"instances": [{"record": {"fields": {"a": 5}}}]}, "instances[0].record.fields['a']", "must be an object"),
    ({"spec": {"tabular": {"categories": {"x": {}}}}}, "spec.tabular.categories['x']", "whole number"),
    ({"spec": {"labels": ["a", 5]}}, "spec.labels[1]", "must be a text, got 5"),
    ({"endpoint": {"headers": {"a": 5}}}, "endpoint.headers", "must be an object of texts"),
    ({"max_queries": 1, "maxQueries": 1}, "max_queries", "given twice"),
    ({"lime": {}, "occlusion": {}}, "occlusion", "only one of lime and occlusion"),
    ({"modle": "a"}, "modle", "no such field; there are model, instances"),
    ({"x" * 500: 1}, "x" * 60 + "...", "no such field"),
]


@pytest.mark.parametrize(("body", "place", "why"), PLACES)
def test_a_wrong_body_is_refused_at_its_place(body: object, place: str, why: str):
    assert why in wrong(body)[place]


def test_every_mistake_is_told_at_once():
    body = {"seed": -1, "lime": {"nope": 1}, "instances": [{"text": 5}, {"tensors": {"by_name": {"x": {"data": 5}}}}]}
    assert set(wrong(body)) == {"seed", "lime.nope", "instances[0].text", "instances[1].tensors.by_name['x'].data"}


def test_null_is_unset():
    assert read({"lime": None, "occlusion": {}, "seed": None}).WhichOneof("method") == "occlusion"


def test_a_path_holds_a_field_that_the_body_may_repeat_but_not_contradict():
    assert read({"model": "models/a"}, model="models/a") == read({}, model="models/a") == Explain(model="models/a")
    assert "the path says models/a" in wrong({"model": "models/b"}, model="models/a")["model"]


def test_queries_are_read_by_type_and_each_name_once():
    made = endpoint_pb2.ListEndpointsRequest
    found = Findings()
    assert from_query(made, [("page_size", "3"), ("pageToken", "x")], {}, found) == made(page_size=3, page_token="x")  # noqa: S106
    found.settle()
    from_query(made, [("page_size", "a"), ("page_token", "1"), ("page_token", "2"), ("q", "")], {}, found)
    assert [violation.field for violation in found.violations] == ["page_token", "page_size", "q"]
