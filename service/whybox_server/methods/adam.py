"""Adam with one step length for all variables: a state and a gradient in, a state and a move out.

A length per variable, as in the paper, would move variables that hardly matter as far as those that
do, and projections onto a constraint would undo both. It knows neither what is minimised nor where
the gradient comes from.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from whybox_server.core.rows import Array

# Kingma & Ba 2015, algorithm 1, with the values recommended there.
FIRST_DECAY = 0.9
SECOND_DECAY = 0.999
TINY = 1e-8


@dataclass(frozen=True, slots=True, eq=False)
class Adam:
    """Running means of the gradient, (variables,), and of its mean square, after `steps` gradients."""

    first: Array
    second: float
    steps: int = 0


def resting(variables: int) -> Adam:
    """The state before the first gradient."""
    return Adam(np.zeros(variables), 0.0)


def adam(state: Adam, gradient: Array, rate: float) -> tuple[Adam, Array]:
    """The next state, and the move, (variables,), that minimises: about `rate` per variable in the mean."""
    steps = state.steps + 1
    first = FIRST_DECAY * state.first + (1 - FIRST_DECAY) * gradient
    second = SECOND_DECAY * state.second + (1 - SECOND_DECAY) * float(np.mean(gradient**2))
    mean, square = first / (1 - FIRST_DECAY**steps), second / (1 - SECOND_DECAY**steps)
    return Adam(first, second, steps), -rate * mean / (np.sqrt(square) + TINY)
