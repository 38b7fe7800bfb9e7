"""Generates the Python stubs from the protos; with --check, fails when the committed ones differ."""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib import resources
from pathlib import Path

from grpc_tools import protoc

PROTO = Path(__file__).parent
STUBS = PROTO.parent / "clients" / "python"


def generate(into: Path) -> list[Path]:
    """Write the stubs of every proto below `into`; returns them relative to it."""
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto"))
    include = resources.files("grpc_tools") / "_proto"
    flags = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{include}", *flags, *sources]):
        raise SystemExit("protoc failed")
    return sorted(path.relative_to(into) for path in into.rglob("*_pb2*.py*") if path.suffix in (".py", ".pyi"))


def differing() -> list[Path]:
    """Stubs that are not what the protos say."""
    with tempfile.TemporaryDirectory() as fresh:
        made = generate(Path(fresh))
        return [
            stub
            for stub in made
            if not (STUBS / stub).exists() or not filecmp.cmp(Path(fresh) / stub, STUBS / stub, shallow=False)
        ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        generate(STUBS)
        return 0
    stale = differing()
    for stub in stale:
        sys.stderr.write(f"{stub} is stale: run `make proto`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
