"""V1's instances and inputs as instances of our contract: the forms that there are, and every mistake by its place."""

from __future__ import annotations

import base64
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from whybox.inputs import instance
from whybox.tensors import from_tensor
from whybox.v1 import explain_pb2, tensor_pb2
from whybox_server.core.errors import InvalidRequest, TooLarge
from whybox_server.core.spec import BatchAxis
from whybox_server.http.decode import parse
from whybox_server.kserve.instances import Rows, rows_in
from whybox_server.serving.onnx.fit import fit
from whybox_server.serving.onnx.signature import Signature, TensorInfo

MOST = 1 << 20


def read(body: Any, most: int = MOST) -> Rows:
    return rows_in(parse(body if isinstance(body, bytes) else json.dumps(body).encode()), most)


def wrong(body: Any) -> dict[str, str]:
    """Violations by place."""
    with pytest.raises(InvalidRequest) as caught:
        read(body)
    return {one.field: one.description for one in caught.value.violations}


ARRAYS = hnp.arrays(
    st.sampled_from([np.dtype(np.int64), np.dtype(np.float64), np.dtype(bool)]),
    hnp.array_shapes(min_dims=0, max_dims=4, max_side=3),
    elements={"allow_nan": False, "allow_infinity": False},
)


def as_floats(array: np.ndarray) -> np.ndarray:
    """JSON has one kind of number; whole ones that a float64 cannot hold stay what they are."""
    return (
        array.astype(np.float64)
        if array.dtype.kind == "i" and all(abs(int(one)) <= 2**53 for one in array.flat)
        else array
    )


@given(st.lists(ARRAYS, min_size=1, max_size=4))
def test_arrays_are_those_of_the_python_client(arrays: list[np.ndarray]):
    """The client is the oracle, given fractions: 4 is 4.0, whatever its neighbours are."""
    rows = read({"instances": [array.tolist() for array in arrays]})
    assert list(rows.instances) == [instance(as_floats(array)) for array in arrays]
    assert list(rows.given) == [array.tolist() for array in arrays]


@pytest.mark.parametrize(
    "value",
    [
        [1, 2.5],
        [[True], [False]],
        ["a", "ü"],
        [["a"], ["b"]],
        {"a": 1, "b": "x", "c": 2.5},
        {"ids": [[1.0, 2], [3, 4]], "weights": [0.5]},
        {"": [1.0]},
        "a good film",
        "",
        3.0,
        2.5,
        [2**62, -3],
        [-(2**53) - 1],
    ],
)
def test_every_form_is_that_of_the_python_client(value: Any):
    assert read({"instances": [value]}).instances == (instance(value),)
    assert read({"inputs": [value]}).instances == (instance(value),)


def test_whole_numbers_beyond_int64_are_not_rounded():
    assert from_tensor(read({"instances": [[2**63, 0]]}).instances[0].tensors.by_name[""]).tolist() == [2**63, 0]
    assert read({"instances": [[2**53, 0]]}).instances == (instance([2.0**53, 0.0]),)


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(max_dims=3, max_side=4), elements={"allow_nan": False, "allow_infinity": False}
    ),
    st.sampled_from([np.float32, np.float64, np.int64, np.int32, np.uint8]),
)
def test_the_model_gets_what_was_written(array: np.ndarray, dtype: type):
    """JSON has numbers only: as float32, int64 or uint8, the engine gives the model the very value, or refuses."""
    fitting = np.clip(np.rint(array), 0, 200) if np.dtype(dtype).kind in "iu" else array
    tensor = read({"instances": [fitting.tolist()]}).instances[0].tensors.by_name[""]
    signature = Signature((TensorInfo("x", np.dtype(dtype), (None, *fitting.shape)),), BatchAxis.DYNAMIC)
    fitted = fit(signature, {"": from_tensor(tensor)}, "instances[0]")["x"]
    assert fitted.dtype == dtype
    np.testing.assert_array_equal(fitted, fitting.astype(dtype))


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64, np.int32, np.uint8])
def test_whole_numbers_become_what_the_model_takes(dtype: type):
    """[6, 3, 5, 2], as JavaScript writes 6.0, 3.0, 5.0, 2.0."""
    tensor = read({"instances": [[6, 3, 5, 2]]}).instances[0].tensors.by_name[""]
    signature = Signature((TensorInfo("x", np.dtype(dtype), (None, 4)),), BatchAxis.DYNAMIC)
    fitted = fit(signature, {"": from_tensor(tensor)}, "instances[0]")["x"]
    assert fitted.dtype == dtype
    assert fitted.tolist() == [6, 3, 5, 2]


