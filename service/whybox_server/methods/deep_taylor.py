"""Deep Taylor decomposition: relevance by Taylor expansions at nearby roots, layer by layer (Montavon et al. 2017).

It shares LRP's machinery, and with it the patent question (WHYBOX_DISABLE_LRP=1 leaves both out).
"""

from __future__ import annotations

from dataclasses import dataclass

from whybox_server.core.errors import InvalidRequest
from whybox_server.core.instance import Subject
from whybox_server.core.probe import Option
from whybox_server.core.query import Steps
from whybox_server.core.spec import Modality
from whybox_server.methods.method import Method, Rng, param
from whybox_server.methods.relevance import Task, boxed, cost, prepared, relevance


@dataclass(frozen=True, slots=True, eq=False)
class DeepTaylorParams:
    """Fields of `whybox.v1.DeepTaylorParams`."""

    bounded: bool = param(
        default=False,
        summary="The input is bounded (pixels): its first layer follows zB instead of w^2.",
        unset="false",
    )
    low: tuple[float, ...] = param(
        (), "bounded: smallest value that the input may hold, one or per channel.", unset="the spec's range"
    )
    high: tuple[float, ...] = param(
        (), "bounded: largest value that the input may hold, one or per channel.", unset="the spec's range"
    )
    input: str = param("", "Input that is explained, by name.", unset="the only one of real numbers")


def prepare(subject: Subject, params: DeepTaylorParams, _rng: Rng) -> Task:
    """Build the way back. Raises InvalidRequest and MethodUnsupported."""
    options: dict[str, Option] = {}
    if params.bounded:
        main = params.input or subject.instance.main
        options = boxed(subject.instance, main, params.low, params.high)
    elif params.low or params.high:
        raise InvalidRequest.of("low", "only a bounded input has one; set bounded, or leave it out")
    words = "deep Taylor, bounded input" if params.bounded else "deep Taylor"
    return prepared(subject, params.input, "deep_taylor", options, words)


def deep_taylor(task: Task, _params: DeepTaylorParams, _rng: Rng) -> Steps:
    """Relevance of the target's score (Montavon et al. 2017, sections 4 and 5: z+, w^2 and zB rules).

    values: (t, *units), in units of the target's score, of its sign everywhere.
    """
    return (yield from relevance(task))


DEEP_TAYLOR: Method[DeepTaylorParams, Task] = Method(
    name="deep_taylor",
    summary="Relevance by Taylor expansions at nearby roots, layer by layer.",
    citation=(
        "Montavon et al., Explaining Nonlinear Classification Decisions with Deep Taylor Decomposition, "
        "Pattern Recognition 2017"
    ),
    version="1",
    modalities=frozenset(Modality),
    params=DeepTaylorParams,
    prepare=prepare,
    cost=cost,
    run=deep_taylor,
    probes="deep_taylor",
)
