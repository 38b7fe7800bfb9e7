"""Means and variances of arrays that arrive one by one and are not kept.

Numbers are counted from the first array, so that a mean far from 0 costs no digits. It knows nothing
of what the arrays are.
"""

from __future__ import annotations

import numpy as np

from whybox_server.core.rows import Array

OF_MEAN = 2  # powers that the mean and its error need
OF_VARIANCE = 4  # powers that the variance and its error need


class Moments:
    """Sums of powers of what was added, each in the shape of one array, float64."""

    def __init__(self, powers: int = OF_MEAN) -> None:
        self.count = 0
        self._powers = powers
        self._first: Array | None = None
        self._sums: list[Array] = []

    def add(self, numbers: Array) -> None:
        """One more array, of the same shape as all others."""
        if self._first is None:
            self._first = numbers.astype(np.float64)
            self._sums = [np.zeros_like(self._first) for _ in range(self._powers)]
        self.count += 1
        step = numbers - self._first
        power = step.copy()
        for total in self._sums:
            total += power
            power *= step

    def mean(self) -> Array:
        return np.asarray(self._first + self._raw(1))

    def variance(self) -> Array:
        """Of one array, without bias; needs two arrays."""
        return np.asarray(np.maximum(self._raw(2) - self._raw(1) ** 2, 0) * self.count / (self.count - 1))

    def error_of_mean(self) -> Array:
        """Standard error of `mean`."""
        return np.asarray(np.sqrt(self.variance() / self.count))

    def error_of_variance(self) -> Array:
        """Standard error of `variance`: sqrt((m4 - (n - 3) / (n - 1) s^4) / n), Cho & Cho 2008."""
        n, raw = self.count, [self._raw(power) for power in range(1, OF_VARIANCE + 1)]
        fourth = raw[3] - 4 * raw[0] * raw[2] + 6 * raw[0] ** 2 * raw[1] - 3 * raw[0] ** 4
        return np.asarray(np.sqrt(np.maximum(fourth - (n - 3) / (n - 1) * self.variance() ** 2, 0) / n))

    def _raw(self, power: int) -> Array:
        """Mean of a power, counted from the first array."""
        return np.asarray(self._sums[power - 1] / self.count)
