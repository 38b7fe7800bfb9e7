"""The operator's models folder as sources of models, read again only when something in it changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from whybox_server.core.memo import Memo
from whybox_server.core.spec import ModelSpec
from whybox_server.serving.onnx.folder import FolderModel, scan

PREFIX = "models/"


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A model that can be loaded. read: its bytes; blocks. trusted: came from the operator."""

    name: str
    read: Callable[[], bytes]
    spec: ModelSpec
    trusted: bool
    size_bytes: int
    version: str = ""
    problem: str = ""
    stamp: tuple[object, ...] = ()  # changes with the file
    kept: Memo = field(default_factory=Memo)


@dataclass(slots=True, eq=False)
class Shelf:
    """Sources by name: "models/NAME" is the highest version, "models/NAME/versions/N" a given one."""

    root: Path
    _stamps: frozenset[tuple[object, ...]] | None = None
    _sources: Mapping[str, Source] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def sources(self) -> Mapping[str, Source]:
        """What lies in the folder now. Blocks; a folder that cannot be read is an empty one."""
        with self._lock:
            stamps = frozenset(map(_stamp, self.root.rglob("*")))
            if stamps != self._stamps:
                self._stamps, self._sources = stamps, _by_name(scan(self.root))
            return self._sources


def _stamp(path: Path) -> tuple[object, ...]:
    try:
        found = path.stat()
    except OSError:  # gone since it was listed
        return (path,)
    return (path, found.st_mtime_ns, found.st_size)


def _by_name(found: list[FolderModel]) -> dict[str, Source]:
    """scan() lists the newest version of each name first, so that the first one has the plain name."""
    sources: dict[str, Source] = {}
    for one in found:
        plain = f"{PREFIX}{one.name}"
        name = f"{plain}/versions/{one.version}" if plain in sources else plain
        sources[name] = Source(
            name, one.read, one.spec, True, one.size_bytes, one.version, one.problem, _stamp(one.path)
        )
    newest = {f"{name}/versions/{one.version}": one for name, one in sources.items() if one.version and "/versions/" not in name}
    return {**sources, **newest}