def test_columns_are_rows_laid_on_their_side():
    """TensorFlow Serving's columnar form says the same as its row form."""
    columns = {"inputs": {"age": [30, 41.5], "job": ["clerk", "cook"]}}
    rows = {"instances": [{"age": 30, "job": "clerk"}, {"age": 41.5, "job": "cook"}]}
    assert read(columns).instances == read(rows).instances
    assert read(columns).given == rows["instances"]
    named = {"inputs": {"x": [[1, 2], [3, 4]]}}
    assert read(named).instances == read({"instances": [{"x": [1, 2]}, {"x": [3, 4]}]}).instances


def test_tensors_of_the_other_protocol_are_rows_along_axis_0():
    one = {"name": "input-0", "shape": [2, 3], "datatype": "FP32", "data": [1, 2, 3, 4, 5, 6]}
    rows = read({"inputs": [one]})
    assert [from_tensor(row.tensors.by_name[""]).tolist() for row in rows.instances] == [[1, 2, 3], [4, 5, 6]]
    assert rows.instances[0].tensors.by_name[""].dtype == tensor_pb2.DATA_TYPE_FP32
    two = {"name": "mask", "shape": [2, 1], "datatype": "INT32", "data": [[7], [8]]}
    both = read({"inputs": [one, two]}).instances
    assert [sorted(row.tensors.by_name) for row in both] == [["input-0", "mask"]] * 2
    texts = {"name": "t", "shape": [2], "datatype": "BYTES", "data": ["a", "b"]}
    assert read({"inputs": [texts]}).instances == (explain_pb2.Instance(text="a"), explain_pb2.Instance(text="b"))
    assert "needs 6 elements" in wrong({"inputs": [{**one, "data": [1]}]})["inputs[0].data"]


@pytest.mark.parametrize(
    ("body", "place", "said"),
    [
        (b"", "body", "JSON"),
        (b"instances=1", "body", "JSON"),
        (b"\xff\xfe", "body", "JSON"),
        (b'{"instances": ["\xff"]}', "body", "JSON"),
        (b'{"instances": ["\\ud800"]}', "body", "JSON"),
        ([[1, 2]], "body", "an object"),
        (3, "body", "an object"),
        (None, "body", "an object"),
        ({}, "instances", "required"),
        ({"instances": None}, "instances", "required"),
        ({"instances": [1], "inputs": [1]}, "inputs", "not both"),
        ({"instnces": [[1]]}, "instnces", "did you mean instances?"),
        ({"instances": [1], "paramters": {}}, "paramters", "did you mean parameters?"),
        ({"instances": []}, "instances", "between 1 and 1024"),
        ({"instances": [1] * 1025}, "instances", "between 1 and 1024"),
        ({"instances": "text"}, "instances", "must be a list"),
        ({"instances": {"a": [1]}}, "instances", "must be a list"),
        ({"inputs": 3}, "inputs", "must be a list"),
        ({"inputs": {}}, "inputs", "empty"),
        ({"inputs": {"a": 1}}, "inputs['a']", "must be a list"),
        ({"inputs": {"a": [1, 2], "b": [1]}}, "inputs['b']", "has 1 entries, and 'a' has 2"),
        ({"instances": [[1, [2]]]}, "instances[0][1]", "got a list"),
        ({"instances": [[[1, 2], [3]]]}, "instances[0]", "unequal lengths"),
        ({"instances": [[1], [[1, 2], 3]]}, "instances[1][1]", "got a number"),
        ({"instances": [[1, "a"]]}, "instances[0][1]", "got a text"),
        ({"instances": [["a", 1]]}, "instances[0][1]", "got a number"),
        ({"instances": [[True, 1]]}, "instances[0][1]", "true or false"),
        ({"instances": [[1, True]]}, "instances[0][1]", "truth value"),
        ({"instances": [[None]]}, "instances[0][0]", "null"),
        ({"instances": [None]}, "instances[0]", "null"),
        ({"instances": [[{}]]}, "instances[0][0]", "an object"),
        ({"instances": [[]]}, "instances[0]", "empty"),
        ({"instances": [[[], [1]]]}, "instances[0]", "empty"),
        ({"instances": [{}]}, "instances[0]", "empty"),
        ({"instances": [{"a": None}]}, "instances[0]['a']", "must be a list"),
        ({"instances": [{"a": {"b": 1}}]}, "instances[0]['a']", "must be a list"),
        ({"instances": [{"a": 1, "b": [2]}]}, "instances[0]['a']", "single value beside others"),
        ({"instances": [[1], "a"]}, "instances[1]", "is a text and the first is an array"),
        ({"instances": [{"a": 1}, {"a": [1]}]}, "instances[1]", "is an array and the first is a row of columns"),
        (b'{"instances": [[1, NaN]]}', "instances[0][1]", "finite"),
        (b'{"instances": [{"a": -Infinity}]}', "instances[0].a", "finite"),
        (b'{"instances": [1e999]}', "instances[0]", "finite"),
        ({"instances": [10**400]}, "instances[0]", "out of range"),
        ({"instances": [{"a": 10**400}]}, "instances[0]['a']", "too large"),
        (b'{"instances": ' + b"[" * 50_000, "body", "nested too deeply"),
        (b'{"instances": ' + b"[" * 300 + b"1" + b"]" * 300 + b"}", "instances[0]", "deeper than 16"),
        (b'{"instances": [' + b'{"a":' * 300 + b"1" + b"}" * 301 + b"]}", "body", "JSON"),
        (b'{"instances": [' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"]}", "instances[0]['a']", "must be a list"),
        ({"instances": [{"b64": 3}]}, "instances[0].b64", "base64"),
        ({"instances": [{"b64": "no base64!"}]}, "instances[0].b64", "base64"),
        ({"instances": [{"b64": base64.b64encode(b"GIF89a").decode()}]}, "instances[0].b64", "PNG or JPEG"),
        ({"instances": [{"b64": ""}]}, "instances[0].b64", "PNG or JPEG"),
    ],
)
def test_a_mistake_is_said_at_its_place(body: Any, place: str, said: str):
    found = wrong(body)
    assert said in found.get(place, ""), found


