"""The instances of an audit: rows of a CSV, Parquet or NPZ file. What a model takes it does not know."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from whybox.errors import ExplainError, invalid, near
from whybox.inputs import read_csv

Row = Any  # what `Client.explain` takes


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Instances in the order of their file.

    name, digest: of the file; digest is its SHA-256. columns: names of a table's columns, or of arrays.
    beside: values by row of columns that are no part of the instances.
    """

    name: str
    digest: str
    rows: tuple[Row, ...]
    columns: tuple[str, ...] = ()
    beside: Mapping[str, Sequence[Any]] | None = None

    @staticmethod
    def read(path: str | Path) -> Table:
        """Raises ExplainError for a file that cannot be read, is empty, or lacks a value somewhere."""
        path = Path(path)
        reader = READERS.get(path.suffix.lower())
        if reader is None:
            raise invalid("--data", f"cannot read {path.name}; known endings are {', '.join(READERS)}")
        try:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rows = tuple(reader(path))
        except OSError as error:
            raise invalid("--data", f"cannot read {path}: {error.strerror}") from error
        except (ValueError, EOFError) as error:
            raise invalid("--data", f"cannot read {path} as {path.suffix[1:]}: {error}") from error
        if not rows:
            raise invalid("--data", f"{path} holds no rows")
        columns = tuple(map(str, rows[0])) if isinstance(rows[0], Mapping) else ()
        return Table(path.name, digest, rows, columns)

    def column(self, name: str) -> list[Any]:
        """Values by row. Raises ExplainError for a column that is not there."""
        if self.beside and name in self.beside:
            return list(self.beside[name])
        if name not in self.columns:
            raise invalid("--group", f"{self.name} has no column {name!r}; {near(name, self.columns)}")
        return [one[name] for one in self.rows]

    def without(self, name: str) -> Table:
        """The same rows, with this column beside them."""
        values = self.column(name)
        rest = tuple({other: row[other] for other in self.columns if other != name} for row in self.rows)
        columns = tuple(other for other in self.columns if other != name)
        return replace(self, rows=rest, columns=columns, beside={name: values})


def as_json(row: Row) -> Any:
    """A row as JSON: values by column, nested lists of an array."""
    if isinstance(row, Mapping):
        return {name: as_json(value) for name, value in row.items()}
    return row.tolist() if isinstance(row, np.ndarray | np.generic) else row


def _npz(path: Path) -> list[Row]:
    """Rows along the first axis of every array; a single one is the model's one input."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    lengths = {name: len(array) if array.ndim else 0 for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        message = f"every array needs the same number of rows, got {lengths or 'no arrays'}"
        raise ValueError(message)
    if len(arrays) == 1:
        return list(next(iter(arrays.values())))
    return [{name: array[row] for name, array in arrays.items()} for row in range(min(lengths.values()))]


def _parquet(path: Path) -> list[dict[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet  # noqa: PLC0415 - no dependency of whybox
    except ModuleNotFoundError as error:
        message = f"{path.name} is a Parquet file, and pyarrow is not installed here"
        remedy = "install it (pip install pyarrow), or write the table as CSV"
        raise ExplainError(message, code="FAILED_PRECONDITION", reason="", remedy=remedy) from error
    try:
        rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    except ArrowException as error:
        message = str(error).splitlines()[0]
        raise ValueError(message) from error
    for number, row in enumerate(rows):
        empty = [name for name, value in row.items() if value is None]
        if empty:
            message = f"row {number} has no value in {', '.join(empty)}; fill it or leave the row out"
            raise ValueError(message)
    return rows


READERS: dict[str, Callable[[Path], Sequence[Row]]] = {
    ".csv": read_csv,
    ".parquet": _parquet,
    ".npz": _npz,
}
