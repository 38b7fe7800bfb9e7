"""Shapley values by walking through random orders of the segments (Castro, Gomez & Tejada 2009).

Each walk adds one segment after the other to nothing; what the score gains with a segment is a sample
of its value. Walks are asked together, in one query or, with a tolerance, in growing rounds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from whybox_server.core.errors import BudgetSpent, InvalidRequest
from whybox_server.core.explanation import Attribution
from whybox_server.core.instance import Subject
from whybox_server.core.query import Query, Steps
from whybox_server.core.rows import Array
from whybox_server.core.spec import Modality
from whybox_server.methods.coalitions import Game, game
from whybox_server.methods.method import Cost, Method, Rng, param
from whybox_server.perturb.options import Baseline, Segmentation

FIRST_ROUND = 20  # permutations before a tolerance is looked at
GROWTH = 1.5  # of the permutations, from round to round
MOST_BITS = 2**25  # rows x segments of the masks of one query: 34 MB
