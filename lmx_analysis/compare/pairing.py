"""Reads logged samples and pairs those of two runs that answered the same prompt."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.runs.folders import Run
from lmx_files.runs.tally import listed as documents_listed

Key = tuple[str, int]
"""Filter and document number."""


@dataclass
class Document:
    """What one run logged of one document under one filter.

    Attributes:
        prompt, doc, target: lm_eval's hashes. repeats: texts asked for.
        cluster: value of the cluster field. values: by metric, one for each logged line (and seed): None where not a
            number, infinite where it is.
    """

    prompt: str
    doc: str
    target: str
    repeats: int
    cluster: str | None
    values: dict[str, list[float | None]]

    def mean(self, metric: str) -> float | None:
        """Return the mean of a metric's values, None if one is missing or NaN; infinite if one is."""
        found = self.values.get(metric, [None])
        whole = math.nan if any(value is None for value in found) else sum(found) / len(found)  # type: ignore[arg-type]
        return None if math.isnan(whole) else whole


@dataclass
class TaskSamples:
    """The samples of one task of one run. `structured`: metrics whose sample values are lists or objects."""

    documents: dict[Key, Document] = field(default_factory=dict)
    metrics: dict[str, None] = field(default_factory=dict)
    structured: set[str] = field(default_factory=set)

    def filters(self) -> list[str]:
        """Return the names of the filters in the order of the file."""
        return list(dict.fromkeys(name for name, _ in self.documents))


@dataclass
class Mismatch:
    """Why documents of two runs may not be paired: numbers of documents by task."""

    prompts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    docs: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    repeats: dict[str, set[tuple[int, int]]] = field(default_factory=lambda: defaultdict(set))


def read_samples(run: Run, task: str, cluster_field: str | None) -> TaskSamples:
    """Read the samples of a task; texts are dropped at once, so that memory holds the values only."""
    found = TaskSamples()
    path = run.sample_files[task]
    for number, sample in enumerate(run.samples(task), 1):
        values = run.metrics_of(sample)
        try:
            key = (sample["filter"], sample["doc_id"])
            prompt = str(sample["prompt_hash"])
            resps = sample["resps"]
            repeats = len(resps[0]) if isinstance(resps[0], list) else 1
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise UserError(f"{path}, sample {number}: not a line of a samples file ({error!r})") from error
        document = found.documents.get(key)
        if document is None:
            cluster = None if cluster_field is None else _cluster(sample, cluster_field, path)
            hashes = (prompt, str(sample.get("doc_hash", "")), str(sample.get("target_hash", "")))
            document = found.documents[key] = Document(*hashes, repeats, cluster, {})
        elif document.prompt != prompt:
            raise UserError(f"{path}: document {key[1]} was logged with two different prompts; read one run at a time")
        for name, value in values.items():
            found.metrics[name] = None
            if isinstance(value, (list, dict)):
                found.structured.add(name)
            document.values.setdefault(name, []).append(_measured(value))
    return found


def pooled(task: str, name: str, seeds: Sequence[TaskSamples], by_prompt: bool) -> tuple[TaskSamples, list[str]]:
    """Return the samples of several seeds as one: each document that all of them answered has the values of all.

    Raises:
        UserError: two seeds were not given the same prompts (or, without `by_prompt`, documents), or numbers of texts.
    """
    first, notes = seeds[0], []
    keys = list(first.documents)
    for other in seeds[1:]:
        mismatch = Mismatch()
        common, _ = pair(task, first, other, by_prompt, mismatch)
        refuse(mismatch, f"one seed of {name}", "another")
        keys = [key for key in keys if key in set(common)]
    union = {doc for each in seeds for _, doc in each.documents}
    if len(union) > len({doc for _, doc in keys}):
        lost = union - {doc for _, doc in keys}
        notes.append(f"{task}: not answered under every seed of {name}, and left out: {documents_listed(lost)}")
    found = TaskSamples(structured={metric for each in seeds for metric in each.structured})
    found.metrics = {metric: None for metric in first.metrics if all(metric in each.metrics for each in seeds)}
    for key in keys:
        values = {
            metric: [value for each in seeds for value in each.documents[key].values.get(metric, [None])]
            for metric in found.metrics
        }
        found.documents[key] = replace(first.documents[key], values=values)
    return found, notes


