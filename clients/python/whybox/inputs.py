"""What a caller may pass as the thing to be explained, turned into a `whybox.v1.Instance`.

Arrays, dicts, texts, pictures, and files of each. It does not know the model: whether the instance
fits is the server's to say.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from whybox.errors import invalid
from whybox.tensors import Array, as_array, to_tensor
from whybox.v1 import explain_pb2

PICTURES = frozenset({".png", ".jpg", ".jpeg"})
SCALARS = (str, bool, int, float, np.generic)
SIXTEEN_TO_EIGHT_BITS = 257  # 65535 / 255


def instance(inputs: Any, field: str = "instances[0]") -> explain_pb2.Instance:
    """One instance from any of the accepted forms.

    - array, or nested list: the model's one input, without the batch axis (or with a leading 1)
    - dict of arrays by input name; dict of numbers and strings by column name
    - str: a text; if it is the name of a picture file, that picture
    - PIL image: a picture
    - pathlib.Path: .npy .npz .png .jpg .jpeg .csv .json .txt

    field: path of the instance in the request, for the message of an error.
    Raises ExplainError saying what was wrong and which forms there are.
    """
    if isinstance(inputs, explain_pb2.Instance):
        return inputs
    if isinstance(inputs, str) and _means_a_picture(inputs, field):
        inputs = Path(inputs)
    if isinstance(inputs, Path):
        inputs = _read(inputs, field)
    if isinstance(inputs, str):
        _ = to_tensor(inputs, field)  # refuses what is no Unicode
        return explain_pb2.Instance(text=inputs)
    if isinstance(inputs, _Picture):
        return explain_pb2.Instance(picture=to_tensor(inputs.pixels, field))
    if hasattr(inputs, "convert") and hasattr(inputs, "getbands"):
        return explain_pb2.Instance(picture=to_tensor(pixels_of(inputs), field))
    if isinstance(inputs, Mapping):
        return _from_dict(inputs, field)
    if inputs is None:
        raise invalid(field, "nothing was passed; pass an array, a dict, a text, or a path")
    found = explain_pb2.Instance()
    found.tensors.by_name[""].CopyFrom(to_tensor(inputs, field))
    return found


def instances(batch: Any) -> list[explain_pb2.Instance]:
    """Many instances: an array with a leading row axis, a dict of such arrays, a list of anything that
    `instance` takes, or a path to a .npy, .npz, .csv or .json file of rows.

    Raises ExplainError; the path of the wrong instance is in it.
    """
    if isinstance(batch, str):
        raise invalid("instances", "a batch is a list; pass [text] or call explain()")
    if isinstance(batch, Path):
        batch = _rows(batch)
    if isinstance(batch, Mapping):
        batch = _split(batch)
    if not isinstance(batch, Iterable) or (isinstance(batch, np.ndarray) and batch.ndim == 0):
        raise invalid("instances", "there is no row axis; pass (rows, *input shape), or a list")
    found = [instance(one, f"instances[{number}]") for number, one in enumerate(batch)]
    if not found:
        raise invalid("instances", "the batch is empty; pass at least one instance")
    return found


class _Picture:
    """Pixels that came out of a picture file: uint8 (height, width, 3 or 1)."""

    def __init__(self, pixels: Array) -> None:
        self.pixels = pixels


def _from_dict(values: Mapping[Any, Any], field: str) -> explain_pb2.Instance:
    if not values:
        raise invalid(field, "the dict is empty; pass arrays by input name, or values by column name")
    found = explain_pb2.Instance()
    if all(isinstance(value, SCALARS) for value in values.values()):
        for name, value in values.items():
            where = f"{field}.record[{str(name)!r}]"
            if isinstance(value, str):
                _ = to_tensor(value, where)
                found.record.fields[str(name)].text = value
            else:
                found.record.fields[str(name)].number = float(value)
        return found
    for name, value in values.items():
        found.tensors.by_name[str(name)].CopyFrom(to_tensor(value, f"{field}.tensors[{str(name)!r}]"))
    return found


def _means_a_picture(text: str, field: str) -> bool:
    """True for the name of a picture file; a lone word with such an ending is a slip, not a text."""
    path = Path(text)
    if path.suffix.lower() not in PICTURES or "\n" in text:
        return False
    try:
        exists = path.is_file()
    except (OSError, ValueError):  # too long for a file name, or a zero byte: a text
        return False
    if not exists and " " not in text:
        raise invalid(field, f"there is no picture {text!r}; check the path")
    return exists


def _read(path: Path, field: str) -> Any:
    """What a file holds, as one of the forms that are no path."""
    readers = {
        ".npy": _read_npy,
        ".npz": _read_npz,
        ".csv": lambda path: _only(read_csv(path), path, field),
        ".json": _read_json,
        ".txt": lambda path: path.read_text(encoding="utf-8").rstrip("\r\n"),
        **dict.fromkeys(PICTURES, _read_picture),
    }
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise invalid(field, f"cannot read {path.name}; known endings are {', '.join(readers)}")
    try:
        return reader(path)
    except FileNotFoundError as error:
        raise invalid(field, f"there is no file {path}; check the path") from error
    except (OSError, ValueError, EOFError) as error:
        raise invalid(field, f"cannot read {path} as {path.suffix[1:]}: {error}") from error


def _rows(path: Path) -> Any:
    if path.suffix.lower() != ".csv":
        return _read(path, "instances")
    try:
        return read_csv(path)
    except (OSError, ValueError) as error:
        raise invalid("instances", f"cannot read {path}: {error}") from error


def _only(rows: Sequence[Mapping[str, Any]], path: Path, field: str) -> Mapping[str, Any]:
    if len(rows) != 1:
        message = f"{path.name} holds {len(rows)} rows below its header; keep one, or call explain_many"
        raise invalid(field, message)
    return rows[0]


def _read_npy(path: Path) -> Array:
    array: Array = np.load(path, allow_pickle=False)
    return array


def _read_npz(path: Path) -> Array | dict[str, Array]:
    """The arrays by name; a single unnamed one is the model's one input."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return arrays["arr_0"] if list(arrays) == ["arr_0"] else arrays


