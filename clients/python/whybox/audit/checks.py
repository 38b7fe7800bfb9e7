"""What can be wrong with an audit, found out before its first row is asked."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice

from whybox.audit.actor import Actor, Item
from whybox.audit.table import Table
from whybox.errors import ExplainError, Violation, invalid, refused
from whybox.views import Plan

SHOWN = 10  # wrong rows that are named
PLANS_AT_ONCE = 4


def checked(actor: Actor, group: str) -> Table:
    """The actor's table as the model takes it: every row, `group` beside it if the model does not know it.

    Raises ExplainError with every wrong row, or the first of many.
    """
    method = next(iter(actor.order.methods))
    ways = list(readings(actor.table, group))
    refusals = [_refusal(replace(actor, table=table), Item(0, method)) for table in ways]
    if None not in refusals and refusals[0] is not None and not refusals[0].violations:
        raise refusals[0]  # not about this row
    # What was refused in every reading is told about the one that is nearest to what the user said.
    table = ways[refusals.index(None) if None in refusals else bool(group)]
    actor = replace(actor, table=table)
    with ThreadPoolExecutor(PLANS_AT_ONCE) as pool:
        found = pool.map(lambda row: (row, _refusal(actor, Item(row, method))), range(len(table.rows)))
        wrong = list(islice(((row, error) for row, error in found if error is not None), SHOWN))
    if wrong:
        raise refused([one for row, error in wrong for one in _in_row(row, error)])
    return table


def readings(table: Table, group: str) -> Iterator[Table]:
    """What the user may have meant: the group as a column of the model or not, a single column as a text."""
    yield table
    rest = table.without(group) if group and group not in (table.beside or {}) else table
    if rest is not table:
        yield rest
    if len(rest.columns) == 1:
        yield replace(rest, rows=tuple(row[rest.columns[0]] for row in rest.rows), columns=())


def planned(actor: Actor, max_queries: int) -> dict[str, Plan]:
    """What each method would ask for the first instance.

    Raises ExplainError for a method that does not apply, and for a budget that is not enough for any.
    """
    plans = {method: actor.plan(Item(0, method)) for method in actor.order.methods}
    least = min(sum(plan.rows) for plan in plans.values())
    if max_queries and max_queries < least and all(plan.exact for plan in plans.values()):
        message = f"{max_queries} rows are not enough for one explanation, which takes {least}"
        raise invalid("--max-queries", f"{message}; allow more, or ask fewer by the method's parameters")
    return plans


def _refusal(actor: Actor, item: Item) -> ExplainError | None:
    try:
        actor.plan(item)
    except ExplainError as error:
        return error
    return None


def _in_row(row: int, error: ExplainError) -> list[Violation]:
    """The violations of one instance under the number that its row has in the file, from 1."""
    found = error.violations or (Violation("", error.message),)
    return [
        Violation(f"--data row {row + 1}{one.field.removeprefix('instances[0]')}", one.description)
        for one in found
    ]