def _measured(value: Any) -> float | None:
    """Return a number as a float, infinities included, and None for all else."""
    try:
        return float(value) if isinstance(value, (int, float)) and not math.isnan(value) else None
    except OverflowError:  # a whole number beyond every float
        return math.copysign(math.inf, value)


def number_or_none(value: Any) -> float | None:
    """Return a finite number as a float, and None for all else."""
    try:
        return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None
    except OverflowError:  # a whole number beyond every float
        return None


def _cluster(sample: dict[str, Any], name: str, path: object) -> str:
    doc = sample.get("doc")
    if not isinstance(doc, dict) or name not in doc:
        raise unknown(
            "--cluster", name, doc if isinstance(doc, dict) else (), f"The fields of a document are those of {path}"
        )
    return str(doc[name])


def pair(
    task: str, reference: TaskSamples, run: TaskSamples, by_prompt: bool, mismatch: Mismatch
) -> tuple[list[Key], list[str]]:
    """Return the keys that both runs have, in the reference's order, and notes.

    Documents that may not be paired are added to `mismatch`. Two documents match when their number and their prompt
    are the same (`by_prompt`), or else their number and their content.
    """
    common = [key for key in reference.documents if key in run.documents]
    bad_prompts, bad_docs, other_docs, other_targets = set(), set(), set(), set()
    for key in common:
        a, b = reference.documents[key], run.documents[key]
        if by_prompt and a.prompt != b.prompt:
            bad_prompts.add(key[1])
        elif not by_prompt and a.doc != b.doc:
            bad_docs.add(key[1])
        elif a.repeats != b.repeats:
            mismatch.repeats[task].add((a.repeats, b.repeats))
        if a.doc != b.doc:
            other_docs.add(key[1])
        if a.target != b.target:
            other_targets.add(key[1])
    if bad_prompts:
        mismatch.prompts[task] = sorted(bad_prompts)
    if bad_docs:
        mismatch.docs[task] = sorted(bad_docs)
    notes = []
    if not bad_docs and other_docs:
        notes.append(f"{documents_listed(other_docs)} have the same prompt but other fields; is it the same data?")
    if other_targets:
        notes.append(f"{documents_listed(other_targets)} have another target, so right answers differ")
    return common, notes


def left_over(reference: TaskSamples, run: TaskSamples) -> tuple[int, int, int]:
    """Return how many documents both runs have, and how many only the reference and only the run have."""
    a, b = ({doc for _, doc in samples.documents} for samples in (reference, run))
    return len(a & b), len(a - b), len(b - a)


def refuse(mismatch: Mismatch, reference: str, run: str) -> None:
    """Raise a `UserError` that names what may not be paired, if there is any."""
    if mismatch.prompts:
        raise UserError(
            f"{reference} and {run} were not given the same prompts: {_by_task(mismatch.prompts)}. "
            "Run both with the same template, shots and data. If only the models' chat templates differ, "
            "--allow-different-prompts pairs by document"
        )
    if mismatch.docs:
        raise UserError(
            f"{reference} and {run} do not hold the same documents under the same numbers: {_by_task(mismatch.docs)}. "
            "Run both on the same data"
        )
    if mismatch.repeats:
        counts = "; ".join(
            f"{task} ({', '.join(f'{a} against {b}' for a, b in sorted(pairs))})"
            for task, pairs in mismatch.repeats.items()
        )
        raise UserError(
            f"{reference} and {run} were not given the same number of texts a document: {counts}. "
            "Run both with the same `repeats`, or choose other --tasks"
        )


def _by_task(found: dict[str, list[int]]) -> str:
    return "; ".join(f"{task} ({documents_listed(ids)})" for task, ids in found.items())
