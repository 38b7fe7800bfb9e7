"""Contrasts without gradients: which few moves, taken together, reach a margin.

Few states are all tried, by size, so that the smallest set is found for certain. Otherwise single
moves, then the best ones together, then a beam of sets; what was found is pruned and shortened.
Labels alone are enough to decide what is good; margins only order the search.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, islice, product

import numpy as np

from whybox_server.core.errors import BudgetSpent
from whybox_server.core.query import Query, Reply
from whybox_server.core.rows import Array
from whybox_server.methods.contrast_sides import Moves, Side
from whybox_server.methods.fista import Found, Objective

EXACT_STATES = 2**14  # up to so many are enumerated
CHUNK = 2048  # states per query
BEAM = 10  # sets carried along
EXTENSIONS = 100  # further moves tried per set
ROUNDS = 10  # sizes that the beam goes through
PREFIXES = 32  # of the best moves, tried together
PRUNES = 6
SHORTER = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875)  # of a move, tried at the end
SHORTENED = 20  # moves at most that are shortened
RECONSTRUCTED = 64  # good states at most, of the nearest, whose reconstruction decides among them


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """States that were answered, in order; fewer than asked when the budget ended."""

    states: Array  # (n, segments)
    scores: Array  # (n, outputs)
    complete: bool


def states_of(moves: Moves) -> int:
    """How many states there are, the start included; a float's worth, for it may be huge."""
    counts = np.bincount(moves.units, minlength=1) + 1.0
    return int(min(np.prod(counts), 2.0**62))


def is_exact(moves: Moves) -> bool:
    return states_of(moves) <= EXACT_STATES


def search_rows(moves: Moves) -> int:
    """Rows that `search` asks of the model at most; the autoencoder is asked about some of them."""
    if is_exact(moves):
        return states_of(moves) - 1
    beam = ROUNDS * BEAM * EXTENSIONS
    return len(moves.units) + PREFIXES + beam + 2 * PRUNES * moves.count + SHORTENED * len(SHORTER)


def search(side: Side, aim: Objective) -> Generator[Query, Reply, Found]:
    """The smallest good set of moves (exactly, where all can be tried), of equal ones the nearest."""
    if not len(side.moves.units):
        return Found()
    if is_exact(side.moves):
        return (yield from enumerate_by_size(side, aim))
    return (yield from climb(side, aim))


def ask(moves: Moves, states: Array) -> Generator[Query, Reply, Answers]:
    """Answers to states, (n, segments); to the first of them when the budget ends."""
    scores: list[Array] = []
    for lo in range(0, len(states), CHUNK):
        block = states[lo : lo + CHUNK]
        try:
            reply = yield Query(moves.rows(block))
        except BudgetSpent as spent:
            left = min(spent.left, len(block))
            if left:
                try:
                    reply = yield Query(moves.rows(block[:left]))
                    scores.append(reply.scores)
                except BudgetSpent:
                    left = 0
            answered = np.concatenate(scores) if scores else np.zeros((0, 1))
            return Answers(states[: len(answered)], answered, complete=False)
        scores.append(reply.scores)
    return Answers(states, np.concatenate(scores), complete=True)


def enumerate_by_size(side: Side, aim: Objective) -> Generator[Query, Reply, Found]:
    """All sets of one move, of two, and so on, until a size has a good one."""
    moves = side.moves
    for size in range(1, len(set(moves.units.tolist())) + 1):
        best = Found()
        sets = sets_of(moves, size)
        while block := list(islice(sets, CHUNK)):
            answers = yield from ask(moves, np.array(block))
            found = yield from nearest_of(side, aim, answers)
            best = nearer(best, found)
            if not found.complete:
                return replace(best, complete=False)
        if best.rows is not None:
            return best
    return Found()


def sets_of(moves: Moves, size: int) -> Iterator[tuple[int, ...]]:
    """States with so many moves, lazily; at most one move per segment."""
    options: dict[int, list[int]] = {}
    for unit, option in zip(moves.units.tolist(), moves.options.tolist(), strict=True):
        options.setdefault(unit, []).append(option)
    for units in combinations(sorted(options), size):
        for chosen in product(*(options[unit] for unit in units)):
            state = [0] * moves.count
            for unit, option in zip(units, chosen, strict=True):
                state[unit] = option
            yield tuple(state)


