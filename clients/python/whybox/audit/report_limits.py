"""The end of a report: what the audit cost, what is missing, and what is needed to do it again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from whybox.audit.report_words import CAUTION
from whybox.render.header import short_digest
from whybox.render.page_parts import clean

if TYPE_CHECKING:
    from whybox.audit.report import Findings

MOST_LISTED = 10


def cost(found: Findings) -> str:
    """Rows, and what was left out."""
    cases = [case for some in found.by_method.values() for case in some]
    wanted = sum(case.rows_asked for case in cases)
    partial = [f"row {case.row + 1}, {case.method}" for case in cases if not case.complete]
    failed = Counter(found.past.failed.values())
    facts = [
        (
            "rows asked of the model",
            f"{found.rows_asked:,}" + (f" of {found.most_rows:,} allowed" if found.most_rows else ""),
        ),
        ("rows that methods read", f"{wanted:,}, repetitions and known answers included"),
        ("explanations", ", ".join(f"{len(some):,} by {name}" for name, some in found.by_method.items())),
    ]
    if found.price is not None:
        facts.insert(
            1,
            (
                "at the declared price",
                f"about {found.rows_asked * found.price.per_row:,.2f} {found.price.currency}",
            ),
        )
    if partial:
        facts.append(("cut short by the budget", _some(partial)))
    missing = "".join(f"<li>{count:,} × {clean(why)}</li>" for why, count in failed.most_common(MOST_LISTED))
    without = f'<h3 class="alarm">What could not be explained</h3><ul>{missing}</ul>' if missing else ""
    return f"<section><h2>Cost and completeness</h2>{_facts(facts)}{without}</section>"


def origin(found: Findings) -> str:
    """What is needed to get the same answers again."""
    cases = [case for some in found.by_method.values() for case in some]
    said = found.parameters
    facts = [
        (
            "model",
            f"{said['model']} ({short_digest(cases[0].digest if cases else str(said['model_digest']))})",
        ),
        ("data", f"{found.data} (sha256 {said['data'][:12]})"),
        *(
            (name, f"version {some[0].version}" + _params(said["methods"][name]))
            for name, some in found.by_method.items()
            if some
        ),
        ("instances", f"where {said['where']}" if said["where"] else "all"),
        ("target", "the model’s own answer" if said["target"] is None else str(said["target"])),
        ("seed", str(said["seed"])),
        ("audit", found.digest[:12]),
    ]
    notes = Counter(
        note
        for case in cases
        for note in dict.fromkeys(
            (*case.warnings, *(f"Guessed, as nobody declared it: {guess}" for guess in case.guesses))
        )
    )
    listed = "".join(f"<li>{clean(note)}</li>" for note, _ in notes.most_common(MOST_LISTED))
    guesses = f"<h3>What a reader must know</h3><ul>{listed}</ul>" if listed else ""
    return f'<section><h2>How it was made</h2>{_facts(facts)}{guesses}<p class="note">{CAUTION}</p></section>'


def _params(params: dict[str, object]) -> str:
    return "".join(f", {name} {value}" for name, value in params.items())


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    return (
        "<dl>" + "".join(f"<dt>{clean(name)}</dt><dd>{clean(value)}</dd>" for name, value in facts) + "</dl>"
    )


def _some(parts: list[str]) -> str:
    more = f" and {len(parts) - MOST_LISTED:,} more" if len(parts) > MOST_LISTED else ""
    return "; ".join(parts[:MOST_LISTED]) + more
