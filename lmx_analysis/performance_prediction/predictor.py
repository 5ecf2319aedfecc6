"""What a predictor is: an entry point of the group ``lmx.predictors`` that makes something with `fit` and `predict`.

    [project.entry-points."lmx.predictors"]
    mine = "package.module:Mine"

``Mine(seed=..., **settings)`` returns a `Predictor`. What `Mine` may say of itself, by attributes:

- ``needs``: ``others`` (the same task's score under other models) or a whole number k (the mean of k instances of the
  task itself, which are then left out of what it is to predict).
- ``uses_dev``: true if it chooses by development tasks, such as when to stop. Others learn from these tasks as well,
  except in the published protocol.
- ``grid``: settings of which the one is taken that is best on the development tasks.
- ``resumes``: true if it takes the setting ``checkpoints``, a folder of its own that is still there after a kill.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lmx_files.errors import UserError, unknown

Floats = NDArray[np.float64]
KIND = "predictors"


@dataclass(frozen=True)
class Tasks:
    """What a predictor may see of n tasks; never what is to be predicted.

    Attributes:
        names, definitions, categories: one each.
        others: scores of the same tasks under other models, shape ``[n, models]``, in the unit of the target.
        pilot: the mean of k instances of each task, shape ``[n]``; empty unless the predictor `needs` them.
    """

    names: tuple[str, ...]
    definitions: tuple[str, ...]
    categories: tuple[str, ...]
    others: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    pilot: Floats = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.names)

    def of(self, chosen: NDArray[np.intp]) -> Tasks:
        """Return some of the tasks."""
        names, definitions, categories = (
            tuple(texts[i] for i in chosen) for texts in (self.names, self.definitions, self.categories)
        )
        others = self.others[chosen] if self.others.size else self.others
        return Tasks(names, definitions, categories, others, self.pilot[chosen] if self.pilot.size else self.pilot)


class Predictor(Protocol):
    """Learns scores from tasks. What it is given and returns is standardised by the training tasks, unless raw."""

    def fit(self, tasks: Tasks, scores: Floats, dev: tuple[Tasks, Floats] | None) -> None:
        """Learn from tasks and scores ``[n]``; `dev`: tasks to choose settings by, where the protocol has any."""

    def predict(self, tasks: Tasks) -> Floats:
        """Return the predicted scores, shape ``[n]``."""


@dataclass(frozen=True)
class Kind:
    """A predictor by name: `make` it with a seed and settings; the rest is what it says of itself."""

    name: str
    make: Callable[..., Predictor]
    needs: str | int | None = None
    grid: tuple[Mapping[str, Any], ...] = ({},)
    uses_dev: bool = False
    resumes: bool = False


def names() -> list[str]:
    """Return the names of all installed predictors."""
    from lmx_plugins.discovery import plugins_of

    return sorted({plugin.name for plugin in plugins_of(KIND)})


def find(name: str) -> Kind:
    """Return an installed predictor; a `UserError` that names the nearest if there is none of that name."""
    from lmx_plugins.discovery import load, plugins_of

    plugin = next((each for each in plugins_of(KIND) if each.name == name), None)
    if plugin is None:
        raise unknown("predictor", name, names(), "See: lmx plugins")
    made = load(plugin)
    if not callable(made):
        raise UserError(f"the predictor {name!r} is {plugin.target}, which cannot be called: it must make a predictor")
    says: dict[str, Any] = {key: getattr(made, key, None) for key in ("needs", "grid", "uses_dev", "resumes")}
    grid = tuple(says["grid"] or ({},))
    return Kind(name, made, says["needs"], grid, bool(says["uses_dev"]), bool(says["resumes"]))
