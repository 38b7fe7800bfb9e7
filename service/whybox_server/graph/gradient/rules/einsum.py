"""Einstein sums: an operand changes places with the result; the rest is bookkeeping of indices."""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_letters

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Dim, Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients, vjp

ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class Terms:
    """One letter per axis. dots: the letters that stand for an ellipsis; their lengths may be broadcast."""

    operands: list[str]
    out: str
    dots: str


@vjp("Einsum", 12)
def einsum(e: Emit, node: Node, dy: Value) -> Gradients:
    """One Einsum of dy and the other operands for each."""
    terms = _spelt_out(e, node)
    found = []
    for place, (x, term) in enumerate(zip(node.inputs, terms.operands, strict=True)):
        rest = [at for at in range(len(node.inputs)) if at != place]
        shared = {*terms.out}.union(*(terms.operands[at] for at in rest))
        kept = "".join(letter for letter in dict.fromkeys(term) if letter in shared)
        equation = ",".join([terms.out, *(terms.operands[at] for at in rest)]) + "->" + kept
        dx = e.Einsum(dy, *(node.inputs[at] for at in rest), equation=equation)
        found.append(e.sum_to(_filled(e, dx, kept, term, x), _lengths(e, node, terms, place), x))
    return found


def _spelt_out(e: Emit, node: Node) -> Terms:
    """A result left out has the broadcast axes, then the letters that occur once, sorted."""
    left, arrow, right = node.attr("equation", "").replace(" ", "").partition("->")
    given = left.split(",")
    hidden = [
        e.rank(x) - len(term) + len(ELLIPSIS) if ELLIPSIS in term else 0
        for x, term in zip(node.inputs, given, strict=True)
    ]
    dots = "".join([letter for letter in ascii_letters if letter not in left][: max(hidden)])
    operands = [
        term.replace(ELLIPSIS, dots[len(dots) - count :]) for term, count in zip(given, hidden, strict=True)
    ]
    once = "".join(sorted(letter for letter in {*left} - {*",."} if left.count(letter) == 1))
    return Terms(operands, right.replace(ELLIPSIS, dots) if arrow else dots + once, dots)


def _filled(e: Emit, dx: Value, kept: str, term: str, x: Value) -> Value:
    """From the letters that are kept to all axes of x.

    What x repeats has its gradient on a diagonal; along an index that only x has, all are alike.
    """
    free = iter(letter for letter in ascii_letters if letter not in term)
    axes = [letter if letter not in term[:axis] else next(free) for axis, letter in enumerate(term)]
    pairs = [(letter, axis) for letter, axis in zip(term, axes, strict=True) if letter != axis]
    if pairs:
        places = [axes.index(axis) for _, axis in pairs]
        equals = [e.identity(e.length(x, place, place + 1)) for place in places]
        target = "".join(axis for axis in axes if axis in {*kept}.union(*pairs))
        equation = ",".join([kept, *("".join(pair) for pair in pairs)]) + "->" + target
        dx = e.Einsum(dx, *equals, equation=equation)
    alone = [place for place, axis in enumerate(axes) if axis not in {*kept}.union(*pairs)]
    return e.Expand(e.Unsqueeze(dx, alone), e.dims(x)) if alone else dx


def _lengths(e: Emit, node: Node, terms: Terms, place: int) -> tuple[Dim, ...]:
    """Of the axes of an operand after broadcasting; None: that depends on lengths that are not known."""
    met: dict[str, set[Dim]] = {letter: set() for letter in terms.dots}
    for x, term in zip(node.inputs, terms.operands, strict=True):
        for letter, length in zip(term, e.shape(x), strict=True):
            met.get(letter, set()).add(length)
    own = zip(terms.operands[place], e.shape(node.inputs[place]), strict=True)
    return tuple(_broadcast(met[letter]) if letter in met else length for letter, length in own)


def _broadcast(lengths: set[Dim]) -> Dim:
    longer = lengths - {1}
    if len(lengths) == 1:
        return next(iter(lengths))
    return longer.pop() if len(longer) == 1 and all(isinstance(length, int) for length in longer) else None
