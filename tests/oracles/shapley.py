"""Shapley values from their definition, over all subsets, and as a mean over all orders."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, permutations
from math import factorial

import numpy as np

Game = Callable[[frozenset[int]], float]  # worth of the players that are in


def by_subsets(worth: Game, players: int) -> list[float]:
    """phi_i = sum over S without i of |S|! (M - |S| - 1)! / M! (v(S + i) - v(S)) (Shapley 1953, eq. 12)."""
    values = []
    for player in range(players):
        others = [other for other in range(players) if other != player]
        value = 0.0
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for subset in combinations(others, size):
                without = frozenset(subset)
                value += weight * (worth(without | {player}) - worth(without))
        values.append(value)
    return values


def by_orders(worth: Game, players: int) -> list[float]:
    """Mean gain when a player joins, over all orders in which they may come."""
    values = np.zeros(players)
    for order in permutations(range(players)):
        present: frozenset[int] = frozenset()
        for player in order:
            values[player] += worth(present | {player}) - worth(present)
            present |= {player}
    return list(values / factorial(players))
