"""CEM: what must be there for the answer, and what must not (Dhurandhar et al. 2018).

The pertinent positive is the least that, put into nothing, is enough for the answer; the pertinent
negative is the least that, added to the instance, makes another answer. Both are looked for in step.
How is a `Descent` (numbers) or a search over moves (texts, categories, binary instances, models that
are piecewise constant). "Not found" is a reason, never an array of zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from whybox_server.core.errors import InvalidRequest, MethodUnsupported, Violation
from whybox_server.core.explanation import Contrast, Counterpart
from whybox_server.core.instance import Instance, Subject
from whybox_server.core.probe import Probe
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.contrast_hunt import Quarry, Terms, hunt_for, pursue, without_repeats
from whybox_server.methods.contrast_parts import counterpart, others, unfinished
from whybox_server.methods.contrast_rivals import most_rows
from whybox_server.methods.contrast_search import is_exact, search_rows
from whybox_server.methods.contrast_sides import Side, built, negative_side, positive_side, presence_only
from whybox_server.methods.estimates import PROBE_STEPS, PROBES, Estimate, GradientEstimate
from whybox_server.methods.fista import Descent
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.methods.needs import a_decision
from whybox_server.methods.own_gradient import OwnGradient, own_gradient
from whybox_server.methods.reconstruction import reconstruction, refuse_no_numbers
from whybox_server.methods.together import together
from whybox_server.methods.verdict import refuse_undecided, refuse_unreachable, verdict_on
from whybox_server.perturb.hiding import Hiding, hide
from whybox_server.perturb.limits import Limits, limits_of
from whybox_server.perturb.options import Baseline, BaselineKind, Segmentation

ITERATIONS = 200  # without gradients of the model
ITERATIONS_WITH_GRADIENTS = 1000
ONLY_ADDS = (
    "words are only taken away here, and a pertinent negative adds something; "
    "erasure finds the words without which the answer is another one"
)


class Contrasts(Enum):
    BOTH = "both"
    PERTINENT_POSITIVE = "pertinent_positive"
    PERTINENT_NEGATIVE = "pertinent_negative"


@dataclass(frozen=True, slots=True, eq=False)
class CemParams:
    """Fields of `whybox.v1.CemParams`."""

    find: Contrasts = param(Contrasts.BOTH, "Which contrasts to look for.", unset="both")
    kappa: float = param(0.0, "Margin between classes, in units of the target's space.", unset="0", low=0)
    beta: float = param(0.1, "Weight of the L1 distance.", unset="0.1", low=0)
    gamma: float = param(0.0, "Weight of the autoencoder's reconstruction error.", unset="0", low=0)
    c_init: float = param(10.0, "First weight of the loss; it is searched from there.", unset="10", low=1e-9)
    c_steps: int = param(9, "Steps of the search over the weight.", unset="9", low=1, high=50)
    max_iterations: int | None = param(
        None,
        "Iterations of FISTA per step, at most.",
        unset="1000 with gradients, 200 without",
        low=1,
        high=100_000,
    )
    learning_rate: float = param(0.01, "Learning rate.", unset="0.01", low=1e-9)
    gradient: GradientEstimate = param(
        GradientEstimate.RANDOM_DIRECTIONS,
        "How gradients are had when the model gives none.",
        unset="random_directions",
    )
    directions: int = param(20, "Directions per estimate.", unset="20", low=1, high=10_000)
    no_info: Array | None = param(
        None, 'Value that means "nothing there", per element or one for all.', unset="the baseline"
    )
    feature_range: tuple[float, ...] = param(
        (), "Smallest and largest value of an element.", unset="that of the background or picture"
    )
    autoencoder: str = param("", "A model that reconstructs the model's inputs, for gamma.", unset="none")
    segmentation: Segmentation | None = param(
        None, "How the instance is cut: what moves together.", unset="the modality's default"
    )
    baseline: Baseline | None = param(None, "What absent looks like.", unset="the modality's default")


@dataclass(frozen=True, slots=True, eq=False)
class CemTask:
    """A subject and its sides. gradient: the model's own, as far as it has one.

    discrete: why moves are searched rather than gradients followed; empty if they are followed.
    """

    subject: Subject
    hiding: Hiding
    sides: tuple[Side, ...]
    discrete: str
    words: str  # what distances are measured in
    warnings: tuple[str, ...]
    gradient: OwnGradient = OwnGradient()


def prepare(subject: Subject, params: CemParams, rng: Rng) -> CemTask:
    """Cut the instance and settle what may move where.

    Raises InvalidRequest for parameters that contradict each other, kappa out of reach, and an
    autoencoder of what is no numbers; MethodUnsupported for a model without classes and for negatives
    of a text.
    """
    refuse_contradictions(params)
    refuse_undecided(subject.targets)
    refuse_unreachable(subject.targets, params.kappa)
    instance = subject.instance
    if params.autoencoder:
        refuse_no_numbers(instance)
    hiding = hide(instance, params.segmentation or Segmentation(), absent(instance, params), rng)
    nothing = built(hiding.rows(np.zeros((1, hiding.count), bool)), instance)
    if presence_only(instance):
        if params.find is Contrasts.PERTINENT_NEGATIVE:
            raise MethodUnsupported(ONLY_ADDS, alternatives="erasure")
        side = positive_side(instance, hiding, nothing, None, params.beta)
        return CemTask(subject, hiding, (side,), "texts have no gradients", "segments kept", hiding.warnings)
    limits = limits_of(instance, nothing, params.feature_range)
    sides = []
    if params.find is not Contrasts.PERTINENT_NEGATIVE:
        sides.append(positive_side(instance, hiding, nothing, limits, params.beta))
    if params.find is not Contrasts.PERTINENT_POSITIVE:
        sides.append(negative_side(instance, hiding, nothing, limits, params.beta))
    discrete = reason_to_search(sides, limits, params)
    gradient = OwnGradient() if discrete or params.autoencoder else followed(subject)
    warnings = (*hiding.warnings, *limits.warnings, *gradient.warnings)
    return CemTask(subject, hiding, tuple(sides), discrete, limits.words, warnings, gradient)


def followed(subject: Subject) -> OwnGradient:
    """The gradient of what margins are made of; of one input that moves, not of several."""
    if len(subject.instance.inputs) > 1:
        return OwnGradient()
    return own_gradient(subject, subject.instance.main, subject.targets.space)


def refuse_contradictions(params: CemParams) -> None:
    """Raises InvalidRequest with all parameters that cannot be honoured."""
    found = []
    if params.autoencoder and not params.gamma:
        found.append(
            Violation("gamma", "says how much the autoencoder's error counts; give one above 0, such as 1")
        )
    if params.gamma and not params.autoencoder:
        found.append(Violation("gamma", "weighs an autoencoder's error; give autoencoder, or leave it at 0"))
    if params.no_info is not None and params.baseline is not None:
        found.append(Violation("no_info", "says the same as baseline; leave one of them out"))
    if params.baseline is not None and params.baseline.kind is BaselineKind.BACKGROUND:
        found.append(Violation("baseline.kind", "contrasts need one value for absent; use MEAN or GIVEN"))
    if found:
        raise InvalidRequest(found)


def absent(instance: Instance, params: CemParams) -> Baseline:
    """The value for nothing there: `no_info` as a baseline, or the baseline itself."""
    if params.no_info is None:
        return params.baseline or Baseline()
    values = np.asarray(params.no_info)
    if values.size == 1 and len(instance.inputs) > 1:
        values = np.full(sum(array.size for array in instance.inputs.values()), values.reshape(-1)[0])
    return Baseline(BaselineKind.GIVEN, given=values)


def reason_to_search(sides: list[Side], limits: Limits, params: CemParams) -> str:
    """Why gradients make no sense here, or "" if they do."""
    if params.gradient is GradientEstimate.SEARCH:
        return "asked for"
    if any(limits.categories.values()):
        return "categories have no gradients"
    if limits.binary and all(is_exact(side.moves) for side in sides):
        return "every value is at an end of its range, and all combinations can be tried"
    return ""


def descent_of(task: CemTask, params: CemParams) -> Descent:
    """The descent's settings. The autoencoder's error is felt, so that with it the margin is, too."""
    probe = task.gradient.probe
    estimate = Estimate(params.gradient, task.hiding.count, params.directions) if probe is None else None
    iterations = params.max_iterations or (ITERATIONS if probe is None else ITERATIONS_WITH_GRADIENTS)
    settings = (params.c_init, params.c_steps, iterations, params.learning_rate, estimate)
    return Descent(*settings, probe or Probe())


def cost(task: CemTask, params: CemParams) -> Cost:
    """Every step of every descent, and the search after it in case it finds nothing.

    The autoencoder is asked about the same rows as the model, but not those of the probe.
    """
    models = 2 if params.autoencoder else 1
    rows = 2 * models
    for side in task.sides:
        rows += models * search_rows(side.moves)
        if not task.discrete:
            rows += PROBES * len(PROBE_STEPS) + models * most_rows(side, descent_of(task, params))
    return Cost(rows, exact=False)


def cem(task: CemTask, params: CemParams, rng: Rng) -> Steps:
    """Pertinent positive and pertinent negative (equations 1 and 2), each with its class and scores.

    l1, l2: over segments, each the root mean square of its elements' distances, in the scales that
    `segmentation` names. Raises InvalidRequest when the targets leave the model's own answer out.
    """
    error = reconstruction(task.subject.instance, params.autoencoder, params.gamma)
    terms = Terms(params.kappa, params.beta, error)
    ends = task.hiding.rows(np.repeat([[True], [False]], task.hiding.count, axis=1))
    reply = yield Query(ends)
    yield from error(ends)  # what is no autoencoder is refused before anything else is asked
    instance_scores = reply.scores[0]
    verdict = verdict_on(task.subject.targets, instance_scores)
    descent = None if task.discrete else descent_of(task, params)
    hunts = [
        pursue(hunt_for(side, verdict, terms, descent, reply.scores), own)
        for side, own in zip(task.sides, rng.spawn(len(task.sides)), strict=True)
    ]
    quarries = yield from together(hunts)
    positive, positive_reason = told(task, params, quarries, positive=True)
    negative, negative_reason = told(task, params, quarries, positive=False)
    return Contrast(
        chosen=verdict.chosen,
        units=task.hiding.units,
        instance_scores=instance_scores,
        positive=positive,
        negative=negative,
        positive_reason=positive_reason,
        negative_reason=negative_reason,
        complete=all(quarry.found.complete for quarry in quarries),
        warnings=(
            *task.warnings,
            *others(task.subject, instance_scores, verdict),
            *without_repeats(quarries),
            *unfinished(quarries),
        ),
        baseline=task.hiding.baseline,
        segmentation=f"{task.hiding.segmentation}, distances in {task.words}{way(task)}",
    )


def way(task: CemTask) -> str:
    """How slopes are had, where any are followed."""
    return "" if task.discrete else f"; {task.gradient.words}"


def further_models(params: CemParams) -> dict[str, str]:
    """The autoencoder, if there is one."""
    return {"autoencoder": params.autoencoder} if params.autoencoder else {}


def told(
    task: CemTask, params: CemParams, quarries: Sequence[Quarry], *, positive: bool
) -> tuple[Counterpart | None, str]:
    """One side of the finding, or the reason why there is none."""
    unwanted = Contrasts.PERTINENT_NEGATIVE if positive else Contrasts.PERTINENT_POSITIVE
    if params.find is unwanted:
        return None, "not asked for"
    quarry = next((quarry for quarry in quarries if quarry.side.positive is positive), None)
    if quarry is None:
        return None, ONLY_ADDS
    found = quarry.found
    if found.rows is None or found.scores is None:
        return None, quarry.reason
    return counterpart(quarry, found.rows, found.scores, task.hiding, task.subject.instance), ""


CEM: Method[CemParams, CemTask] = Method(
    name="cem",
    summary="What must be there for the answer, and what must not.",
    citation="Dhurandhar et al. 2018, arXiv:1802.07623",
    version="2",
    modalities=frozenset(Modality),
    params=CemParams,
    prepare=prepare,
    cost=cost,
    run=cem,
    lacks=a_decision,
    others=further_models,
)
