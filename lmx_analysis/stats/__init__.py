"""The one room of statistics: a paired test, a cluster bootstrap of any statistic, corrections, one interval type.

Pure functions of numpy arrays; nothing here reads files or knows of runs. docs/analyses/statistics.md says in
plain words which question each answers.
"""

from lmx_analysis.stats.bootstrap import cluster_bootstrap, percentile, simultaneous
from lmx_analysis.stats.clusters import cluster_sums, effective_clusters, numbered
from lmx_analysis.stats.corrections import benjamini_hochberg, holm, max_t
from lmx_analysis.stats.intervals import LEVEL, Interval, mean_t, newcombe, standard_error, wilson
from lmx_analysis.stats.kinds import KINDS, Metric, metric_of
from lmx_analysis.stats.missing import NONE_MISSING, Missing, judge_missing
from lmx_analysis.stats.paired import Paired, compare_columns, compare_paired, mcnemar_exact
from lmx_analysis.stats.ratios import ratio_intervals
from lmx_analysis.stats.signflip import flip_statistics
from lmx_analysis.stats.two_groups import TwoGroups, two_groups

__all__ = [
    "KINDS",
    "LEVEL",
    "NONE_MISSING",
    "Interval",
    "Metric",
    "Missing",
    "Paired",
    "TwoGroups",
    "benjamini_hochberg",
    "cluster_bootstrap",
    "cluster_sums",
    "compare_columns",
    "compare_paired",
    "effective_clusters",
    "flip_statistics",
    "holm",
    "judge_missing",
    "max_t",
    "mcnemar_exact",
    "mean_t",
    "metric_of",
    "newcombe",
    "numbered",
    "percentile",
    "ratio_intervals",
    "simultaneous",
    "standard_error",
    "two_groups",
    "wilson",
]
