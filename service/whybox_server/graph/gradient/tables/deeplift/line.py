"""Operators of several values without a closed form: the gradient, averaged on the way from the reference.

With x moving along the straight line from r, the integral of the gradient times d is dy (Aumann and
Shapley 1974; integrated gradients, Sundararajan et al. 2017, of one operator). Gauss's rule takes it at
a few points, exact for polynomials; what it leaves is part of the gap that the answer shows.
"""

from __future__ import annotations

from functools import reduce

import numpy as np

from whybox_server.graph.gradient.emit import Emit
from whybox_server.graph.gradient.facts import Value
from whybox_server.graph.gradient.node import Node
from whybox_server.graph.gradient.table import Gradients
from whybox_server.graph.gradient.tables.deeplift.difference import delta, gradient, multipliers, with_values

POINTS = 6  # exact up to degree 11


@multipliers("GlobalLpPool", "LRN", "LpPool", "ReduceProd")
def along(e: Emit, node: Node, m: Value) -> Gradients:
    places, weights = np.polynomial.legendre.leggauss(POINTS)  # on -1 .. 1
    d, others = delta(e, node.input), node.inputs[1:]

    def part(at: float, weight: float) -> Value:
        x = e.Add(e.reference(node.input), e.Mul(d, at))
        y = getattr(e, node.proto.op_type)(x, *others, **node.attributes)
        return gradient(e, with_values(e, node, (x, *others), y), e.Mul(m, weight))

    halves = zip((places + 1) / 2, weights / 2, strict=True)
    return [reduce(e.Add, (part(float(at), float(weight)) for at, weight in halves))]
