"""The files of a run, as analyses know them; see `lmx_files.runs`."""

from __future__ import annotations

from lmx_files.jsonl import read as read_jsonl
from lmx_files.runs import RESULTS, SAMPLE_FIELDS, Run, find_runs, read_run

__all__ = ["RESULTS", "SAMPLE_FIELDS", "Run", "find_runs", "read_jsonl", "read_run"]