def climb(side: Side, aim: Objective) -> Generator[Query, Reply, Found]:
    """Single moves; else prefixes of the best ones, and a beam of smaller sets; then pruned and shortened."""
    moves = side.moves
    singles = np.zeros((len(moves.units), moves.count), int)
    singles[np.arange(len(singles)), moves.units] = moves.options
    answers = yield from ask(moves, singles)
    best = yield from nearest_of(side, aim, answers)
    if best.rows is None and best.complete:
        order = np.argsort(-aim.margin(answers.scores), kind="stable")
        answers = yield from ask(moves, prefixes(moves, order))
        best = yield from nearest_of(side, aim, answers)
        if best.complete:
            best = yield from beam(side, aim, singles[order[:BEAM]], order, best)
        if best.complete and best.state is not None:
            best = yield from prune(side, aim, best)
    if best.complete and best.state is not None:
        best = yield from shorten(side, aim, best)
    return best


def prefixes(moves: Moves, order: Array) -> Array:
    """The best moves together, each segment's own best one, in growing numbers: (p, segments)."""
    state, grown = np.zeros(moves.count, int), []
    for move in order:
        if not state[moves.units[move]]:
            state[moves.units[move]] = moves.options[move]
            grown.append(state.copy())
    sizes = np.unique(np.geomspace(1, len(grown), min(PREFIXES, len(grown))).round().astype(int))
    return np.stack([grown[size - 1] for size in sizes])


def beam(
    side: Side, aim: Objective, kept: Array, order: Array, known: Found
) -> Generator[Query, Reply, Found]:
    """Sets grown move by move, the best of each size kept; smaller than what is known, or that."""
    moves, best_margin = side.moves, -np.inf
    most = ROUNDS if known.state is None else min(ROUNDS, int(np.count_nonzero(known.state)) - 2)
    for _ in range(most):
        grown = np.unique(np.concatenate([extended(moves, state, order) for state in kept]), axis=0)
        if not len(grown):
            break
        answers = yield from ask(moves, grown)
        found = yield from nearest_of(side, aim, answers)
        if found.rows is not None:
            return found
        if not found.complete:
            return replace(known, complete=False)
        margins = aim.margin(answers.scores)
        if margins.max() <= best_margin:
            break
        best_margin = margins.max()
        kept = grown[np.argsort(-margins, kind="stable")[:BEAM]]
    return known


def extended(moves: Moves, state: Array, order: Array) -> Array:
    """A state with one further move each, the most promising ones: (n, segments)."""
    further = order[state[moves.units[order]] == 0][:EXTENSIONS]
    grown = np.tile(state, (len(further), 1))
    grown[np.arange(len(further)), moves.units[further]] = moves.options[further]
    return grown


def prune(side: Side, aim: Objective, found: Found) -> Generator[Query, Reply, Found]:
    """The same without moves that it does not need: one by one, and the least needed ones together."""
    for _ in range(PRUNES):
        assert found.state is not None  # of every found one of this file
        used = np.flatnonzero(found.state)
        if len(used) < 2:  # without its last move it is the start
            break
        fewer = np.tile(found.state, (len(used), 1))
        fewer[np.arange(len(used)), used] = 0
        answers = yield from ask(side.moves, fewer)
        if not answers.complete:
            nearest = yield from nearest_of(side, aim, answers)
            return replace(nearer(found, nearest), complete=False)
        order = used[np.argsort(-aim.margin(answers.scores), kind="stable")]
        together = np.tile(found.state, (len(used) - 1, 1))
        for size, row in enumerate(together, start=1):
            row[order[:size]] = 0
        several = yield from ask(side.moves, together)
        one = yield from fewest_of(side, aim, answers)
        other = yield from fewest_of(side, aim, several)
        best = smaller(smaller(found, one), other)
        if not (one.complete and other.complete):
            return replace(best, complete=False)
        if best is found:
            break
        found = best
    return found


