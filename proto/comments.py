"""The comments of our own contract by full name: descriptors at run time have lost them, OpenAPI shows them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

# Field numbers of descriptor.proto: places of comments are paths of these and of indices.
FILE_MESSAGES, FILE_ENUMS, FILE_SERVICES = 4, 5, 6
FIELDS = {FILE_MESSAGES: "field", FILE_ENUMS: "value", FILE_SERVICES: "method"}
PARTS = {FILE_MESSAGES: "message_type", FILE_ENUMS: "enum_type", FILE_SERVICES: "service"}
INNER = 2  # fields of a message, values of an enum, methods of a service


def comments(proto: Path, include: Path, sources: list[str]) -> str:
    """JSON of {"whybox.v1.Tensor.dtype": "Element type. Required."}, sorted by name."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        flags = [f"-I{proto}", f"-I{include}", "--include_source_info", f"--descriptor_set_out={out}"]
        if protoc.main(["protoc", *flags, *sources]):
            raise SystemExit("protoc failed")
        files = FileDescriptorSet.FromString(out.read_bytes()).file
    found = {name: text for file in files for name, text in _of(file)}
    return json.dumps(dict(sorted(found.items())), indent=1, ensure_ascii=False) + "\n"


def _of(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    for location in file.source_code_info.location:
        text = " ".join(location.leading_comments.split())
        path = list(location.path)
        if not text or path[0] not in PARTS or len(path) not in (2, 4):
            continue
        part = getattr(file, PARTS[path[0]])[path[1]]
        names = [file.package, part.name]
        if len(path) == 4 and path[2] == INNER:
            names.append(getattr(part, FIELDS[path[0]])[path[3]].name)
        yield ".".join(names), text
