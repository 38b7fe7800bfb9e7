"""Anchors: a rule under which the model's answer stays (Ribeiro, Singh & Guestrin 2018).

IF the rule holds THEN the model says of a row what it says of the instance, with high precision. The
labels alone are read, so any classifier will do. How rules are searched is `rules`, when one counts
as certified `certificate`, what a condition is `perturb.predicates`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest, MethodUnsupported
from whybox_server.core.explanation import Example, Predicate, Rule
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality, ScoreKind
from whybox_server.core.target import Chosen, Link, Targets
from whybox_server.methods.certificate import Certificate, Reference, Strict
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.needs import a_decision_and_typical_rows
from whybox_server.methods.rules import MOST_ROWS, Notebook, Plan, Trial, glimpse, search
from whybox_server.perturb.hiding import hide
from whybox_server.perturb.laws import Discretizer
from whybox_server.perturb.options import Baseline, Segmentation
from whybox_server.perturb.predicates import Conditions, Presences
from whybox_server.perturb.table_predicates import column_conditions

EXAMPLES = 5  # of each kind
EVEN = {ScoreKind.PROBABILITY: 0.5, ScoreKind.LOGIT: 0.0}  # scores above it mean yes


@dataclass(frozen=True, slots=True)
class AnchorsParams:
    """Fields of `whybox.v1.AnchorsParams`."""

    threshold: float = param(0.95, "Precision the rule shall have.", unset="0.95", low=1e-3, high=0.999)
    delta: float = param(0.1, "Probability of a wrong certificate.", unset="0.1", low=1e-9, high=0.999)
    tau: float = param(
        0.15, "Difference of precisions that does not matter while rules are compared.", unset="0.15",
        low=1e-3, high=0.999,
    )
    strict: bool = param(
        default=False,
        summary="Certify precision >= threshold with a bound that holds at all times, for all rules tried.",
        unset="false, the reference rule, which certifies precision > threshold - 0.05",
    )
    beam_size: int = param(4, "Rules carried from level to level.", unset="4", low=1, high=100)
    batch_size: int = param(100, "Rows per draw of one candidate.", unset="100", low=1, high=10_000)
    max_predicates: int = param(0, "Most predicates in a rule.", unset="no limit", low=0)
    discretizer: Discretizer = param(
        Discretizer.QUARTILE, "Tables: borders of predicates on numbers.", unset="quartile"
    )
    stop_on_first: bool = param(
        default=False,
        summary="Take the first level's best rule instead of looking for a larger coverage.",
        unset="false",
    )
    segmentation: Segmentation | None = param(
        None,
        "How the instance is cut; with it a table's columns are hidden, not compared.",
        unset="the modality's default",
    )
    baseline: Baseline | None = param(
        None,
        "What absent looks like; with it a table's columns are hidden, not compared.",
        unset="the modality's default",
    )


@dataclass(frozen=True, slots=True, eq=False)
class AnchorsTask:
    """A subject, the conditions on it, and how rules of them are searched."""

    subject: Subject
    conditions: Conditions
    plan: Plan


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What the model says of the instance, and of which other rows it says the same."""

    chosen: Chosen
    agree: Callable[[Array], Array]  # (n, outputs) scores -> (n,) bool
    warnings: tuple[str, ...]


def prepare(subject: Subject, params: AnchorsParams, rng: Rng) -> AnchorsTask:
    """Find the predicates that hold on the instance.

    Raises MethodUnsupported for a model that makes no decision, and InvalidRequest for options of
    another modality and for a table without background rows.
    """
    targets = subject.targets
    if targets.kind is ScoreKind.VALUE and len(targets.labels) == 1:
        raise MethodUnsupported(
            "anchors needs a decision that stays or changes, and this model says one number; "
            "use lime, kernel_shap or occlusion, or declare what its score means (spec.score)",
            alternatives="lime, kernel_shap, occlusion",
        )
    hidden = params.segmentation is not None or params.baseline is not None
    table = subject.instance.spec.modality is Modality.TABULAR and not hidden
    if not table and params.discretizer is not Discretizer.QUARTILE:
        raise InvalidRequest.of("discretizer", "only a table's own columns have borders; leave it unset")
    conditions: Conditions
    if table:
        conditions = column_conditions(subject.instance, params.discretizer)
    else:
        cut, absent = params.segmentation or Segmentation(), params.baseline or Baseline()
        conditions = Presences(hide(subject.instance, cut, absent, rng))
    return AnchorsTask(subject, conditions, plan_of(params, len(conditions.texts)))


def plan_of(params: AnchorsParams, predicates: int) -> Plan:
    """How to search among so many predicates."""
    certificate: Certificate = Strict(params.threshold, params.delta)
    if not params.strict:
        tries = 1 + (params.beam_size - 1) * predicates
        certificate = Reference(params.threshold, params.delta, tries)
    return Plan(
        certificate,
        params.threshold,
        params.delta,
        params.tau,
        params.beam_size,
        params.batch_size,
        min(params.max_predicates or predicates, predicates),
        params.stop_on_first,
    )


def cost(task: AnchorsTask, _params: AnchorsParams) -> Cost:
    """The instance, and all rows there are or that one search may ask."""
    different = task.conditions.different
    return Cost(1 + min(MOST_ROWS, MOST_ROWS if different is None else different), exact=False)