def shorten(side: Side, aim: Objective, found: Found) -> Generator[Query, Reply, Found]:
    """The same with every move as short as it may be, one segment after the other.

    Of the good ones that is the one of the smallest net, which an autoencoder may find in a longer move.
    """
    moves = side.moves
    assert found.state is not None  # of every found one of this file
    amounts = amounts_of(moves, found.state)
    if side.moved is None or not np.isfinite(amounts).all():
        return found  # categories are not shortened
    amounts = np.clip(amounts, side.low, side.high)
    for unit in np.flatnonzero(amounts)[:SHORTENED]:
        shorter = np.tile(amounts, (len(SHORTER), 1))
        shorter[:, unit] *= SHORTER
        rows = side.moved(shorter, None)
        try:
            reply = yield Query(rows)
            good = np.flatnonzero(aim.good(aim.margin(reply.scores)))
            errors = yield from aim.reconstruct(rows.take(good))
        except BudgetSpent:
            return replace(found, complete=False)
        # Nets grow along SHORTER, so that a longer move must pay by a smaller error than all before.
        pays = errors < np.minimum.accumulate(np.append(np.inf, errors))[:-1]
        for at, error in zip(good[pays], errors[pays], strict=True):
            row = rows.take(np.array([at]))
            net = aim.net(side.measure(row)) + error
            if net < found.net:
                amounts = shorter[at]
                found = replace(found, rows=row, scores=reply.scores[at], net=net)
    return found


def amounts_of(moves: Moves, state: Array) -> Array:
    """The amounts of a state's options, (segments,); NaN where one is a category."""
    amounts = np.zeros(moves.count)
    taken = moves.options == state[moves.units]
    amounts[moves.units[taken]] = moves.amounts[taken]
    return amounts


def net_of(moves: Moves, states: Array) -> Array:
    """The elastic nets of states, (n,): it is a sum over segments."""
    taken = (states[:, moves.units] == moves.options) * moves.costs  # (n, moves)
    return np.asarray(taken.sum(axis=1))


def nearest_of(side: Side, aim: Objective, answers: Answers) -> Generator[Query, Reply, Found]:
    """The good state of the smallest net, if there is one."""
    return chosen_of(side, aim, answers, by_size=False)


def fewest_of(side: Side, aim: Objective, answers: Answers) -> Generator[Query, Reply, Found]:
    """The good state with the fewest moves, of equal ones that of the smallest net."""
    return chosen_of(side, aim, answers, by_size=True)


def chosen_of(
    side: Side, aim: Objective, answers: Answers, *, by_size: bool
) -> Generator[Query, Reply, Found]:
    """The best good state; not complete if the answers are not, or the autoencoder had no budget left."""
    good = np.flatnonzero(aim.good(aim.margin(answers.scores))) if len(answers.scores) else np.array([], int)
    if not len(good):
        return Found(complete=answers.complete)
    states = answers.states[good]
    nets = net_of(side.moves, states)
    sizes = np.count_nonzero(states, axis=1) if by_size else np.zeros(len(states))
    order = np.lexsort((nets, sizes))
    order = order[sizes[order] == sizes[order[0]]][:RECONSTRUCTED]
    best, complete = order[0], answers.complete
    try:
        errors = yield from aim.reconstruct(side.moves.rows(states[order]))
        at = int(np.argmin(nets[order] + errors))
        best, net = order[at], float(nets[order[at]] + errors[at])
    except BudgetSpent:
        complete, net = False, np.inf  # good, and how good is not known
    rows = side.moves.rows(states[best : best + 1])
    return Found(rows, answers.scores[good[best]], net, complete, states[best])


def nearer(one: Found, other: Found) -> Found:
    """The one of the smaller net; the one that is there, if only one is."""
    return other if one.rows is None or other.net < one.net else one


def smaller(one: Found, other: Found) -> Found:
    """The one with fewer moves."""
    if other.state is None or one.state is None:
        return one
    return other if np.count_nonzero(other.state) < np.count_nonzero(one.state) else one
