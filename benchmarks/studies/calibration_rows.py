"""What the rows of the calibration table are made of; `calibration.py` prints them.

A module that has rows offers ``rows(quick: bool) -> Iterator[Row]`` and is named in `calibration.MODULES`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Row:
    """One line of the table: a property of a procedure, measured by simulation.

    Attributes:
        group: the heading under which it stands, e.g. ``paired test: false alarms``. name: of the data.
        nominal: what is promised (0.05 of false alarms, 0.95 of coverage); None for power, which promises nothing.
        before, after: measured shares of `repeats` simulated studies, with the former method and with today's. None
            where a method does not exist or was not run.
        repeats: simulated studies. note: whatever a reader needs beside the numbers.
        audited: `before` is not run here but a figure that an earlier simulation gave.
    """

    group: str
    name: str
    nominal: float | None
    before: float | None
    after: float | None
    repeats: int
    note: str = ""
    audited: bool = False

    @property
    def error(self) -> float:
        """The Monte Carlo standard error of `after`."""
        if self.after is None:
            return math.nan
        return math.sqrt(max(self.after * (1 - self.after), 1 / self.repeats) / self.repeats)


def share(hits: NDArray[np.bool_]) -> float:
    """Return the share of studies in which something happened."""
    return float(np.mean(hits))