def anchors(task: AnchorsTask, _params: AnchorsParams, rng: Rng) -> Steps:
    """The rule with the largest coverage among those certified (algorithm 2).

    Without one, the most precise rule tried, with `threshold_met` False. precision, lower_bound and
    samples are of fresh rows, drawn after the rule was chosen; coverage is exact: the share of
    background rows, or of masks, under the rule.
    """
    reply = yield Query(task.conditions.instance_row())
    scores = reply.scores[0]
    decision = decide(task.subject.targets, scores)
    notes = Notebook(task.conditions, decision.agree, rng)
    cut_short = False
    try:
        yield from search(task.plan, notes)
    except BudgetSpent as spent:
        cut_short = True
        left = spent.left
        if notes.best() is None:
            if left < 1:
                raise
            yield from glimpse(task.plan, notes, min(left, task.plan.batch))
    best = notes.best()
    if best is None:
        raise AssertionError("the empty rule is always tried")
    return rule_of(task, notes, decision, scores, best, complete=not cut_short)


def decide(targets: Targets, scores: Array) -> Decision:
    """What the model says of the instance, from its scores, (outputs,).

    Raises InvalidRequest when only targets are asked for that the model does not say.
    """
    chosen = targets.choose(scores)
    if targets.link is Link.SIGMOID or (len(scores) == 1 and targets.kind is not ScoreKind.VALUE):
        return yes_or_no(targets, chosen, scores)
    said = int(np.argmax(scores))
    if said not in chosen.indices:
        raise InvalidRequest.of(
            "targets",
            f"the model says {targets.labels[said]!r} of this instance, and a rule explains what it says; "
            "leave the targets out",
        )

    def agree(others: Array) -> Array:
        return np.asarray(np.argmax(others, axis=1) == said)

    return Decision(Chosen((said,), targets), agree, left_out(chosen, said))


def yes_or_no(targets: Targets, chosen: Chosen, scores: Array) -> Decision:
    """Outputs that decide each for itself: the first target, whether it is a yes or a no."""
    one = chosen.indices[0]
    even = EVEN.get(targets.kind, 0.0)
    yes = bool(scores[one] > even)

    def agree(others: Array) -> Array:
        return np.asarray((others[:, one] > even) == yes)

    no = () if yes else (f"the model says no to {targets.labels[one]!r}; the rule explains that",)
    return Decision(Chosen((one,), targets), agree, (*no, *left_out(chosen, one)))


def left_out(chosen: Chosen, said: int) -> tuple[str, ...]:
    """A warning about targets that the rule is not about."""
    others = [chosen.targets.labels[i] for i in chosen.indices if i != said]
    if not others:
        return ()
    label = chosen.targets.labels[said]
    return (f"a rule has one target; this one explains {label!r}, not {', '.join(map(repr, others))}",)


def rule_of(
    task: AnchorsTask, notes: Notebook, decision: Decision, scores: Array, best: Trial, *, complete: bool
) -> Rule:
    """The trial in the words of a finding."""
    conditions, certificate = task.conditions, task.plan.certificate
    return Rule(
        chosen=decision.chosen,
        units=conditions.units,
        instance_scores=scores,
        predicates=predicates_of(notes, best),
        precision=best.precision,
        lower_bound=best.bound,
        confidence=certificate.confidence,
        coverage=best.coverage,
        samples=best.rows,
        threshold=task.plan.threshold,
        threshold_met=best.accepted,
        certificate=certificate.words if best.accepted else f"not reached: {certificate.words}",
        examples=examples(conditions, best),
        complete=complete,
        warnings=(*conditions.warnings, *decision.warnings, *doubts(task, notes, best, complete=complete)),
        baseline=conditions.baseline,
        segmentation=conditions.segmentation,
    )


def predicates_of(notes: Notebook, best: Trial) -> tuple[Predicate, ...]:
    """The conditions in the order in which they joined; the last has the rule's own numbers."""
    conditions, found = notes.conditions, []
    prefixes = [best.rule[: i + 1] for i in range(len(best.rule))]
    for prefix in prefixes:
        known = best.precision if prefix == best.rule else notes.precision(prefix)
        found.append(
            Predicate(
                conditions.texts[prefix[-1]],
                int(conditions.segments[prefix[-1]]),
                best.precision if known is None else known,
                float(conditions.coverage([prefix])[0]),
            )
        )
    return tuple(found)


def examples(conditions: Conditions, best: Trial) -> tuple[Example, ...]:
    """A few different rows under the rule that agree, then a few that do not."""
    if best.seen is None:
        return ()
    drawn, found = best.seen.drawn, []
    for agrees in (True, False):
        texts: dict[str, None] = {}
        for at in np.flatnonzero(best.seen.agrees == agrees):
            if len(texts) == EXAMPLES:
                break
            texts[conditions.describe(drawn.rows, int(at))] = None
        found += [Example(text, agrees) for text in texts]
    return tuple(found)


def doubts(task: AnchorsTask, notes: Notebook, best: Trial, *, complete: bool) -> list[str]:
    """What a reader must know before trusting the rule."""
    found = []
    if not complete:
        found.append(
            f"the search ended early, after {notes.rows} rows and {len(notes.trials)} rules tried; "
            "this is the best so far (raise max_queries or the deadline, or tau)"
        )
    if not best.accepted:
        least = task.conditions.least
        thin = f" on at least {100 * least:.2g} % of the background" if least else ""
        found.append(
            f"no rule was certified{thin}; this is the most precise one tried: allow a lower threshold, "
            "a larger beam, finer borders (DECILE) or more background rows"
        )
    return found


ANCHORS: Method[AnchorsParams, AnchorsTask] = Method(
    name="anchors",
    summary="A rule under which the model's answer stays, with its precision and coverage.",
    citation="Ribeiro, Singh & Guestrin, Anchors: High-Precision Model-Agnostic Explanations, AAAI 2018",
    version="1",
    modalities=frozenset(Modality),
    params=AnchorsParams,
    prepare=prepare,
    cost=cost,
    run=anchors,
    lacks=a_decision_and_typical_rows,
    labels_suffice=True,
)
