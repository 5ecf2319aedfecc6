"""Cache rows for texts that are written in stages: stages that follow one another use one row in turn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

from lmx_models.engine.step_model import StepModel
from lmx_models.methods.method import Method
from lmx_models.methods.weights import Weights


def feed_names(stage: str, method: Method) -> dict[str, str]:
    """Return the names under which the scheduler knows a stage's models, by the roles that they play in `method`."""
    return {role: f"{stage}.{role}" if method.others else stage for role in method.roles}


class StageRows(StepModel):
    """One set of weights for the stages of a text, which take turns in one row (each of them begins at slot 0).

    Args:
        texts: most texts alive at once.
        places: by the names in `Feed`. Names of one place share a row; models that a method feeds side by side have
            different ones.
    """

    def __init__(self, model: Any, texts: int, slots: int, places: Mapping[str, int]) -> None:
        super().__init__(model, texts * len(set(places.values())), slots)
        self._places = places
        self._users: dict[tuple[Hashable, int], list[Hashable]] = {}

    def open(self, key: Hashable) -> None:
        """Give `key`, a pair of text and name, the row of its place."""
        users = self._users.setdefault(self._place(key), [])
        if users:
            self.place(key, self.row(users[0]))
        else:
            super().open(key)
        users.append(key)

    def close(self, key: Hashable) -> None:
        """Take the row back when the last of its names is closed."""
        if not self.has(key):
            return
        users = self._users[self._place(key)]
        users.remove(key)
        if users:
            self.forget(key)
        else:
            super().close(key)

    def _place(self, key: Any) -> tuple[Hashable, int]:
        text, name = key
        return text, self._places[name]


def shared_rows(
    stages: Mapping[str, Mapping[str, Weights]], methods: Mapping[str, Method], texts: int, slots: int
) -> dict[str, StepModel]:
    """Return the models of all stages by the names in their feeds, one `StageRows` for each set of weights.

    Args:
        stages: each stage's models by role. methods: each stage's method.
    """
    models: dict[int, Any] = {}
    places: dict[int, dict[str, int]] = {}
    for stage, weights in stages.items():
        for place, (role, name) in enumerate(feed_names(stage, methods[stage]).items()):
            model = weights[role].model
            models[id(model)] = model
            places.setdefault(id(model), {})[name] = place
    steps = {key: StageRows(model, texts, slots, places[key]) for key, model in models.items()}
    return {name: steps[key] for key, names in places.items() for name in names}
