"""`whybox explain` and `whybox plan`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from whybox.cli.connect import connect
from whybox.cli.endpoints import asked_model
from whybox.errors import invalid
from whybox.inputs import instance
from whybox.operations import OnProgress
from whybox.params import from_text
from whybox.result import Explanation
from whybox.spec import ModelSpec
from whybox.views import Plan
from whybox.wire import model_ref

STDOUT = "-"


def explain(arguments: argparse.Namespace) -> int:
    """Explain one instance, print it, and write the files asked for."""
    question = _question(arguments)
    outputs = _outputs(arguments)
    with connect(arguments) as client, _progress(arguments.progress) as on_progress:
        e = client.explain(**question, timeout=arguments.timeout, on_progress=on_progress)
    if arguments.json == STDOUT:
        print(e.to_json())
    else:
        _print(e)
    for path, write in outputs:
        write(e, path)
        print(f"wrote {path}", file=sys.stderr)
    return 0


def plan(arguments: argparse.Namespace) -> int:
    """Say what an explanation would cost."""
    question = _question(arguments)
    with connect(arguments) as client:
        print(_planned(client.plan(**question, timeout=arguments.timeout)))
    return 0


def _question(arguments: argparse.Namespace) -> dict[str, Any]:
    """Arguments of `Client.explain`; what is wrong in flags or files is found before a server starts."""
    params = from_text(arguments.method, arguments.param)
    model = asked_model(arguments)
    model_ref(model)
    return {
        "model": model,
        "inputs": instance(Path(arguments.input), "--input"),
        "method": arguments.method,
        "target": [_target(text) for text in arguments.target] if arguments.target else None,
        "seed": arguments.seed,
        "max_queries": arguments.max_queries,
        "spec": None if arguments.spec is None else read_spec(Path(arguments.spec)),
        "space": arguments.space,
        "mode": arguments.mode,
        **params,
    }


def _target(text: str) -> int | str:
    """Digits are an index; write label:3 for a label that looks like one."""
    return int(text) if text.isdecimal() else text


def read_spec(path: Path) -> ModelSpec:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise invalid("--spec", f"cannot read {path} as JSON: {error}") from error
    if not isinstance(values, dict):
        raise invalid(
            "--spec", f'{path} must hold an object such as {{"modality": "image", "layout": "CHW"}}'
        )
    return ModelSpec.from_dict(values)


Write = Callable[[Explanation, str], object]
WRITERS: dict[str, Write] = {
    "json": Explanation.to_json,
    "png": Explanation.to_png,
    "npz": lambda e, path: _write_npz(e, Path(path)),
    "html": Explanation.to_html,
}


def _outputs(arguments: argparse.Namespace) -> list[tuple[str, Write]]:
    """Files to write, checked now: nobody wants to wait for rows and then hear of a missing folder."""
    found = []
    for name, write in WRITERS.items():
        path = getattr(arguments, name)
        if path is None or (name == "json" and path == STDOUT):
            continue
        folder = Path(path).parent
        if not folder.is_dir() or Path(path).is_dir() or not os.access(folder, os.W_OK):
            raise invalid(f"--{name}", f"cannot write {path}; name a file in a folder that exists")
        found.append((path, write))
    return found


def _write_npz(e: Explanation, path: Path) -> None:
    with path.open("wb") as file:  # numpy would append an ending to a name without one
        e.to_npz(file)


def _print(e: Explanation) -> None:
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    width = shutil.get_terminal_size().columns
    print("\n\n".join(one.to_text(width=width, color=color).rstrip("\n") for one in e))


def _planned(found: Plan) -> str:
    bound = "exactly" if found.exact else "at most"
    lines = [f"{bound} {sum(found.rows)} rows"]
    if found.seconds is not None:
        lines.append(f"about {found.seconds:.3g} s on an idle server")
    if found.calls is not None:
        lines.append(f"{found.calls} calls of the endpoint, if every one is full")
    if found.cost is not None:
        lines.append(f"costs {found.cost:.4g} {found.currency}".rstrip())
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


@contextmanager
def _progress(wanted: bool | None) -> Iterator[OnProgress | None]:
    """A bar on stderr that vanishes when the work is done; None when nobody would see it."""
    if not (sys.stderr.isatty() if wanted is None else wanted):
        yield None
        return
    from rich.console import Console  # noqa: PLC0415 - only people at a terminal wait for it
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("rows", total=None)
        yield lambda done, planned: bar.update(task, completed=done, total=planned)
