"""Every accepted form of an instance becomes the message it means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from whybox import ExplainError
from whybox.inputs import instance, instances
from whybox.tensors import from_tensor
from whybox.v1 import explain_pb2

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def one_tensor(found: explain_pb2.Instance, name: str = "") -> Any:
    assert list(found.tensors.by_name) == [name]
    return from_tensor(found.tensors.by_name[name])


@pytest.mark.parametrize("value", [ARRAY, ARRAY[None], ARRAY.tolist(), ARRAY.astype(np.int64)], ids=str)
def test_an_array_is_the_models_one_input(value: Any) -> None:
    """The empty name; shape and dtype as they are, a leading 1 included."""
    found = one_tensor(instance(value))
    assert found.shape == np.asarray(value).shape
    assert found.tolist() == np.asarray(value).tolist()


def test_a_dict_of_arrays_goes_by_input_name() -> None:
    """Scalars among arrays are arrays of rank 0."""
    found = instance({"a": ARRAY, "b": 3})
    assert sorted(found.tensors.by_name) == ["a", "b"]
    assert list(found.tensors.by_name["b"].shape) == []


def test_a_dict_of_scalars_is_a_record() -> None:
    """Numbers and texts by column name; a truth is a number."""
    found = instance({"age": np.int64(41), "city": "Bern", "member": True})
    fields = found.record.fields
    assert (fields["age"].number, fields["city"].text, fields["member"].number) == (41.0, "Bern", 1.0)


def test_a_string_is_a_text_even_when_it_mentions_a_picture() -> None:
    """Only a lone word that ends like a picture file is taken for a path."""
    assert instance("I saw it in cat.png").text == "I saw it in cat.png"
    with pytest.raises(ExplainError, match="no picture"):
        instance("cat.png")


def test_files_are_what_their_endings_say(tmp_path: Path) -> None:
    """The same instances as from memory."""
    np.save(tmp_path / "x.npy", ARRAY)
    np.savez(tmp_path / "one.npz", ARRAY)
    np.savez(tmp_path / "two.npz", a=ARRAY, b=ARRAY)
    (tmp_path / "row.csv").write_text("age, city\n41,Bern\n")
    (tmp_path / "row.json").write_text(json.dumps({"age": 41, "city": "Bern"}))
    (tmp_path / "array.json").write_text(json.dumps({"x": [1, 2]}))
    (tmp_path / "t.txt").write_text("très bien\n", encoding="utf-8")
    row = instance({"age": 41.0, "city": "Bern"})
    assert instance(tmp_path / "x.npy") == instance(ARRAY) == instance(tmp_path / "one.npz")
    assert instance(tmp_path / "two.npz") == instance({"a": ARRAY, "b": ARRAY})
    assert instance(tmp_path / "row.csv") == row == instance(tmp_path / "row.json")
    assert instance(tmp_path / "array.json") == instance({"x": [1, 2]})
    assert instance(tmp_path / "t.txt").text == "très bien"


@pytest.mark.parametrize("suffix", ["png", "jpg", "jpeg"])
def test_a_picture_is_bytes_in_height_width_channels(tmp_path: Path, suffix: str) -> None:
    """From a path, from the path's name, and from an open image: uint8 (height, width, 3)."""
    path = tmp_path / f"p.{suffix}"
    Image.new("RGB", (5, 4), (200, 100, 50)).save(path)
    found = from_tensor(instance(path).picture)
    assert (found.dtype, found.shape) == (np.uint8, (4, 5, 3))
    assert np.abs(found[0, 0].astype(int) - [200, 100, 50]).max() <= 3  # JPEG rounds
    assert instance(str(path)) == instance(path)
    with Image.open(path) as image:
        assert instance(image) == instance(path)


@pytest.mark.parametrize(
    ("image", "pixel"),
    [
        (Image.new("L", (2, 2), 7), [7]),
        (Image.new("RGBA", (2, 2), (10, 20, 30, 0)), [255, 255, 255]),
        (Image.fromarray(np.full((2, 2), 257 * 9, np.uint16)), [9]),
        (Image.new("1", (2, 2), 1), [255]),
    ],
    ids=["grey", "transparent", "16 bits", "1 bit"],
)
def test_unusual_pictures_become_usual_ones(image: Image.Image, pixel: list[int]) -> None:
    """Grey stays one channel, transparent shows white, 16 bits are scaled and not clipped."""
    assert from_tensor(instance(image).picture)[0, 0].tolist() == pixel


def test_a_picture_taken_sideways_stands_upright(tmp_path: Path) -> None:
    """EXIF orientation 6: turn right by 90 degrees, so width and height change places."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (6, 4)).save(tmp_path / "p.jpg", exif=exif)
    assert from_tensor(instance(tmp_path / "p.jpg").picture).shape == (6, 4, 3)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.npy", b"no array", "as npy"),
        ("x.npz", b"no archive", "as npz"),
        ("x.png", b"no picture", "as png"),
        ("x.json", b"{", "as json"),
        ("x.csv", b"a,b\n1,2\n3,4\n", "2 rows"),
        ("x.csv", b"a,b\n", "0 rows"),
        ("x.csv", b"a,b\n1\n", "header's 2 cells"),
        ("x.txt", b"\xff", "as txt"),
        ("x.onnx", b"", "known endings"),
    ],
)
def test_a_file_that_is_not_what_it_says_is_refused(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    """By name, with what is wrong; never an exception of a library."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ExplainError, match=said) as refused:
        instance(path, "--input")
    assert refused.value.violations[0].field == "--input"
    path.unlink()
    with pytest.raises(ExplainError):
        instance(path)


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    """An .npy of objects could run code."""
    np.save(tmp_path / "x.npy", np.array([{}], dtype=object))
    with pytest.raises(ExplainError, match="as npy"):
        instance(tmp_path / "x.npy")


@pytest.mark.parametrize("value", [{}, None, object(), {"a": object()}])
def test_what_is_no_instance_is_refused(value: Any) -> None:
    """In words."""
    with pytest.raises(ExplainError):
        instance(value)


def test_a_batch_is_a_list_of_instances_however_it_comes(tmp_path: Path) -> None:
    """An array with a row axis, a dict of them, a list, a file: the same two instances."""
    rows = np.arange(6.0).reshape(2, 3)
    np.save(tmp_path / "x.npy", rows)
    expected = [instance(rows[0]), instance(rows[1])]
    assert instances(rows) == instances(list(rows)) == instances(tmp_path / "x.npy") == expected
    assert instances({"a": rows}) == [instance({"a": rows[0]}), instance({"a": rows[1]})]
    (tmp_path / "x.csv").write_text("a,b\n1,u\n2,v\n")
    assert instances(tmp_path / "x.csv") == [instance({"a": 1.0, "b": "u"}), instance({"a": 2.0, "b": "v"})]


@pytest.mark.parametrize("batch", ["a text", [], {}, 7, np.array(3.0), {"a": [1], "b": [1, 2]}])
def test_a_batch_without_rows_is_refused(batch: Any) -> None:
    """A text is no list of letters."""
    with pytest.raises(ExplainError, match="instances"):
        instances(batch)


def test_the_wrong_one_of_a_batch_is_named() -> None:
    """By its index."""
    with pytest.raises(ExplainError, match=r"instances\[1\]"):
        instances(["fine", None])
