"""The cheap predictors: what a fine-tuned one must beat, and what a user would do instead of any."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmx_analysis.performance_prediction.predictor import Floats, Tasks

_WORD = re.compile(r"(?u)\b\w+\b")
ALPHAS = tuple(10.0**power for power in np.arange(-2, 5.01, 0.5))
"""Penalties that the ridges choose from, by leave-one-out errors on the training tasks."""


def _vectorizer(definitions: Sequence[str], norm: str | None = "l2") -> Any:
    """Return an unfitted TF-IDF of words; those of a single training task cannot tell of others and are left out."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = Counter(word for text in definitions for word in set(_WORD.findall(text.lower())))
    least = 2 if any(count > 1 for count in words.values()) else 1
    return TfidfVectorizer(sublinear_tf=True, token_pattern=_WORD.pattern, min_df=least, norm=norm)


class _Learned:
    """A predictor made of scikit-learn's estimators; `pipeline` returns a new one."""

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, tasks: Tasks, scores: Floats, dev: tuple[Tasks, Floats] | None = None) -> None:
        self.fitted = self.pipeline(tasks).fit(self.features(tasks), scores)

    def predict(self, tasks: Tasks) -> Floats:
        return np.asarray(self.fitted.predict(self.features(tasks)), dtype=np.float64)

    def pipeline(self, tasks: Tasks) -> Any:
        """Return an estimator, not yet fitted, for these training tasks."""
        raise NotImplementedError

    def features(self, tasks: Tasks) -> Any:
        """Return what the estimator is given."""
        return list(tasks.definitions)


class Mean:
    """The mean of the training tasks: what all others are set against."""

    def __init__(self, seed: int = 0) -> None:
        self.value = 0.0

    def fit(self, tasks: Tasks, scores: Floats, dev: tuple[Tasks, Floats] | None = None) -> None:
        self.value = float(scores.mean())

    def predict(self, tasks: Tasks) -> Floats:
        return np.full(len(tasks), self.value)


class CategoryMean:
    """The mean of the training tasks of the same category, drawn towards that of all.

    The weight of a category's own mean is n / (n + `strength`): few tasks say little. Unknown ones get the mean of
    all.
    """

    def __init__(self, seed: int = 0, strength: float = 2.0) -> None:
        self.strength = strength

    def fit(self, tasks: Tasks, scores: Floats, dev: tuple[Tasks, Floats] | None = None) -> None:
        self.overall = float(scores.mean())
        self.means = {}
        for category in set(tasks.categories):
            own = scores[[each == category for each in tasks.categories]]
            self.means[category] = (own.sum() + self.strength * self.overall) / (own.size + self.strength)

    def predict(self, tasks: Tasks) -> Floats:
        return np.array([self.means.get(category, self.overall) for category in tasks.categories])


class TfidfRidge(_Learned):
    """Ridge regression on TF-IDF of the definition's words; the penalty by leave-one-out errors.

    Not brought to length 1: a word would otherwise mean less the more others stand beside it.
    """

    def pipeline(self, tasks: Tasks) -> Any:
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline

        return make_pipeline(_vectorizer(tasks.definitions, norm=None), RidgeCV(alphas=ALPHAS))


class TfidfKnn(_Learned):
    """The mean of the tasks whose definitions are nearest (cosine of TF-IDF); k by five-fold errors."""

    def pipeline(self, tasks: Tasks) -> Any:
        from sklearn.model_selection import GridSearchCV, KFold
        from sklearn.neighbors import KNeighborsRegressor
        from sklearn.pipeline import make_pipeline

        count = len(tasks)
        folds = KFold(min(5, count), shuffle=True, random_state=self.seed)
        smallest = count - -(-count // min(5, count))
        grid = {"n_neighbors": [k for k in (1, 3, 5, 10, 20, 40) if k <= smallest] or [1]}
        nearest = GridSearchCV(KNeighborsRegressor(metric="cosine"), grid, cv=folds, scoring="neg_mean_squared_error")
        return make_pipeline(_vectorizer(tasks.definitions), nearest)


class Forest(_Learned):
    """A random forest on TF-IDF of the definition's words."""

    def __init__(self, seed: int = 0, trees: int = 200) -> None:
        super().__init__(seed)
        self.trees = trees

    def pipeline(self, tasks: Tasks) -> Any:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.pipeline import make_pipeline

        forest = RandomForestRegressor(self.trees, min_samples_leaf=3, max_features=0.3, random_state=self.seed)
        return make_pipeline(_vectorizer(tasks.definitions), forest)


class OtherModels(_Learned):
    """Ridge regression on the same task's score under other models: what is known if others have run the task."""

    needs = "others"

    def pipeline(self, tasks: Tasks) -> Any:
        from sklearn.linear_model import RidgeCV
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return make_pipeline(StandardScaler(), RidgeCV(alphas=ALPHAS))

    def features(self, tasks: Tasks) -> Any:
        return tasks.others


class _Pilot:
    """The mean score of k instances of the task itself, drawn towards the mean of all tasks.

    How far is learned from the training tasks (least squares of the other instances' mean on that of the k, slope from
    0 to 1): the mean of one instance of exact match is 0 or 100, and nobody would take it as it is.
    """

    needs: int

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, tasks: Tasks, scores: Floats, dev: tuple[Tasks, Floats] | None = None) -> None:
        self.of_scores, self.of_pilots = float(scores.mean()), float(tasks.pilot.mean())
        centred = tasks.pilot - self.of_pilots
        spread = float(centred @ centred)
        self.slope = float(np.clip(centred @ scores / spread, 0, 1)) if spread > 0 else 0.0

    def predict(self, tasks: Tasks) -> Floats:
        return self.of_scores + self.slope * (tasks.pilot - self.of_pilots)


class Pilot1(_Pilot):
    """See `_Pilot`; one instance."""

    needs = 1


class Pilot3(_Pilot):
    """See `_Pilot`; three instances."""

    needs = 3


class Pilot5(_Pilot):
    """See `_Pilot`; five instances."""

    needs = 5


class Pilot10(_Pilot):
    """See `_Pilot`; ten instances."""

    needs = 10
