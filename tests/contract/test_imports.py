"""Who may import whom, and the house style that a machine can check.

Imports go down only: kserve -> http -> api; api -> engine, render; engine -> methods, serving; methods -> perturb;
serving -> graph; everything -> core. What a package may import, the packages above it may too.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
SERVER = ROOT / "service" / "whybox_server"
CLIENT = ROOT / "clients" / "python" / "whybox"

BELOW = {
    "core": set(),
    "perturb": {"core"},
    "graph": {"core"},
    "render": {"core"},
    "methods": {"core", "perturb"},
    "serving": {"core", "graph"},
    "engine": {"core", "perturb", "methods", "graph", "serving"},
    "api": {"core", "perturb", "methods", "graph", "serving", "engine", "render"},
    "http": {"core", "perturb", "methods", "graph", "serving", "engine", "render", "api"},
    "kserve": {"core", "perturb", "methods", "graph", "serving", "engine", "render", "api", "http"},
}
OBSERVED = "whybox_server.engine.events"  # all that `observe` may know of the engine
# The composition root knows everybody; the probe knows nobody.
ROOT_FILES = {"app.py", "service.py", "wires.py", "settings.py", "probe.py", "__init__.py", "__main__.py"}
PURE = {"core", "perturb", "methods", "graph", "render"}
IMPURE_IMPORTS = {"asyncio", "threading", "time", "logging", "socket", "grpc", "redis", "onnxruntime"}
UNSEEDED = {"seed", "rand", "randn", "random", "normal", "uniform", "choice", "shuffle", "permutation"}
MOST_LINES = 350  # the aim is 150, and 300 is rare


@dataclass(frozen=True)
class Source:
    """A file, read and parsed once for all tests."""

    path: Path
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]  # all of the tree's, in no particular order

    @property
    def place(self) -> tuple[str, ...]:
        """Below `whybox_server`: the package, if any, and the file."""
        return self.path.relative_to(SERVER).parts

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))


@cache
def sources(folder: Path) -> tuple[Source, ...]:
    """Files that people write: no generated stubs."""
    paths = sorted(p for p in folder.rglob("*.py") if not p.name.endswith(("_pb2.py", "_pb2_grpc.py")))
    texts = [path.read_text() for path in paths]
    trees = [ast.parse(text) for text in texts]
    found = [Source(*parts, tuple(ast.walk(parts[2]))) for parts in zip(paths, texts, trees, strict=True)]
    assert found, f"no sources in {folder}"
    return tuple(found)


def imported(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """Absolute names of all modules that these nodes import."""
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "relative imports hide where a name comes from"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def at_import_time(tree: ast.Module) -> Iterator[str]:
    """Like `imported`, without what functions import when they are called."""
    for node in tree.body:
        later = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        never = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if not later and not never:
            yield from imported(ast.walk(node))


def test_imports_go_one_way():
    """The table above is the oracle; `methods` and `serving` never see each other."""
    wrong = []
    for source in sources(SERVER):
        package = source.place[0]
        if len(source.place) == 1:
            assert package in ROOT_FILES, f"{source}: only the composition root lives outside of the packages"
            continue
        for module in imported(source.nodes):
            if not module.startswith("whybox_server."):
                continue
            target = module.split(".")[1]
            if package == "observe":
                fine = target in ("core", "observe") or module.startswith(OBSERVED)
            else:
                fine = target == package or target in BELOW[package]
            wrong += [] if fine else [f"{source} may not import {module}"]
    assert not wrong


def test_pure_packages_know_no_clock_thread_socket_or_runtime():
    """Methods are functions of instance, parameters, rng and replies."""
    assert not [
        f"{source} imports {module}"
        for source in sources(SERVER)
        if source.place[0] in PURE
        for module in imported(source.nodes)
        if module.split(".")[0] in IMPURE_IMPORTS
    ]


def test_randomness_is_an_argument():
    """Nothing draws from numpy's global state."""
    assert not [
        f"{source}, line {node.lineno}: {ast.unparse(node)}"
        for source in sources(SERVER)
        for node in source.nodes
        if isinstance(node, ast.Attribute)
        and node.attr in UNSEEDED
        and ast.unparse(node.value) in ("np.random", "numpy.random", "random")
    ]


def test_only_the_edge_knows_the_wire():
    """Generated stubs are imported by the edges, `api`, `http` and `kserve`, and by the composition root."""
    assert not [
        f"{source} imports {module}"
        for source in sources(SERVER)
        if len(source.place) > 1 and source.place[0] not in ("api", "http", "kserve")
        for module in imported(source.nodes)
        if module.split(".")[0] == "whybox"
    ]


def test_importing_the_client_imports_no_server():
    """The light install has none; `whybox.local` imports it when it is called."""
    heavy = {"whybox_server", "onnx", "onnxruntime", "skimage", "scipy", "redis"}
    assert not [
        f"{source} imports {module}"
        for source in sources(CLIENT)
        for module in at_import_time(source.tree)
        if module.split(".")[0] in heavy
    ]


def test_a_file_says_what_it_is_for_and_fits_in_a_head():
    """A module docstring of its own, at most 350 lines, no debris."""
    files = sources(SERVER) + sources(CLIENT)
    assert not [f"{source}: no docstring" for source in files if not ast.get_docstring(source.tree)]
    lengths = {str(source): len(source.text.splitlines()) for source in files}
    assert not {source: lines for source, lines in lengths.items() if lines > MOST_LINES}
    assert not [
        f"{source}: {debris}" for source in files for debris in ("TODO", "FIXME") if debris in source.text
    ]


def test_everything_is_annotated():
    """Each argument and each result of each function, `self` and `cls` aside."""
    wrong = []
    for source in sources(SERVER):
        for node in source.nodes:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            arguments = node.args.posonlyargs + node.args.args + node.args.kwonlyargs
            missing = [a.arg for a in arguments if a.annotation is None and a.arg not in ("self", "cls")]
            if missing or node.returns is None:
                wrong.append(f"{source}: {node.name}({', '.join(missing)})")
    assert not wrong


def test_nothing_is_printed():
    """A server logs; only the composition root may tell the operator where it listens."""
    assert not [
        f"{source}, line {node.lineno}: {node.func.id}"
        for source in sources(SERVER)
        if len(source.place) > 1
        for node in source.nodes
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("print", "breakpoint")
    ]
