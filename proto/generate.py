"""Generates the Python stubs from the protos; with --check, fails when the committed ones differ."""

from __future__ import annotations

import argparse
import filecmp
import sys
import tempfile
from importlib import resources
from pathlib import Path

from comments import comments
from grpc_tools import protoc

PROTO = Path(__file__).parent
ROOT = PROTO.parent
CLIENT = ROOT / "clients" / "python"
FOREIGN = ROOT / "service" / "whybox_server" / "serving" / "remote" / "stubs"
COMMENTS = ROOT / "service" / "whybox_server" / "http" / "comments.json"
MESSAGES = ("python", "pyi")
# Our own contract goes into the client. Protocols of others are spoken by the server alone, without
# their services: calls are carried as bytes.
PACKAGES = {
    "whybox": (CLIENT, (*MESSAGES, "grpc_python")),
    "tensorflow_serving": (FOREIGN, MESSAGES),
    "inference": (FOREIGN, MESSAGES),
}


def generate(package: str, into: Path) -> list[Path]:
    """Write the stubs of a package's protos below `into`; returns them relative to it."""
    flags = [f"--{kind}_out={into}" for kind in PACKAGES[package][1]]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{_include()}", *flags, *_sources(package)]):
        raise SystemExit("protoc failed")
    made = (into / package).rglob("*_pb2*.py*")
    return sorted(path.relative_to(into) for path in made if path.suffix in (".py", ".pyi"))


def spoken() -> str:
    """What the edge says about our own contract."""
    return comments(PROTO, _include(), _sources("whybox"))


def _include() -> Path:
    return Path(str(resources.files("grpc_tools") / "_proto"))


def _sources(package: str) -> list[str]:
    return sorted(str(path.relative_to(PROTO)) for path in (PROTO / package).rglob("*.proto"))


def differing() -> list[Path]:
    """Stubs that are not what the protos say."""
    found = [] if COMMENTS.exists() and COMMENTS.read_text() == spoken() else [COMMENTS.relative_to(ROOT)]
    for package, (stubs, _) in PACKAGES.items():
        with tempfile.TemporaryDirectory() as fresh:
            for stub in generate(package, Path(fresh)):
                kept = stubs / stub
                if not kept.exists() or not filecmp.cmp(Path(fresh) / stub, kept, shallow=False):
                    found.append(kept.relative_to(ROOT))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare only")
    if not parser.parse_args().check:
        for package, (stubs, _) in PACKAGES.items():
            stubs.mkdir(parents=True, exist_ok=True)
            generate(package, stubs)
        COMMENTS.write_text(spoken())
        return 0
    stale = differing()
    for stub in stale:
        sys.stderr.write(f"{stub} is stale: run `make proto`\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
