"""What an installation brings: a light client, and one onnxruntime at a time."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIGHT = {"grpcio", "grpcio-status", "numpy", "pillow", "protobuf", "rich"}
# Import names of the client's dependencies; everything else it imports must be Python's own or itself.
IMPORTS = {"grpc", "grpc_status", "google", "numpy", "PIL", "rich", "whybox"}
LAZY = {"jmespath", "onnx", "pyarrow", "shap", "whybox_server"}  # named only where they are asked for, with a remedy


def names(extra: str) -> set[str]:
    """Packages of an extra, extras of our own resolved."""
    found = set()
    for line in PROJECT["optional-dependencies"][extra]:
        requirement = Requirement(line)
        if requirement.name == "whybox":
            found |= {name for inner in requirement.extras for name in names(inner)}
        else:
            found.add(requirement.name)
    return found


def pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {name.lower().replace("_", "-"): version for name, version in pairs}


def test_the_client_is_light() -> None:
    """Six packages, and no more."""
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == LIGHT


def test_the_two_runtimes_never_meet() -> None:
    """They own the same module: each extra has one of them, and everything else is alike."""
    assert names("server") - names("gpu") == {"onnxruntime"}
    assert names("gpu") - names("server") == {"onnxruntime-gpu"}


@pytest.mark.parametrize("extra", ["server", "gpu", "dev", "oracles"])
def test_constraints_satisfy_what_is_required(extra: str) -> None:
    """Every requirement with a floor has a pin above it."""
    versions = pinned()
    for line in [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]:
        requirement = Requirement(line)
        if requirement.name == "whybox":
            continue
        assert versions[requirement.name.lower()] in requirement.specifier, line


def test_constraints_name_no_place() -> None:
    """Plain versions: no address, no path, no hash."""
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.startswith("#"):
            continue
        assert line.count("==") == 1
        assert not any(mark in line for mark in ("://", "@", "/", "--"))


@pytest.mark.parametrize("path", sorted((ROOT / "clients/python/whybox").rglob("*.py")), ids=lambda path: path.name)
def test_the_client_imports_nothing_heavier(path: Path) -> None:
    """At the top of a file: Python's own, the six packages, itself. Others only inside functions, by name."""
    tree = ast.parse(path.read_text())
    top = set()
    for node in tree.body:
        top |= imported(node)
    everywhere = {name for node in ast.walk(tree) for name in imported(node)}
    assert top <= IMPORTS | sys.stdlib_module_names
    assert everywhere <= IMPORTS | LAZY | sys.stdlib_module_names


def imported(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and node.module and not node.level:
        return {node.module.split(".")[0]}
    return set()
