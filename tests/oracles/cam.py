"""The CAM family as its papers write it: loops, one element after the other. Slow on purpose."""

from __future__ import annotations

from itertools import product

import numpy as np


def cam(maps: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """M_c(x) = sum_k w_k^c f_k(x) (Zhou et al. 2016, equation 2): maps (channels, *places), weights (channels,)."""
    found = np.zeros(maps.shape[1:])
    for place in np.ndindex(*maps.shape[1:]):
        for channel, weight in enumerate(weights):
            found[place] += weight * maps[(channel, *place)]
    return found


def grad_cam(maps: np.ndarray, gradient: np.ndarray, *, relu: bool) -> np.ndarray:
    """Selvaraju et al. 2017, equations 1 and 2; both arrays are (channels, *places)."""
    places = list(np.ndindex(*maps.shape[1:]))
    alphas = [sum(gradient[(k, *at)] for at in places) / len(places) for k in range(len(maps))]
    found = cam(maps, np.array(alphas))
    return np.maximum(found, 0) if relu else found


def enlarged(cells: np.ndarray, lengths: tuple[int, ...]) -> np.ndarray:
    """Linear interpolation between cells that stand at the middles of equal spans; constant beyond them."""
    found = np.zeros(lengths)
    for place in np.ndindex(*lengths):
        corners = []
        for at, length, count in zip(place, lengths, cells.shape, strict=True):
            where = min(max((at + 0.5) * count / length - 0.5, 0), count - 1)
            low = int(where)
            corners.append([(low, 1 - (where - low)), (min(low + 1, count - 1), where - low)])
        for corner in product(*corners):
            cell = tuple(at for at, _ in corner)
            found[place] += np.prod([share for _, share in corner]) * cells[cell]
    return found
