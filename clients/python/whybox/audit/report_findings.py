"""The sections of a report that say what was found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from whybox.audit.cases import Case
from whybox.audit.groups import Group, telling
from whybox.audit.measures import Agreement, Importance
from whybox.audit.pick import Pick
from whybox.audit.report_words import AGREEMENT, COLOURS, GROUPS, ONE_PERCENT, OVERALL, listed, share
from whybox.render.header import number
from whybox.render.page_parts import clean

if TYPE_CHECKING:
    from whybox.audit.report import Findings

MOST_NAMES = 15  # in a list of what counts
MOST_PARTS = 6  # of one instance
NAMED = 3  # answers of a group
LONGEST_TEXT = 300  # characters of an instance


def overall(found: Findings) -> str:
    """What counts over all instances, method by method."""
    methods = [name for name, ranking in found.importances.items() if ranking]
    if not methods:
        return ""
    ranked: list[Importance] = list(found.importances[methods[0]])
    names = [one.name for one in ranked[:MOST_NAMES]]
    shares_of = {m: {one.name: one for one in found.importances[m]} for m in methods}
    full = max(one.share for m in methods for one in found.importances[m])
    head = "".join(f'<th scope="col">{clean(name)}</th>' for name in methods)
    rows = "".join(
        f'<tr><th scope="row">{clean(name)}</th>'
        + "".join(f"<td>{_bar(shares_of[m].get(name), full)}</td>" for m in methods)
        + "</tr>"
        for name in names
    )
    rest = len(ranked) - len(names)
    more = f'<p class="note">{rest} more with smaller shares are left out.</p>' if rest > 0 else ""
    return (
        "<section><h2>What counts overall</h2>"
        f'<p class="note">{OVERALL}</p>'
        f'<table class="shares"><thead><tr><td></td>{head}</tr></thead><tbody>{rows}</tbody></table>'
        f"{more}</section>"
    )


def _bar(one: Importance | None, full: float) -> str:
    if one is None or not one.share:
        return ""
    width = one.share / full * 8 if full else 0.0
    words = f'{share(one.share)} <span class="muted">for {share(one.supports)}</span>'
    return f'<div class="s"><i style="--w:{width:.3g}rem"></i><span>{words}</span></div>'


def representatives(found: Findings) -> str:
    """The submodular pick; where nothing can be compared, the first instances as they look."""
    if not found.picks:
        return _pictures(found)
    told = "".join(_case(pick) for pick in found.picks)
    return (
        "<section><h2>Representative instances</h2>"
        f'<p class="note">Chosen by {clean(found.lead)} so that together they show as much as possible of '
        f"what the model goes by (submodular pick): {share(found.picks[-1].covered)} of it. {COLOURS}</p>"
        f'<div class="cases">{told}</div></section>'
    )


def _pictures(found: Findings) -> str:
    shown = "".join(
        f'<div class="case"><h3>Row {case.row + 1}, {clean(case.method)}</h3>'
        f'<img class="sheet" alt="Why {clean(case.label)}" src="{data_url}"></div>'
        for case, data_url in found.pictures
    )
    return f'<section><h2>Some instances</h2><div class="cases">{shown}</div></section>' if shown else ""


def _case(pick: Pick) -> str:
    case = pick.case
    certain = "" if case.probability is None else f", p {case.probability:.3g}"
    text = case.shown.get("text", "")
    cut = text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}…"
    news = listed([clean(name) for name in pick.new])
    words = f'<p class="text">{clean(cut)}</p>' if text else ""
    return (
        f'<div class="case"><h3>Row {case.row + 1}: “{clean(case.label)}”</h3>'
        f'<p class="note">score {case.score:.4g}{certain}. Shows {news}.</p>'
        f"{words}{_parts(case)}</div>"
    )


def _parts(case: Case) -> str:
    order = sorted(case.values, key=lambda name: -abs(case.values[name]))[:MOST_PARTS]
    full = max((abs(case.values[name]) for name in order), default=0.0) or 1.0
    order = [name for name in order if abs(case.values[name]) >= ONE_PERCENT * full]
    rows = []
    for name in order:
        value = case.values[name]
        side = ' class="n"' if value < 0 else ""
        known = case.shown.get(name)
        label = clean(name) if known is None else f'{clean(name)} <span class="muted">{clean(known)}</span>'
        bar = f'<i{side} style="--w:{abs(value) / full * 50:.4g}%"></i>'
        rows.append(f'<tr><th>{label}</th><td class="b"><div>{bar}</div></td><td>{number(value)}</td></tr>')
    return f"<table>{''.join(rows)}</table>"


def agreement(found: Findings) -> str:
    """How far the methods agree, pair by pair."""
    if len(found.by_method) < 2:
        return ""
    rows = "".join(_agreement(one) for one in found.agreements)
    left = [
        name for name, cases in found.by_method.items() if not any(c.kind == "attribution" for c in cases)
    ]
    none = (
        f'<p class="note">{clean(", ".join(left))}: says no number per part, and is not compared.</p>'
        if left
        else ""
    )
    if not rows:
        return (
            f"<section><h2>Do the methods agree?</h2>{none}<p>No two of them can be compared.</p></section>"
        )
    head = "".join(
        f"<th>{name}</th>"
        for name in ("methods", "same top parts", "same direction", "same order", "instances")
    )
    return (
        "<section><h2>Do the methods agree?</h2>"
        f'<p class="note">{AGREEMENT}</p>'
        f'<table class="grid"><tr>{head}</tr>{rows}</table>{none}</section>'
    )


def _agreement(one: Agreement) -> str:
    rank = "–" if one.rank is None else f"{one.rank:.2f}"
    sign = "–" if one.sign is None else share(one.sign)
    cells = (
        f"{one.first} and {one.second}",
        f"{share(one.overlap)} of {one.top}",
        sign,
        rank,
        f"{one.instances:,}",
    )
    return f"<tr>{''.join(f'<td>{clean(cell)}</td>' for cell in cells)}</tr>"


def compared(found: Findings) -> str:
    """What counts, group by group."""
    if not found.groups:
        return ""
    names = [one.name for one in found.importances[found.lead][:MOST_NAMES]]
    head = "".join(f"<th>{clean(group.name)}</th>" for group in found.groups)
    counts = "".join(f"<td>{group.instances:,}</td>" for group in found.groups)
    several = len({label for group in found.groups for label in group.labels}) > 1
    what = "answers" if several else "mean score"
    answers = [_answers(group) if several else f"{group.score:.4g}" for group in found.groups]
    said = "".join(f"<td>{answer}</td>" for answer in answers)
    rows = "".join(
        f"<tr><td>{clean(name)}</td>{''.join(_cell(one, name, found.groups) for one in found.groups)}</tr>"
        for name in names
    )
    return (
        f"<section><h2>Groups of {clean(found.group)} compared</h2>"
        f'<p class="note">Average share of each part, by {clean(found.lead)}. {GROUPS}</p>'
        f'<table class="grid"><tr><th>{clean(found.group)}</th>{head}</tr>'
        f"<tr><td>instances</td>{counts}</tr><tr><td>{what}</td>{said}</tr>{rows}</table></section>"
    )


def _answers(group: Group) -> str:
    told = sorted(group.labels.items(), key=lambda pair: (-pair[1], pair[0]))[:NAMED]
    return "<br>".join(f"{clean(label)} {share(count / group.instances)}" for label, count in told)


def _cell(group: Group, name: str, others: Sequence[Group]) -> str:
    apart = any(telling(group, other, name) for other in others if other is not group)
    style = ' class="apart"' if apart else ""
    return f"<td{style}>{share(group.shares.get(name, (0.0, 0.0))[0])}</td>"
