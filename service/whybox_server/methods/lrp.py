"""Layer-wise relevance propagation (Bach et al. 2015) with the composites of the literature.

A patent on the method exists; a deployer can leave it out (WHYBOX_DISABLE_LRP=1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Subject
from whybox_server.core.probe import Option
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.probing import inside_of
from whybox_server.methods.relevance import Task, boxed, cost, prepared, relevance

BOXED = "z_box"


class LrpComposite(Enum):
    """Which rule for which layer."""

    EPSILON = "epsilon"
    EPSILON_PLUS = "epsilon_plus"
    EPSILON_PLUS_FLAT = "epsilon_plus_flat"
    EPSILON_ALPHA2_BETA1 = "epsilon_alpha2_beta1"
    EPSILON_ALPHA2_BETA1_FLAT = "epsilon_alpha2_beta1_flat"
    EPSILON_GAMMA_BOX = "epsilon_gamma_box"
    ALPHA1_BETA0 = "alpha1_beta0"
    EXCITATION_BACKPROP = "excitation_backprop"


@dataclass(frozen=True, slots=True, eq=False)
class LrpParams:
    """Fields of `whybox.v1.LrpParams`."""

    composite: LrpComposite | None = param(
        None,
        "Which rule for which layer.",
        unset="epsilon_plus_flat for networks of maps, else epsilon: a flat dense layer tells nothing apart",
    )
    epsilon: float | None = param(
        None, "Stabiliser of the epsilon rule, in units of the layer's output.", unset="1e-6", low=0
    )
    gamma: float | None = param(None, "Favour of positive weights in the gamma rule.", unset="0.25", low=0)
    alpha: float | None = param(
        None, "Weight of positive contributions; beta is alpha - 1.", unset="2", low=1
    )
    low: tuple[float, ...] = param(
        (), "z_box: smallest value that the input may hold, one or per channel.", unset="the spec's range"
    )
    high: tuple[float, ...] = param(
        (), "z_box: largest value that the input may hold, one or per channel.", unset="the spec's range"
    )
    layers: tuple[str, ...] = param(
        (),
        "Rules of single layers, PATTERN=RULE or PATTERN=RULE:NUMBER; * and ? stand for anything in a name.",
        unset="the composite's for all",
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: LrpParams, _rng: Rng) -> Task:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    named = tuple(split(place, text) for place, text in enumerate(params.layers))
    composite = params.composite or default(subject)
    options: dict[str, Option] = {"composite": composite.value}
    numbers = {"epsilon": params.epsilon, "gamma": params.gamma, "alpha": params.alpha}
    options |= {name: number for name, number in numbers.items() if number is not None}
    if named:
        options["layers"] = named
    ranged = composite.value.endswith("box") or any(rule.startswith(BOXED) for _, rule in named)
    if ranged:
        main = params.input or subject.instance.main
        options |= boxed(subject.instance, main, params.low, params.high)
    elif params.low or params.high:
        raise InvalidRequest.of(
            "low", "no layer follows z_box; leave low and high out, or choose epsilon_gamma_box"
        )
    return prepared(subject, params.input, "lrp", options, f"LRP {composite.value}")


def default(subject: Subject) -> LrpComposite:
    """By what comes first: convolutions, or a dense layer whose inputs the flat rule would make alike."""
    maps = inside_of(subject).layers()
    return LrpComposite.EPSILON_PLUS_FLAT if maps else LrpComposite.EPSILON


def split(place: int, text: str) -> tuple[str, str]:
    """PATTERN=RULE in two. A node's name may contain an equals sign, a rule does not."""
    pattern, equals, rule = text.rpartition("=")
    if not equals or not pattern or not rule:
        raise InvalidRequest.of(f"layers[{place}]", f"must be PATTERN=RULE, got {text!r}")
    return pattern, rule


def lrp(task: Task, _params: LrpParams, _rng: Rng) -> Steps:
    """The target's score, handed back by local rules that conserve it (Bach et al. 2015, equations 2 and 3).

    values: (t, *units), in units of the target's score; they sum to it but for biases and stabilisers,
    see `conservation_gap`.
    """
    return (yield from relevance(task))


LRP: Method[LrpParams, Task] = Method(
    name="lrp",
    summary="The score, handed back layer by layer without being lost.",
    citation=(
        "Bach et al., On Pixel-Wise Explanations by Layer-Wise Relevance Propagation, PLoS ONE 2015; "
        "Montavon et al., Layer-Wise Relevance Propagation: An Overview, 2019"
    ),
    version="1",
    modalities=frozenset(Modality),
    params=LrpParams,
    prepare=prepare,
    cost=cost,
    run=lrp,
    probes="lrp",
)
