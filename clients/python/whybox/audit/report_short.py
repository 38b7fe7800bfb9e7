"""An audit in a few sentences: what a reader remembers who reads nothing else."""

from __future__ import annotations

from collections import Counter
from itertools import combinations
from typing import TYPE_CHECKING

from whybox.audit.groups import telling
from whybox.audit.report_words import listed, share
from whybox.render.page_parts import clean

if TYPE_CHECKING:
    from whybox.audit.report import Findings

NAMED = 3  # names in a sentence
AGREE, DIFFER = 0.7, 0.4  # shares of the top in common that are called agreement, and disagreement


def short(found: Findings) -> str:
    """The whole report in a few sentences and figures."""
    rows = {case.row for cases in found.by_method.values() for case in cases}
    explained = sum(map(len, found.by_method.values()))
    figures = [
        (f"{len(rows):,}", "instances explained"),
        (f"{explained:,}", "explanations"),
        (f"{found.rows_asked:,}", "rows asked of the model"),
    ]
    told = [f"<div><b>{value}</b><span>{name}</span></div>" for value, name in figures]
    sentences = [
        _said(found),
        _counts(found),
        _methods_agree(found),
        _groups_differ(found),
        _shortfall(found),
    ]
    items = "".join(f"<li>{sentence}</li>" for sentence in sentences if sentence)
    return f'<div class="figures">{"".join(told)}</div><ul class="lead">{items}</ul>'


def _said(found: Findings) -> str:
    first = next((cases for cases in found.by_method.values() if cases), ())
    labels = Counter(case.label for case in first).most_common(NAMED)
    if len(labels) < 2:
        return ""
    parts = [f"“{clean(label)}” {share(count / len(first))}" for label, count in labels]
    return f"The model’s answers that were explained: {', '.join(parts)} of the time."


def _counts(found: Findings) -> str:
    if not found.lead:
        return "What counts has no name that means the same in every instance; look at single ones below."
    top = [f"<b>{clean(one.name)}</b> ({share(one.share)})" for one in found.importances[found.lead][:NAMED]]
    return f"Most weight in the model’s answers have {listed(top)}, according to {clean(found.lead)}."


def _methods_agree(found: Findings) -> str:
    if not found.agreements:
        return ""
    worst = min(found.agreements, key=lambda one: one.overlap)
    both = f"{clean(worst.first)} and {clean(worst.second)}"
    parts = f"the {worst.top} most important parts" if worst.top > 1 else "what they say is most important"
    common = f"{share(worst.overlap)} of {parts} in common"
    if worst.overlap >= AGREE:
        return (
            f"The methods largely agree: even {both} have {common}."
            if len(found.agreements) > 1
            else (f"The two methods largely agree: {both} have {common}.")
        )
    verdict = "disagree" if worst.overlap < DIFFER else "agree in part only"
    return f"The methods {verdict}: {both} have {common}. Rely on what both name, and on little else."


def _groups_differ(found: Findings) -> str:
    pairs = [
        (abs(a.shares[name][0] - b.shares[name][0]), name, a, b)
        for a, b in combinations(found.groups, 2)
        for name in a.shares.keys() & b.shares.keys()
        if telling(a, b, name)
    ]
    if not found.groups:
        return ""
    column = clean(found.group)
    if not pairs:
        return f"Between the groups of {column}, nothing counts clearly more in one than in another."
    _, name, a, b = max(pairs, key=lambda pair: (pair[0], pair[1]))
    one, other = (f"{share(g.shares[name][0])} where {column} is {clean(g.name)}" for g in (a, b))
    return f"The largest difference between groups: {clean(name)} makes up {one}, and {other}."


def _shortfall(found: Findings) -> str:
    partial = sum(not case.complete for cases in found.by_method.values() for case in cases)
    missing = len([item for item in found.past.failed if item.method in found.by_method])
    if not partial and not missing:
        return ""
    parts = [
        f"{partial:,} explanations were cut short" if partial else "",
        f"{missing:,} failed" if missing else "",
    ]
    return f'<span class="alarm">{" and ".join(filter(None, parts))}; see the end of this page.</span>'
