"""The operator's models folder: `<name>/<version>/model.onnx`, as Triton lays it out.

`whybox.yaml` may stand beside the model or one level up, for all versions. Listing reads no model;
what is wrong with one entry is recorded with it and harms no other.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from whybox_server.core.rows import Array
from whybox_server.core.spec import ModelSpec
from whybox_server.serving.onnx.described import DescriptionError, parse

MODEL_FILE = "model.onnx"
SPEC_FILE = "whybox.yaml"


@dataclass(frozen=True, slots=True)
class FolderModel:
    """One model as it lies in the folder. problem: why it cannot be used; empty if it can."""

    name: str
    version: str  # empty for `<name>/model.onnx`
    path: Path
    size_bytes: int = 0
    spec: ModelSpec = field(default_factory=ModelSpec)
    problem: str = ""

    def read(self) -> bytes:
        """The file's bytes. Raises OSError."""
        return self.path.read_bytes()


def scan(root: Path) -> list[FolderModel]:
    """Every version of every model in the folder, by name, the newest version first.

    Raises OSError if the folder itself cannot be read.
    """
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    return [model for folder in folders for model in _versions(folder)]


def _versions(folder: Path) -> list[FolderModel]:
    numbered = [entry for entry in folder.iterdir() if entry.is_dir() and entry.name.isdecimal()]
    found = [
        _entry(folder, entry.name, entry)
        for entry in sorted(numbered, key=lambda entry: int(entry.name), reverse=True)
        if (entry / MODEL_FILE).is_file()
    ]
    if (folder / MODEL_FILE).is_file():
        found.append(_entry(folder, "", folder))
    if found:
        return found
    problem = f"no {MODEL_FILE} in it, nor in a folder 1, 2, ... of it"
    return [FolderModel(folder.name, "", folder / MODEL_FILE, problem=problem)]


def _entry(folder: Path, version: str, place: Path) -> FolderModel:
    path = place / MODEL_FILE
    try:
        return FolderModel(folder.name, version, path, path.stat().st_size, _spec(folder, place))
    except (DescriptionError, OSError, UnicodeDecodeError) as error:
        return FolderModel(folder.name, version, path, problem=str(error))


def _spec(folder: Path, place: Path) -> ModelSpec:
    """What the nearest whybox.yaml says; nothing if there is none."""
    for directory in dict.fromkeys((place, folder)):
        file = directory / SPEC_FILE
        if file.is_file():
            return parse(file.read_text("utf-8"), partial(background, folder, directory))
    return ModelSpec()


def background(folder: Path, directory: Path, name: str) -> Array:
    """Typical rows from a file beside whybox.yaml: .npy, .npz with one array, or .csv with a header.

    Raises ValueError or OSError if the file is not inside the model's folder or holds no rows.
    """
    path = (directory / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name!r} lies outside the model's folder")
    if not path.is_file():
        raise ValueError(f"there is no file {name!r} beside {SPEC_FILE}")
    rows = _rows(path)
    if rows.ndim == 0 or not len(rows):
        raise ValueError(f"{name!r} holds no rows")
    return rows


def _rows(path: Path) -> Array:
    match path.suffix.lower():
        case ".npy":
            return np.asarray(np.load(path, allow_pickle=False))
        case ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                if len(arrays.files) != 1:
                    raise ValueError(f"{path.name!r} must hold one array, got {', '.join(arrays.files)}")
                return np.asarray(arrays[arrays.files[0]])
        case ".csv":
            return _table(path)
        case _:
            raise ValueError(f"{path.name!r} must be a .npy, .npz or .csv file")


def _table(path: Path) -> Array:
    """Rows of a CSV file below its header: numbers if all cells are, else an object array."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row][1:]
    if len({len(row) for row in rows}) > 1:
        raise ValueError(f"the rows of {path.name!r} are not equally long")
    columns = [_column(column) for column in zip(*rows, strict=True)]
    numbers = all(isinstance(column[0], float) for column in columns)
    return np.array(columns, dtype=np.float64 if numbers else object).T


def _column(cells: Sequence[str]) -> Sequence[float] | Sequence[str]:
    try:
        return [float(cell) for cell in cells]
    except ValueError:
        return cells
