"""`whybox audit`: many instances under one budget, and a report."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from whybox.audit import Order, Outcome, Table
from whybox.audit import audit as run
from whybox.audit.progress import bar
from whybox.cli.connect import egress_to
from whybox.cli.endpoints import asked_model
from whybox.cli.explain import read_spec
from whybox.errors import invalid, near
from whybox.params import from_text

FAILED = 1
SHOWN = 5  # failures that are named


def audit(arguments: argparse.Namespace) -> int:
    """Explain all instances, print what came of it, and say where the report is."""
    for name in ("max_queries", "parallel"):
        if getattr(arguments, name) < (name == "parallel"):
            raise invalid(f"--{name.replace('_', '-')}", f"must be positive, got {getattr(arguments, name)}")
    order = _order(arguments)
    order.check()
    table = Table.read(arguments.data)
    shown = sys.stderr.isatty() if arguments.progress is None else arguments.progress
    with bar(shown=shown) as on_progress:
        outcome = run(
            order,
            table,
            arguments.out,
            max_queries=arguments.max_queries,
            group=arguments.group,
            resume=arguments.resume,
            threads=arguments.parallel,
            settings=_settings(arguments),
            on_progress=on_progress,
        )
    print("\n".join(_told(outcome)))
    return FAILED if outcome.failed else 0


def _order(arguments: argparse.Namespace) -> Order:
    names = [name.strip() for name in arguments.method.split(",") if name.strip()]
    target = arguments.target
    return Order(
        model=asked_model(arguments),
        methods=methods(names, arguments.param),
        target=int(target) if target is not None and target.isdecimal() else target,
        seed=arguments.seed,
        space=arguments.space,
        mode=arguments.mode,
        spec=None if arguments.spec is None else read_spec(Path(arguments.spec)),
        where=arguments.where,
    )


def methods(names: Iterable[str], params: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """Parameters by method, from "METHOD.NAME=VALUE". Raises ExplainError."""
    pairs: dict[str, list[str]] = {name: [] for name in names}
    for param in params:
        method, dot, pair = param.partition(".")
        if not dot or method not in pairs:
            raise invalid(
                "--param", f"{param!r} is no METHOD.NAME=VALUE of a method here; {near(method, pairs)}"
            )
        pairs[method].append(pair)
    return {name: from_text(name, given) for name, given in pairs.items()}


def _settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """Of the server inside this process."""
    folders = {name: getattr(arguments, name) for name in ("models", "endpoints")}
    return {**{name: value for name, value in folders.items() if value is not None}, **egress_to(arguments)}


def _told(outcome: Outcome) -> list[str]:
    """Lines for stdout."""
    done = f"{outcome.explained:,} explanations of {outcome.chosen:,} instances"
    said = [f"{done}; {outcome.rows_asked:,} rows asked of the model over all"]
    if outcome.left:
        said.append(f"{outcome.left:,} explanations were not begun: {outcome.stopped}; go on with --resume")
    said += [
        f"row {item.row + 1}, {item.method}: {why}" for item, why in list(outcome.failed.items())[:SHOWN]
    ]
    if len(outcome.failed) > SHOWN:
        said.append(f"and {len(outcome.failed) - SHOWN:,} more that failed; they stand in the journal")
    return [*said, f"report: {outcome.report}"]
