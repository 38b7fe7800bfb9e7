"""What theory says of a chosen set, and what it does not, in words for the reader."""

from __future__ import annotations

from math import exp, sqrt

from whybox_server.methods.subsets import Sets

COVERED = (
    "It holds for an f that is monotone and gamma-weakly submodular. The scores of a model whose parts are "
    "hidden need not be either, and those of image classifiers are not in general."
)


def guarantee(sets: Sets, strategy: str, epsilon: float) -> str:
    """The bound of the strategy, what it covers, and what was seen of f."""
    if sets.spent:
        return "None: the budget ended before the search did."
    return f"{BOUNDS[strategy](epsilon)} {COVERED} {seen(sets)}"


def of_streak(epsilon: float) -> str:
    worst = (1 - epsilon) * ratio(1.0)
    return (
        "In expectation over the random order, f(S) >= (1 - epsilon) gamma/2 (3 - e^(-gamma/2) - "
        f"2 sqrt(2 - e^(-gamma/2))) max f (Elenberg et al. 2017): {worst:.2g} max f for epsilon {epsilon:g} "
        "and gamma 1, far below what is usual."
    )


def ratio(gamma: float) -> float:
    """The factor of STREAK's bound as epsilon goes to 0 (Elenberg et al. 2017)."""
    e = exp(-gamma / 2)
    return gamma / 2 * (3 - e - 2 * sqrt(2 - e))


def of_greedy(_epsilon: float) -> str:
    return "f(S) >= (1 - e^-gamma) max f (Das & Kempe 2011): 0.63 max f for gamma 1."


def of_lazy_greedy(_epsilon: float) -> str:
    return (
        "f(S) >= (1 - 1/e) max f for gamma 1 only, where it is the answer of greedy (Minoux 1978); "
        "nothing is known for smaller gamma."
    )


BOUNDS = {"streak": of_streak, "greedy": of_greedy, "lazy_greedy": of_lazy_greedy}


def seen(sets: Sets) -> str:
    """Whether f was monotone as far as it was asked."""
    additions = falls = 0
    for subset, value in sets.values.items():
        for segment in subset:
            before = sets.values.get(subset - {segment})
            if before is not None:
                additions += 1
                falls += value < before - sets.noise
    if falls:
        return f"Here f is not monotone: {falls} of {additions} additions that were asked lowered it."
    return f"None of the {additions} additions that were asked lowered f."
