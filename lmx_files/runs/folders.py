"""Finds and reads what runs leave: results_*.json, samples_*.jsonl and, beside them, manifests and traces.

The files and their fields are lm_eval's own; everything of lmx's lies in further files, joined on
``(task, doc_id, prompt_hash, repeat)`` and the text (`lmx_files.runs.join`). Nothing here needs lm_eval or torch.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_files.reading import LONGEST_NAME, inside, is_plain_name, is_regular
from lmx_files.runs.tally import Tally
from lmx_files.runs.task_names import renamed, short_names

# lm_eval names a run's files by one time stamp; with `--output_path name.json` the first word is that name.
STAMP = r"\d{4}-\d\d-\d\dT[\d.-]+"
RESULTS = re.compile(rf"^(?!manifest_).+_(?P<stamp>{STAMP})\.json$")
SAMPLES = re.compile(rf"^samples_(?P<task>.+)_(?P<stamp>{STAMP})\.jsonl$")
_TRACES_OF_A_RUN = re.compile(rf"^traces_(?P<stamp>{STAMP})\.jsonl")
# Fields of a logged sample that are not metrics.
_FIELDS = "doc_id doc target arguments resps filtered_resps filter metrics doc_hash prompt_hash target_hash"
SAMPLE_FIELDS = frozenset(_FIELDS.split(" "))
LARGEST_ID = 1 << 62


@dataclass(frozen=True)
class Run:
    """One finished run of lm_eval.

    Attributes:
        file: its results file. `results`: what it holds, see `schema`. `stamp`: the time stamp in its name.
        sample_files: by task; empty if samples were not logged.
        manifest: what `lmx run` wrote of the run; empty for plain lm_eval.
        notes: what a reader should know of how the run was found.
        traces_file: the only file to take traces from, where a user named one.
    """

    file: Path
    stamp: str
    results: dict[str, Any]
    sample_files: dict[str, Path]
    manifest: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    traces_file: Path | None = None

    @property
    def model(self) -> str:
        """The `--model` of the run, e.g. ``guided``; plain lm_eval keeps it in the results' configuration."""
        return str(self.results.get("config", {}).get("model") or "?")

    @property
    def decoding(self) -> dict[str, Any]:
        """Settings and run-level statistics of lmx's models; empty for others."""
        decoding = self.results.get("config", {}).get("decoding")
        return decoding if isinstance(decoding, dict) else {}

    @property
    def is_make_stage(self) -> bool:
        """Whether the run wrote texts for the other half of a cut graph and no answers: its scores mean nothing."""
        settings = self.decoding.get("settings")
        return isinstance(settings, dict) and settings.get("stage") == "make"

    def evaluated(self, task: str) -> tuple[int | None, int | None]:
        """Return how many documents of a task were evaluated and how many it has; None where nothing says so.

        Results without counts of documents still have how many values a metric was made of, which are no more.
        """
        return evaluated(self.results, task)

    def samples(self, task: str, tally: Tally | None = None) -> Iterator[dict[str, Any]]:
        """Yield the logged samples of a task in file order, one for each document and filter.

        Args:
            tally: counts the documents; ask it for its `problem` afterwards. Without one, a problem is an error.

        Raises:
            UserError: a line is no sample, or not each document that was evaluated is there once.
        """
        path = self.sample_files[task]
        counted = Tally(*self.evaluated(task)) if tally is None else tally
        for number, sample in jsonl.numbered(path, "a samples file"):
            sample["doc_id"] = _number(sample.get("doc_id"), f"{path}, line {number}: not a sample: its doc_id")
            sample["filter"] = jsonl.without_surrogates(str(sample.get("filter", "none")))
            counted.add(sample["filter"], sample["doc_id"])
            yield sample
        if tally is None and (problem := counted.problem()):
            raise UserError(f"{path}: {problem}. Restore the file that the run wrote, or leave the task out")

    def metrics_of(self, sample: dict[str, Any]) -> dict[str, Any]:
        """Return the metric values of one logged sample."""
        named = sample.get("metrics")
        names = named if isinstance(named, list) else [name for name in sample if name not in SAMPLE_FIELDS]
        return {name: sample[name] for name in names if isinstance(name, str) and name in sample}

    def trace_files(self) -> list[Path]:
        """Return the files with traces of this run's texts: those the manifest names, else those lying by it.

        Traces that bear another run's time stamp are that run's. A file that several runs wrote to is told apart by
        texts, see `lmx_files.runs.join`.
        """
        if self.traces_file is not None:
            return [self.traces_file]
        folder = self.file.parent
        if named := self.manifest.get("files", {}).get("traces"):
            for name in named:
                if not is_plain_name(name):
                    raise UserError(f"the manifest of {self.file} names {name!r}, which is no file in its folder")
            return [inside(folder / name, folder) for name in named if is_regular(folder / name)]
        found = {path for place in (folder, folder.parent) for path in place.glob("traces*.jsonl*")}
        own = [path for path in found if (match := _TRACES_OF_A_RUN.match(path.name)) and match["stamp"] == self.stamp]
        others = [path for path in found if not _TRACES_OF_A_RUN.match(path.name)]
        return [inside(path, path.parent) for path in sorted(own or others) if is_regular(path)]


