"""An audit's findings as one HTML file for readers who never heard of LIME; no script, nothing loaded.

It is made from the journal alone, so that it can be made again, and says first what matters most.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from whybox.audit import report_findings, report_limits, report_short
from whybox.audit.budget import Budget, Price
from whybox.audit.cases import Case, cases, explanations
from whybox.audit.groups import Group, groups
from whybox.audit.journal import lines
from whybox.audit.measures import Agreement, Importance, agreements, importance
from whybox.audit.past import Past, past_of
from whybox.audit.pick import Pick, submodular_pick
from whybox.audit.report_style import CSS as MORE_CSS
from whybox.audit.table import Table
from whybox.render.page import POLICY
from whybox.render.page_parts import clean
from whybox.render.style import CSS

MOST_PICTURES = 6


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """All that a report says. by_method: cases in the order of the order; picks, groups: of `lead`.

    pictures: of some cases, as data URLs, where nothing can be compared.
    lead: the first method that says a number per name, "" if none does. group: the column of `groups`.
    """

    parameters: Mapping[str, Any]
    digest: str
    data: str
    past: Past
    by_method: Mapping[str, Sequence[Case]]
    lead: str
    importances: Mapping[str, Sequence[Importance]]
    picks: Sequence[Pick]
    pictures: Sequence[tuple[Case, str]]
    agreements: Sequence[Agreement]
    group: str
    groups: Sequence[Group]
    rows_asked: int
    most_rows: int
    price: Price | None


def write_report(
    path: Path, journal: Path, table: Table, group: str, budget: Budget, price: Price | None = None
) -> None:
    """Read the journal and write the page. table: with the column `group`, if there is one."""
    path.write_text(page(findings(journal, table, group, budget, price)), encoding="utf-8")


def findings(journal: Path, table: Table, group: str, budget: Budget, price: Price | None = None) -> Findings:
    """What the journal's explanations say together."""
    head = next(lines(journal))
    by_method: dict[str, list[Case]] = {name: [] for name in head["parameters"]["methods"]}
    for case in cases(journal):
        by_method[case.method].append(case)
    for found in by_method.values():
        found.sort(key=lambda case: case.row)
    lead = next((name for name, found in by_method.items() if any(case.values for case in found)), "")
    leading = [case for case in by_method.get(lead, ()) if case.values]
    return Findings(
        parameters=head["parameters"],
        digest=head["digest"],
        data=table.name,
        past=past_of(lines(journal)),
        by_method=by_method,
        lead=lead,
        importances={name: importance(found) for name, found in by_method.items()},
        picks=submodular_pick(leading),
        pictures=[] if lead else pictures(journal, by_method),
        agreements=agreements(by_method),
        group=group,
        groups=groups(leading, table.column(group)) if group and leading else (),
        rows_asked=budget.asked(),
        most_rows=budget.most,
        price=price,
    )


def pictures(journal: Path, by_method: Mapping[str, Sequence[Case]]) -> list[tuple[Case, str]]:
    """The first instances as every method sees them."""
    order = list(by_method)
    every = sorted((case.row, order.index(name)) for name, some in by_method.items() for case in some)
    chosen = every[:MOST_PICTURES]
    found = {
        at: (case, f"data:image/png;base64,{b64encode(e.to_png()).decode()}")
        for case, e in explanations(journal)
        if (at := (case.row, order.index(case.method))) in chosen
    }
    return [found[at] for at in chosen]


def page(found: Findings) -> str:
    """The HTML file."""
    name = clean(str(found.parameters["model"]))
    sections = (
        report_short.short(found),
        report_findings.overall(found),
        report_findings.representatives(found),
        report_findings.agreement(found),
        report_findings.compared(found),
        report_limits.cost(found),
        report_limits.origin(found),
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>Audit of {name}</title><style>{CSS}{MORE_CSS}</style></head><body>"
        f"<h1>What {name} goes by</h1>{''.join(sections)}</body></html>\n"
    )