def read_csv(path: Path) -> list[dict[str, float | str]]:
    """Rows below a header line; what reads as a number is one."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        table = csv.reader(file, strict=True)
        header = [name.strip() for name in next(table, [])]
        rows = [row for row in table if row]
    if any(len(row) != len(header) for row in rows):
        message = f"a row has not the header's {len(header)} cells"
        raise ValueError(message)
    return [dict(zip(header, map(_cell, row), strict=True)) for row in rows]


def _cell(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text.strip()


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _read_picture(path: Path) -> _Picture:
    from PIL import Image  # noqa: PLC0415 - only callers with pictures wait for Pillow

    with Image.open(path) as image:
        return _Picture(pixels_of(image))


def pixels_of(image: Any) -> Array:
    """uint8 (height, width, 3 or 1) of a PIL image: upright, on white where transparent, 16 bits scaled to 8."""
    from PIL import Image, ImageOps  # noqa: PLC0415 - as above

    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I"):
        deep = np.asarray(image).astype(np.float64)
        return np.round(deep / SIXTEEN_TO_EIGHT_BITS).clip(0, 255).astype(np.uint8)[..., None]
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    grey = image.mode in {"1", "L"}
    pixels = np.asarray(image.convert("L" if grey else "RGB"))  # (height, width[, 3])
    return pixels[..., None] if grey else pixels


def _split(batch: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """One dict per row from a dict of arrays that each have a leading row axis."""
    arrays = {str(name): as_array(value, f"instances[{name!r}]") for name, value in batch.items()}
    if not _same_rows(arrays):
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise invalid("instances", f"every array needs the same leading row axis, got {shapes or 'none'}")
    rows = len(next(iter(arrays.values())))
    return [{name: array[row] for name, array in arrays.items()} for row in range(rows)]


def _same_rows(arrays: Mapping[str, Array]) -> TypeGuard[Mapping[str, Array]]:
    return (
        bool(arrays) and all(a.ndim for a in arrays.values()) and len({len(a) for a in arrays.values()}) == 1
    )