def find_runs(path: str | Path) -> list[Run]:
    """Return all runs at or below `path` (a folder, or one results file), oldest first by their time stamps.

    Raises:
        UserError: there is nothing at `path`, or a file of a run is not what it should be.
    """
    path = Path(path)
    if is_regular(path):
        if not RESULTS.match(path.name):
            raise UserError(f"{path} is not a results file of lm_eval (results_*.json): name one, or a folder of them")
        return [_read(path)]
    if not os.path.isdir(path):
        raise UserError(f"there is no folder or results file {path}")
    files = [inside(file, path) for file in path.rglob("*.json") if RESULTS.match(file.name)]
    return [_read(file) for file in sorted(files, key=lambda file: (file.name, str(file)))]


def read_run(path: str | Path) -> Run:
    """Return the run at `path`; of several in a folder the newest, with a note that says so."""
    runs = find_runs(path)
    if not runs:
        raise UserError(f"{path} holds no results_*.json: give the --output_path of a finished run")
    run = runs[-1]
    if len(runs) == 1:
        return run
    note = f"{path} holds {len(runs)} runs; read is the newest, {run.file.name}. Name a results file to choose another"
    return replace(run, notes=(note,))


def is_samples_file(path: Path) -> bool:
    """Whether a file holds logged samples: by its name, or by what its first line has."""
    if path.suffix != ".jsonl" or not is_regular(path):
        return False
    first: dict[str, Any] = {}
    if not SAMPLES.match(path.name):
        with contextlib.suppress(UserError):  # whoever reads it as something else says what is wrong with it
            first = next(jsonl.read(path, last="take"), {})
    return bool(SAMPLES.match(path.name)) or {"resps", "arguments"} <= first.keys()


def run_of_samples(path: Path) -> Run:
    """Return the run that a samples file is of, with no other samples than these.

    Where its results are not beside it, nothing more is known of the run; the task bears the name of the file.

    Raises:
        UserError: there is no such file, or the results beside it are not what they should be.
    """
    if not is_regular(path):
        raise UserError(f"there is no samples file {path}")
    match = SAMPLES.match(path.name)
    if match is None:
        return Run(path, "", {"results": {}}, {path.stem: path})
    for file in sorted(path.parent.glob("*.json")):
        if (named := RESULTS.match(file.name)) and named["stamp"] == match["stamp"]:
            run = _read(file)
            own = {task: place for task, place in run.sample_files.items() if place.name == path.name}
            if own:
                return replace(run, sample_files=own)
    return Run(path, match["stamp"], {"results": {}}, {match["task"]: path})


def read_results(file: Path) -> dict[str, Any]:
    """Return what a results file holds, with the types of `lmx_files.runs.schema`."""
    from lmx_files.runs import schema

    value = jsonl.without_surrogates(jsonl.read_object(file))
    return schema.checked(schema.Results, value, file, "a results file of lm_eval")


def evaluated(results: Mapping[str, Any], task: str) -> tuple[int | None, int | None]:
    """Return what `Run.evaluated` does, of the results alone."""
    counts = results.get("n-samples", {}).get(task, {})
    effective = counts.get("effective")
    values = results["results"].get(task, {}).get("sample_len")
    if effective is None and isinstance(values, int) and not isinstance(values, bool) and 0 < values < LARGEST_ID:
        effective = values
    return effective, counts.get("original")


def samples_file(results_file: Path, task: str, stamp: str) -> Path | None:
    """Return where lm_eval puts the samples of a task; None if a task of that name can have no file.

    Raises:
        UserError: the file is a link that leads out of its folder.
    """
    name = f"samples_{task}_{stamp}.jsonl"
    if not is_plain_name(name) or len(name.encode("utf-8", "replace")) > LONGEST_NAME:
        return None
    return inside(results_file.parent / name, results_file.parent)


def _read(file: Path) -> Run:
    match = RESULTS.match(file.name)
    assert match is not None
    stamp = match["stamp"]
    results = read_results(file)
    samples = {}
    names = short_names(results)
    for task in dict.fromkeys([*results["results"], *results.get("configs", {})]):
        place = samples_file(file, task, stamp)
        if place is not None and os.path.lexists(place):
            samples[names.get(task, task)] = place
    results = renamed(results, names)
    manifest = file.parent / f"manifest_{stamp}.json"
    return Run(file, stamp, results, samples, _manifest(manifest) if os.path.lexists(manifest) else {})


def _manifest(file: Path) -> dict[str, Any]:
    from lmx_files.runs import schema

    value = jsonl.without_surrogates(jsonl.read_object(inside(file, file.parent)))
    return schema.checked(schema.Manifest, value, file, "a manifest of lmx run")


def _number(value: Any, what: str) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = -1
    if isinstance(value, bool) or not 0 <= number <= LARGEST_ID or (isinstance(value, float) and value != number):
        shown = repr(value)
        raise UserError(f"{what} is {shown if len(shown) <= 60 else shown[:57] + '...'}, not a number from 0")
    return number
