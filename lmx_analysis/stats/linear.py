"""Estimates with their influence on each document, so that whatever is computed from them keeps its variance.

An estimate is a value and one number for each independent unit (a document, or a cluster of them), whose squares sum to
its variance. Sums, products and quotients of estimates carry these numbers along to first order (the delta method), so
a difference, an interpolation or an area knows that its parts were measured on the same documents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TINY = 1e-12


@dataclass(frozen=True)
class Linear:
    """A value and its influences, shape ``[units]``; `variance` is the sum of their squares."""

    value: float
    influence: Floats

    def __add__(self, other: Linear | float) -> Linear:
        """Return the sum."""
        if isinstance(other, Linear):
            return Linear(self.value + other.value, self.influence + other.influence)
        return Linear(self.value + other, self.influence)

    def __sub__(self, other: Linear | float) -> Linear:
        """Return the difference."""
        return self + other * -1.0

    def __mul__(self, other: Linear | float) -> Linear:
        """Return the product, by the product rule."""
        if isinstance(other, Linear):
            return Linear(self.value * other.value, self.influence * other.value + other.influence * self.value)
        return Linear(self.value * other, self.influence * other)

    def __truediv__(self, other: Linear) -> Linear:
        """Return the quotient, by the quotient rule; the divisor must not be 0."""
        value = self.value / other.value
        return Linear(value, (self.influence - other.influence * value) / other.value)

    @property
    def variance(self) -> float:
        """Of the estimate, in its unit squared."""
        return float(self.influence @ self.influence)

    @property
    def se(self) -> float:
        """Return the standard error; 0 where nothing varies."""
        se = math.sqrt(self.variance)
        return se if se > TINY * max(1.0, abs(self.value)) else 0.0
