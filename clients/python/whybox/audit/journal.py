"""An audit's memory: JSON lines, only ever appended, and on the disk before anybody relies on them.

It knows lines, not what stands in them. A line that was cut off when the machine or the process died
is taken back when the journal is opened again; everything before it counts.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from whybox.audit.order import differences, digest
from whybox.errors import ExplainError, invalid

FORMAT = "whybox.audit/1"
Line = Mapping[str, Any]


@dataclass(slots=True, eq=False)
class Journal:
    """Lines of one audit; `open` before use. Thread-safe. parameters: what makes two audits the same."""

    path: Path
    parameters: Mapping[str, Any]
    _file: IO[bytes] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def open(self, *, resume: bool) -> Self:
        """Take the journal, which nobody else may have at the same time.

        Raises ExplainError if it holds something and `resume` is False, if it was written under other
        parameters, and if another audit is using it.
        """
        try:
            file = self.path.open("a+b")
        except OSError as error:
            raise invalid("--out", f"cannot write {self.path}: {error.strerror}") from error
        try:
            self._take(file, resume=resume)
        except BaseException:
            file.close()
            raise
        self._file = file
        if file.tell() == 0:
            parameters = dict(self.parameters)
            self.append(
                {"kind": "audit", "format": FORMAT, "digest": digest(parameters), "parameters": parameters}
            )
        return self

    def append(self, line: Line) -> None:
        """Returns once the line is on the disk."""
        data = json.dumps(line, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode() + b"\n"
        if self._file is None:
            raise ValueError("the journal is closed")
        with self._lock:
            self._file.write(data)
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _take(self, file: IO[bytes], *, resume: bool) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until the file is closed
        except OSError as error:
            raise invalid("--out", f"another audit is writing {self.path}; wait for it") from error
        _mend(file)
        found = list(islice(lines(self.path), 2))
        if not found:
            return
        head = found[0]
        if len(found) == 1 and head.get("format") == FORMAT:
            file.truncate(0)  # it was given up before anything was asked
            file.seek(0)
            return
        if not resume:
            message = f"{self.path.parent} holds an audit already; pass --resume, or another folder"
            raise invalid("--out", message)
        if head.get("format") != FORMAT:
            raise invalid("--out", f"{self.path} is no journal of an audit; choose another folder")
        changed = differences(head["parameters"], self.parameters)
        if changed:
            message = f"{self.path.parent} holds an audit with other parameters: {'; '.join(changed)}"
            remedy = "resume with the same ones, or choose another folder"
            raise ExplainError(message, remedy=remedy)


def lines(path: Path) -> Iterator[dict[str, Any]]:
    """Every line from the first on. Raises ExplainError for one that is no JSON object."""
    with path.open("rb") as file:
        for number, data in enumerate(file, 1):
            try:
                line = json.loads(data)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                message = (
                    f"line {number} of {path} is damaged; take it out to have its instance explained again"
                )
                raise invalid("--out", message)
            yield line


def _mend(file: IO[bytes]) -> None:
    """Cut off what follows the last line end."""
    end = file.seek(0, os.SEEK_END)
    keep, block = end, 1 << 16
    while keep > 0:
        start = max(keep - block, 0)
        file.seek(start)
        at = file.read(keep - start).rfind(b"\n")
        keep = start + at + 1
        if at >= 0 or start == 0:
            break
    if keep < end:
        file.truncate(keep)
    file.seek(keep)