def test_all_that_is_wrong_is_said_at_once():
    assert wrong({"instances": [[1], ["a", 1], [2], [None]]}).keys() == {"instances[1][1]", "instances[3][0]"}


def test_instances_count_as_they_are_decoded():
    """Half a MiB of digits is a MiB of numbers, and more than that with what is around them."""
    body = {"instances": [[1] * (MOST // 16)] * 2}
    assert len(json.dumps(body)) < MOST
    assert read(body, 2 * MOST).instances
    with pytest.raises(TooLarge, match="--message-mib"):
        read(body)


def coded(picture: Image.Image, kind: str = "PNG", **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return base64.b64encode(file.getvalue()).decode()


def noise(mode: str, *shape: int) -> Image.Image:
    dtype = np.uint16 if mode == "I;16" else np.uint8
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype)
    return Image.fromarray(values) if mode != "P" else Image.fromarray(values).quantize(8)


UPSIDE_DOWN = Image.Exif()
UPSIDE_DOWN[0x0112] = 3


@pytest.mark.parametrize(
    ("picture", "kind", "options"),
    [
        (noise("RGB", 5, 7, 3), "PNG", {}),
        (noise("L", 5, 7), "PNG", {}),
        (noise("RGBA", 5, 7, 4), "PNG", {}),
        (noise("I;16", 5, 7), "PNG", {}),
        (noise("P", 5, 7, 3), "PNG", {}),
        (noise("RGB", 5, 7, 3).convert("1"), "PNG", {}),
        (noise("RGB", 5, 7, 3), "JPEG", {"exif": UPSIDE_DOWN}),
        (noise("RGB", 5, 7, 3).convert("CMYK"), "JPEG", {}),
    ],
)
def test_pixels_are_those_that_the_client_sends_of_the_file(
    tmp_path: Path, picture: Image.Image, kind: str, options: dict[str, Any]
):
    text = coded(picture, kind, **options)
    file = tmp_path / f"picture.{kind.lower()}"
    file.write_bytes(base64.b64decode(text))
    expected = instance(file)
    assert expected.HasField("picture")
    for spelt in (text, text.rstrip("="), text.translate(str.maketrans("+/", "-_"))):
        assert read({"instances": [{"b64": spelt}]}).instances == (expected,)


def test_a_picture_is_too_large_before_it_is_read():
    """Of 65535 x 65535 pixels, in a kilobyte: nothing but its header is looked at."""
    header = b"IHDR" + (65535).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(100))
    chunks = [
        (len(chunk) - 4).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
        for chunk in (header, data, b"IEND")
    ]
    bomb = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"".join(chunks)).decode()
    with pytest.raises(TooLarge, match=r"instances\[0\].b64: its pixels"):
        read({"instances": [{"b64": bomb}]})
    with pytest.raises(TooLarge, match=r"instances\[1\].b64: 600 x 600 pixels"):
        read({"instances": [{"b64": coded(Image.new("L", (900, 900)))}, {"b64": coded(Image.new("L", (600, 600)))}]})


@given(st.data())
def test_a_broken_picture_is_refused_wherever_it_is_broken(data: st.DataObject):
    """Cut short, or with other bytes in the middle: pixels, or a plain refusal."""
    file = bytearray(base64.b64decode(coded(noise("RGB", 9, 9, 3), data.draw(st.sampled_from(["PNG", "JPEG"])))))
    cut = data.draw(st.integers(0, len(file)))
    for place in data.draw(st.lists(st.integers(0, len(file) - 1), max_size=3)):
        file[place] ^= data.draw(st.integers(1, 255))
    body = {"instances": [{"b64": base64.b64encode(file[:cut]).decode()}]}
    try:
        assert read(body).instances[0].HasField("picture")
    except TooLarge:
        pass
    except InvalidRequest as refused:
        assert [one.field for one in refused.violations] == ["instances[0].b64"]
