"""Overlap of a text with references: ROUGE and exact match as published, and for answers in any script."""

from lmx_metrics.overlap.breakdown import breakdown, total
from lmx_metrics.overlap.scoring import METRICS, PUBLISHED, UNICODE, best, is_scorable, score

__all__ = ["METRICS", "PUBLISHED", "UNICODE", "best", "breakdown", "is_scorable", "score", "total"]
