"""An audit from its first check to its report.

What is wrong is found before the first row is asked, wherever it can be; what is found is in the
journal before it counts. How a single instance is explained is the actor's business.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from whybox.audit.actor import Actor, Item
from whybox.audit.budget import Budget, Price, rows_asked
from whybox.audit.checks import checked, planned
from whybox.audit.crew import Crew
from whybox.audit.journal import Journal, lines
from whybox.audit.order import Order
from whybox.audit.past import Past, past_of
from whybox.audit.progress import OnProgress, Tally
from whybox.audit.report import write_report
from whybox.audit.table import Table, as_json
from whybox.audit.where import Wanted, wanted
from whybox.errors import invalid
from whybox.views import Plan

JOURNAL, ANSWERS, REPORT = "journal.jsonl", "answers.sqlite", "report.html"
THREADS = 8  # explanations at once: enough to fill the batches of an endpoint with as many slots


@dataclass(frozen=True, slots=True)
class Outcome:
    """What has become of an audit, over all its resumptions.

    chosen: instances that it is about; explained, failed, left: explanations. left were never begun,
    because the budget or `stopped` (why the endpoint is not asked any more) ended the work.
    """

    chosen: int
    explained: int
    failed: Mapping[Item, str]
    left: int
    rows_asked: int
    stopped: str
    report: Path


def audit(
    order: Order,
    table: Table,
    out: str | Path,
    *,
    max_queries: int = 0,
    group: str = "",
    resume: bool = False,
    threads: int = THREADS,
    settings: Mapping[str, Any] | None = None,
    on_progress: OnProgress | None = None,
) -> Outcome:
    """Explain the instances of a table that an order is about, and write a report.

    out: folder of the audit; made if it is not there. max_queries: most rows that the model is asked,
    over all instances and resumptions; 0: no limit. group: column whose values the report compares; it
    may be one that the model does not know. settings: of `whybox.local`.
    Raises ExplainError for whatever hinders all of it; what hinders single instances is in the outcome.
    """
    order.check()
    meant = wanted(order.where) if order.where else None
    if group:
        table.column(group)  # raises for one that is not there
    folder = _folder(Path(out))
    parameters = {**order.parameters(), "data": table.digest}
    with Journal(folder / JOURNAL, parameters).open(resume=resume) as journal:
        past = past_of(lines(journal.path))
        paid = {**(settings or {}), "answers": folder / ANSWERS, "most_rows": max_queries}
        budget = Budget(max_queries, partial(rows_asked, folder / ANSWERS))
        with Actor(order, table, paid) as actor:
            actor.table = checked(actor, group)
            plans = planned(actor, max_queries)
            crew = Crew(actor, journal, budget, threads)
            rows = _chosen(crew, past, meant, on_progress)
            todo = [item for item in _items(rows, order) if item not in past.explained]
            bounds = {method: sum(plan.rows) for method, plan in plans.items()}
            crew.explain(todo, past.begun, Tally(bounds, on_progress))
    after = past_of(lines(journal.path))
    write_report(folder / REPORT, journal.path, actor.table, group, budget, price_of(plans.values()))
    return _outcome(crew, after, rows, order, budget, folder)


def price_of(plans: Iterable[Plan]) -> Price | None:
    """As the endpoint declares it; None if it does not."""
    for plan in plans:
        rows = sum(plan.rows)
        if plan.cost is not None and rows:
            return Price(plan.cost / rows, plan.currency)
    return None


def _folder(path: Path) -> Path:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise invalid("--out", f"cannot make the folder {path}: {error.strerror}") from error
    return path


def _items(rows: list[int], order: Order) -> Iterator[Item]:
    """Row by row, so that whatever ends an audit leaves instances that all methods have explained."""
    return (Item(row, method) for row in rows for method in order.methods)


def _chosen(crew: Crew, past: Past, meant: Wanted | None, tell: OnProgress | None) -> list[int]:
    """The rows that the order is about. Raises ExplainError if there are none."""
    every = range(len(crew.actor.table.rows))
    if meant is None:
        return list(every)
    answers = past.answers
    crew.answer([row for row in every if row not in answers], answers, tell)
    instances = crew.actor.table.rows
    rows = [row for row in sorted(answers) if meant({**answers[row], "row": as_json(instances[row])})]
    if not rows and not crew.stopped:
        message = f"{crew.actor.order.where!r} holds for none of the {len(answers)} answers"
        raise invalid("--where", message)
    return rows


def _outcome(crew: Crew, after: Past, rows: list[int], order: Order, budget: Budget, folder: Path) -> Outcome:
    items = list(_items(rows, order))
    explained = sum(item in after.explained for item in items)
    failed = {item: after.failed[item] for item in items if item in after.failed}
    left = len(items) - explained - len(failed)
    return Outcome(len(rows), explained, failed, left, budget.asked(), crew.stopped, folder / REPORT)
