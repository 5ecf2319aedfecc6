"""Scoring of one logged sample by a task of lm_eval 0.5, whose tasks hold a pipeline for each of their filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def scored_by_pipeline(task: Any, sample: Mapping[str, Any], responses: Sequence[Any]) -> Mapping[str, Any]:
    """Return the values of a sample: of the task's `process_results`, or else of the metrics of the sample's filter.

    Args:
        task: with `scorers`. sample: as lm_eval logged it. responses: of each request, one or a list of them.
    """
    from lm_eval.scorers import ScoredDoc

    by_request = [each if isinstance(each, list) else [each] for each in responses]
    scorer = next((one for one in task.scorers if one.name == sample["filter"]), task.scorers[0])
    values = task.process_results(sample["doc"], [response for each in by_request for response in each])
    if values is None:
        scored = scorer.score_instances({0: _instances(task, scorer.name, sample, by_request)})
    else:
        lists = {name: value if isinstance(value, list) else [value] for name, value in values.items()}
        scored = {0: ScoredDoc(doc_id=0, reference=sample["target"], scores=lists)}
    reduced: Mapping[str, Any] = scorer.reduce(scored)[0]
    return reduced


def _instances(task: Any, name: str, sample: Mapping[str, Any], by_request: Sequence[list[Any]]) -> list[Any]:
    """Return the requests that the task makes of the document, with the logged responses as those after the filter."""
    made = task.construct_requests(doc=sample["doc"], ctx=_prompt(sample["arguments"]), doc_id=0)
    instances = made if isinstance(made, list) else [made]
    if len(instances) != len(by_request):
        raise ValueError(f"{len(by_request)} requests were logged, and the task makes {len(instances)}")
    for instance, responses in zip(instances, by_request, strict=True):
        instance.resps = list(responses)
        instance.filtered_resps[name] = list(responses)
    return instances


def _prompt(arguments: Any) -> Any:
    """Return what the first request of a sample began with, in either form in which lm_eval writes requests."""
    first = next(iter(arguments.values())) if isinstance(arguments, Mapping) else arguments[0]
    return next(iter(first.values())) if isinstance(first, Mapping) else first[0]
