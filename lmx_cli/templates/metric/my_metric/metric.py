"""Word F1 of an answer against its reference, and the interquartile mean over all answers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from lm_eval.api.registry import register_aggregation, register_metric
from scipy import stats

IQM = "my_metric_iqm"


@register_aggregation(IQM)  # type: ignore  # lm_eval's decorators are not typed
def interquartile_mean(values: Sequence[float]) -> float:
    """Return the mean of the middle half of `values`: a few broken texts, or a few lucky ones, do not move it."""
    return float(stats.trim_mean(values, 0.25))


# lm_eval learns from the decorator how to aggregate the metric, which way is up, and (0.5) of which tasks it is.
@register_metric(  # type: ignore
    metric="my_metric", higher_is_better=True, aggregation=IQM, output_type="generate_until"
)
def word_f1(references: Sequence[str], predictions: Sequence[str]) -> float:
    """Return the F1 (0 to 1) of the words of one prediction against one reference, each word as often as it stands.

    F1 is 2 * shared / (written + expected), the harmonic mean of precision and recall (Rajpurkar et al. 2016).
    """
    expected, written = _words(references[0]), _words(predictions[0])
    total = expected.total() + written.total()
    return 2 * (expected & written).total() / total if total else 1.0


def _words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.casefold()))
