"""The study of one model over a run of the counting task: from logged samples to trials, and all that is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from lmx_files import atomic, jsonl, parquet
from lmx_files.errors import UserError, few, unknown
from lmx_files.hashing import sha256
from lmx_files.manifest import versions
from lmx_files.runs.folders import Run
from lmx_probes.mediation.answers import Answers, answers_of
from lmx_probes.mediation.measure import OF_RESIDUAL, Grid, measure, plan_of
from lmx_probes.mediation.parts import Parts
from lmx_probes.mediation.roles import ROLES
from lmx_probes.mediation.screen import chosen_of, read_by_screen, screen, screen_table, screened
from lmx_probes.mediation.subject import Subject
from lmx_probes.mediation.trials import Trial, encoder, trial_of
from lmx_probes.models import Weights, weights_of
from lmx_probes.patching.components import COMPONENTS
from lmx_probes.patching.memory import keep_freed_memory
from lmx_probes.patching.patch import Patcher
from lmx_probes.patching.plain import check
from lmx_tasks.category_counting.pairs import SHIPPED, Listed, Pair, listed, make_pairs, passed_over

Progress = Callable[[Sequence[int]], Iterable[int]]


@dataclass(frozen=True)
class Options:
    """What is asked for; see `lmx mediate`."""

    task: str | None = None
    components: tuple[str, ...] = COMPONENTS
    layers: tuple[int, ...] = ()
    heads: tuple[int, ...] = ()
    roles: tuple[str, ...] = ROLES
    pairs: int | None = None
    controls: float = 0.25
    seed: int = 1234
    both: bool = True
    screen: float = 1.0


@dataclass
class Study:
    """A model and its trials.

    Attributes:
        questions: with their lists, as logged. left_out: questions and pairs that are not used, by reason.
    """

    patcher: Patcher
    tokenizer: Any
    questions: list[Listed]
    trials: list[Trial]
    answers: Answers
    left_out: Counter[str] = field(default_factory=Counter)


def read_questions(run: Run, task: str | None) -> tuple[str, list[Listed], dict[int, bool], Counter[str]]:
    """Return the task, its questions, which were answered right, and how many were left out.

    Raises:
        UserError: no samples, another task's samples, or prompts that are not of the task's template.
    """
    if not run.sample_files:
        raise UserError(f"{run.file.parent} holds no samples: run again with --log_samples")
    if task is None:
        counting = [name for name in run.sample_files if "counting" in name]
        if len(counting or list(run.sample_files)) > 1:
            raise UserError(f"the run has samples of {few(counting or run.sample_files)}: choose one with --task")
        task = (counting or list(run.sample_files))[0]
    if task not in run.sample_files:
        raise unknown("task", task, run.sample_files)
    questions, right, left = [], {}, Counter[str]()
    for sample in run.samples(task):
        where = f"{run.sample_files[task].name}, document {sample['doc_id']}"
        arguments = sample.get("arguments", {})
        given = arguments.get("gen_args_0", {}).get("arg_0") if isinstance(arguments, dict) else arguments[0][0]
        doc = sample.get("doc")
        if not isinstance(given, str) or not isinstance(doc, dict):
            raise UserError(f"{where}: no prompt is logged, so it is no sample of a task that generates an answer")
        if (why := passed_over(doc)) is not None:
            left[why] += 1
            continue
        if sample["doc_id"] in right:
            continue  # another filter of the same text
        questions.append(listed(sample["doc_id"], doc, given, where))
        right[sample["doc_id"]] = bool(sample.get("accuracy", sample.get("acc", 0)) == 1)
    if not questions:
        raise UserError(
            f"no question of {task} can be used: {dict(left)}. The category must be asked for before the list, or "
            f"nothing can be counted while it is read, and the words must be of the lists {SHIPPED}"
        )
    return task, questions, right, left


def prepare(patcher: Patcher, tokenizer: Any, name: str, run: Run, options: Options) -> Study:
    """Check the model, read the run and make the trials.

    Raises:
        UserError: as `read_questions` and `check` do, or no pair is left.
    """
    check(patcher, name)
    _, questions, right, left = read_questions(run, options.task)
    encode = encoder(tokenizer)

    def tokens(text: str) -> Sequence[int]:
        return encode(text)[0]

    pairs, dropped = make_pairs(questions, tokens, options.seed, options.controls, options.pairs)
    left.update(dropped)
    prompts = [question.prompt for question in questions[:8]]
    logits = [run.logits for run in patcher.capture([tokens(prompt) for prompt in prompts])]
    answers = answers_of(prompts, tokens, logits)
    trials: list[Trial] = []
    for pair in pairs:
        made = trial_from(len(trials), pair, encode, answers, {"logged_right": right[pair.base.doc_id]})
        if isinstance(made, str):
            left[made] += 1
        else:
            trials.append(made)
    if not any(trial.moves for trial in trials):
        raise UserError(f"no pair is left of {len(questions)} questions: {dict(left)}")
    return Study(patcher, tokenizer, questions, trials, answers, left)


def trial_from(number: int, pair: Pair, encode: Any, answers: Answers, about: dict[str, Any]) -> Trial | str:
    """Return the trial of a pair, or why there is none."""
    if pair.answer not in answers or pair.other not in answers:
        return "a count whose answer is no single token"
    described = {
        "doc_id": pair.base.doc_id,
        "category": pair.base.category,
        "length": len(pair.base.words),
        "index": pair.index,
        "word": pair.base.words[pair.index],
        "replacement": pair.source.words[pair.index],
        **about,
    }
    return trial_of(
        number, pair.kind, encode(pair.base.prompt), encode(pair.source.prompt), pair.base.spans, pair.index,
        (pair.answer, pair.other), pair.base.count != pair.source.count, described,
    )  # fmt: skip


def grid_of(patcher: Patcher, options: Options) -> Grid:
    """Return the grid that is asked for, with names and numbers checked.

    Raises:
        UserError: an unknown component, layer, head or role, none at all, or a combination that has no cell.
    """
    sites = patcher.sites
    for kind, asked, valid in (("component", options.components, COMPONENTS), ("role", options.roles, ROLES)):
        if not asked:
            raise UserError(f"no {kind} is named: give some of {', '.join(valid)}, with commas")
        for each in asked:
            if each not in valid:
                raise unknown(kind, each, valid)
    if "residual" not in options.components and not set(options.roles) - set(OF_RESIDUAL):
        raise UserError(
            f"roles {', '.join(options.roles)} are measured of the residual stream only: add residual to --components, "
            "or name other --roles"
        )
    layers, heads = options.layers or tuple(range(sites.layers)), options.heads or tuple(range(sites.heads))
    for layer in layers:
        sites.check("residual", layer, None)
    for head in heads:
        sites.check("head", 0, head)
    return Grid(options.components, layers, heads, options.roles, both=options.both)


def load_patcher(subject: Subject, device: str | None, dtype: str) -> tuple[Patcher, Weights]:
    """Load a model and return its patcher and its weights."""
    from transformers.utils import logging

    logging.disable_progress_bar()
    keep_freed_memory()
    loaded = weights_of(subject.name, dtype, device, subject.revision)
    return Patcher(loaded.model), loaded


def run_study(
    run: Run, output: Path, subject: Subject, device: str | None, dtype: str, options: Options, progress: Progress
) -> Study:
    """Measure a run's study into a folder, or go on with one that was interrupted.

    Raises:
        UserError: see `prepare`; the folder holds another study.
    """
    task, *_ = read_questions(run, options.task)  # before the model is loaded, so that a mistake shows at once
    patcher, loaded = load_patcher(subject, device, dtype)
    grid = grid_of(patcher, options)
    study = prepare(patcher, loaded.tokenizer, subject.name, run, options)
    if not any(trial.moves and grid.cells(trial) for trial in study.trials):
        raise UserError(
            f"none of {len(study.trials)} pairs has a place of --roles {','.join(options.roles)}: their lists are too "
            "short. Name other --roles"
        )
    # not the name, under which other weights may lie tomorrow, nor the note, which says whether the Hub was reached
    settings = {**asdict(options), "dtype": dtype, "weights": loaded.identity}
    parts = Parts(output / "parts", plan_of(study.trials, grid, settings))
    if options.screen < 1:
        found = parts.once("screen", lambda: _screen(study, grid, options.screen, progress))
        parquet.write(output / "screen.parquet", found)
        grid = replace(grid, chosen=chosen_of(found))
    measure(patcher, study.trials, grid, study.answers, parts, progress)
    about = {
        "model": subject.name,
        "revision": subject.revision,
        "weights": loaded.note,
        "weights_identity": loaded.identity,
        "task": task,
        "run": str(run.file),
        "samples_sha256": sha256(run.sample_files[task]),
        "layers": patcher.sites.layers,
        "heads": patcher.sites.heads,
        "left_out": dict(study.left_out),
        "answers_with_space": study.answers.space,
        "number_tokens": list(study.answers.tokens),
        "settings": settings,
        "versions": versions(),
    }
    for table in ("effects", "controls"):
        parquet.write(output / f"{table}.parquet", parts.joined(table))
    parquet.write(output / "pairs.parquet", _with_screened(parts.joined("pairs"), study.trials, options.screen < 1))
    atomic.write(output / "mediation_study.json", jsonl.strict(about, indent=2) + "\n")
    return study


def _with_screened(pairs: pa.Table, trials: Sequence[Trial], was_screened: bool) -> pa.Table:
    """Add which pairs the screen read, so that effects can be tested on the others."""
    seen = {trial.number for trial in read_by_screen(trials)} if was_screened else set()
    return pairs.append_column("screened", pa.array([number in seen for number in pairs["pair"].to_pylist()]))


def _screen(study: Study, grid: Grid, share: float, progress: Progress) -> pa.Table:
    found = screen(study.patcher, study.trials, grid, study.answers, progress)
    return screen_table(found, screened(grid, found, share))
