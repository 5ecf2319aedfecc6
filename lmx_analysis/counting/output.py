"""The files of a counting report: tables, pictures, the study's two JSON files, and a section of the HTML report."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lmx_analysis import sections
from lmx_analysis.counting import figures, split, tables
from lmx_analysis.counting.load import COUNT, NUMBERS, Answers, Counted
from lmx_analysis.tables import csv_text, json_text, number
from lmx_files import atomic, manifest
from lmx_files.errors import UserError

Rows = list[dict[str, Any]]
SETS = ("lmx counting generate", "lmx counting prune")
"""Whose manifest says that a folder holds a set of questions."""
STUDY = "benchmark_results.json"
RATES = ("n", "accuracy", "low", "high", "parse_rate", "abs_error", "bias", "says_zero")
BASE = {"majority": "majority", "from_length": "from the length", "always_zero": "always zero"}
HEADINGS = {
    "n": "questions", "low": "95 % low", "high": "95 % high", "parse_rate": "parsed", "abs_error": "mean error",
    "says_zero": "says 0", "says_yes": "says yes", "members": "members", "accuracy_members": "members right",
    "accuracy_others": "others right", "always_yes": "always yes", "mean_answer": "mean answer",
    "words_unparsed": "words unparsed", "membership_errors": "membership errors", "missed_members": "missed members",
    "false_members": "false members", "lists_misjudged": "lists misjudged", "counting_errors": "counting errors",
    "parsing_errors": "parsing errors", "all": "wrong in _all", "nonce": "wrong in _nonce",
    "expected_accuracy": "expected accuracy", **BASE,
}  # fmt: skip
NOTE = "Unparsed answers are wrong. Beside accuracy: what three answers that need no model get on the same questions."
SPLIT_NOTE = (
    "m: how many words of a list the model itself, asked one by one, calls members; g: how many are; a: its answer. "
    "Lists misjudged: m is not g. Counting errors: a is not m, among parsed answers. Expected accuracy: (1 - parsing "
    "errors)(1 - counting errors)(1 - lists misjudged). Wrong in _all, _nonce: parsed answers that are wrong where no "
    "word needs to be known."
)


def make(found: Counted) -> dict[str, Rows]:
    """Return all tables of a run by name."""
    return tables.all_tables(found) | split.tables(found)


def write(folder: Path, found: Counted, plots: bool = True) -> dict[str, Rows]:
    """Write all files into a folder and return the tables.

    Raises:
        UserError: the folder cannot be written, or holds a set of counting items.
    """
    check_place(folder)
    made = make(found)
    pictures = figures.all_figures(made) if plots else {}
    files: dict[str, str | bytes] = {f"{name}.csv": csv_text(rows) for name, rows in made.items()}
    files |= pictures
    for answers in found.tasks:
        files[f"{answers.task}_answers.parquet"] = _parquet(_with_kinds(found, answers))
    files["examples.json"] = json_text(examples(found))
    files["counting.json"] = json_text({"model": found.model, "timestamp": found.stamp, "notes": found.notes, **made})
    files[STUDY] = json_text(study(found, made))
    atomic.write_files(folder, files)
    section(found, made, [name for name in pictures if name.endswith(".png")]).write(folder)
    return made


def check_place(folder: Path) -> None:
    """Refuse the folder of a set of questions, whose `examples.json` the report's own would replace.

    Raises:
        UserError: it is one.
    """
    if manifest.command_of(folder) in SETS or (folder / "examples.jsonl").exists():
        raise UserError(
            f"{folder} holds a set of counting questions, and the report's examples.json would replace its own. "
            "Give -o another folder"
        )


def _with_kinds(found: Counted, answers: Answers) -> pd.DataFrame:
    """Return a task's answers; of plain counting with each list's own count and the kind of error, where known."""
    asked = found.of("membership")
    return split.joined(answers, asked[0]) if answers.variant == COUNT and asked else answers.table


def _parquet(table: pd.DataFrame) -> bytes:
    out = io.BytesIO()
    table.to_parquet(out, index=False)
    return out.getvalue()


def examples(found: Counted) -> Rows:
    """Return every question with its answer, as the study's `examples.json` has them: one object a question."""
    return [
        {
            "task": answers.task,
            "id": row["id"],
            "prompt": row["prompt"],
            "category": row["category"],
            **({"words": list(row["words"])} if "words" in row else {"word": row["word"]}),
            "count": _plain(row["gold"] if "gold" in row else int(row["member"])),
            "response": row["text"],
            "predicted": _plain(row["answer"] if "answer" in row else row["yes"]),
            "correct": bool(row["right"]),
            "source": row["source"],
        }
        for answers in found.tasks
        for row in answers.table.to_dict("records")
    ]


def _plain(value: Any) -> int | None:
    return None if pd.isna(value) else int(value)


def study(found: Counted, made: Mapping[str, Rows]) -> dict[str, Any]:
    """Return what `benchmark_results.json` holds: totals of each task, its groups, its baselines, and the split."""
    tasks: dict[str, Any] = {}
    for answers in found.tasks:
        head = _of(made, "overall" if answers.variant in NUMBERS else "membership", answers.task)[0]
        named: dict[str, Any] = {
            "total": head["n"], "correct": int(answers.table["right"].sum()), **{k: head[k] for k in head if k != "n"},
        }  # fmt: skip
        for group in ("category", "count", "length"):
            rows = _of(made, f"by_{group}", answers.task) or (
                _of(made, "membership_by_category", answers.task) if group == "category" else []
            )
            if rows:
                named[f"by_{group}"] = {
                    str(row[group]): {"total": row["n"], "accuracy": row["accuracy"]} for row in rows
                }
        tasks[answers.task] = named
    return {
        "model": found.model,
        "timestamp": found.stamp,
        "tasks": tasks,
        "error_split": made.get("split", []),
        "notes": found.notes,
    }


def _of(made: Mapping[str, Rows], name: str, task: str, items: str = tables.EVERY) -> Rows:
    return [row for row in made.get(name, []) if row["task"] == task and row.get("items", items) == items]


def views(made: Mapping[str, Rows]) -> Iterator[tuple[str, list[str], list[list[Any]], str]]:
    """Yield the tables for the screen and the report: title, headings, rows of cells, note."""
    if rows := made.get("overall"):
        yield _view("Answers", rows, ("task", *_items(rows), *RATES, *BASE), NOTE)
    if rows := made.get("membership"):
        columns = ("task", *_items(rows), "n", "accuracy", "low", "high", "parse_rate", "says_yes", "members",
                   "accuracy_members", "accuracy_others", "majority", "always_yes")  # fmt: skip
        yield _view("Is a word of the category? One question a word", rows, columns, "")
    if rows := made.get("split"):
        columns = ("task", *_items(rows), "lists", "accuracy", "membership_errors", "missed_members", "false_members",
                   "lists_misjudged", "counting_errors", "parsing_errors", "expected_accuracy", "all",
                   "nonce")  # fmt: skip
        yield _view("The error split", rows, columns, SPLIT_NOTE)
    if rows := made.get("split_kinds"):
        yield _view(
            "Each answer is of one kind", rows, ("task", *_items(rows), "kind", "times", "share", "low", "high"), ""
        )
    if rows := made.get("parts"):
        columns = tuple(name for name in rows[0] if name != "items" or _items(rows))
        yield _view("Parts of a list", rows, columns, "")


def details(made: Mapping[str, Rows]) -> Iterator[tuple[str, list[str], list[list[Any]], str]]:
    """Yield the longer tables of the report: by count, length and category, and error patterns."""
    for name, title in (("by_count", "By right count"), ("by_length", "By length"), ("by_category", "By category")):
        column = name.removeprefix("by_")
        for task in dict.fromkeys(row["task"] for row in made.get(name, ())):
            rows = [row for row in made[name] if row["task"] == task]
            yield _view(f"{title}: {task}", rows, (column, *_items(rows), *RATES, "mean_answer", *BASE), "")
    if words := made.get("membership_by_category"):
        columns = ("category", *_items(words), "n", "accuracy", "parse_rate", "says_yes", "accuracy_members",
                   "accuracy_others", "majority")  # fmt: skip
        yield _view("By category: questions about words", words, columns, "")
    if errors := made.get("errors"):
        yield _view("Error patterns", errors, ("task", *_items(errors), "pattern", "times", "share"), "")


def _items(rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the column of sources where there are several."""
    return ("items",) if len({row.get("items") for row in rows}) > 1 else ()


def _view(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str], note: str
) -> tuple[str, list[str], list[list[Any]], str]:
    shown = [name for name in columns if any(row.get(name) is not None for row in rows)]
    return (
        title,
        [HEADINGS.get(name, name) for name in shown],
        [[row.get(name) for name in shown] for row in rows],
        note,
    )


def section(found: Counted, made: Mapping[str, Rows], pictures: Sequence[str]) -> sections.Section:
    """Return what the HTML report shows of this run."""
    return sections.Section(
        analysis="counting report",
        title=f"Counting: {found.model}",
        text=[*conclusions(made), *found.notes],
        tables=[
            sections.Table(title=title, columns=columns, rows=sections.cells(rows), note=note)
            for title, columns, rows, note in [*views(made), *details(made)]
        ],
        pictures=[
            sections.Picture(file=name, caption=name.removesuffix(".png").replace("_", " ")) for name in pictures[:60]
        ],
    )


def conclusions(made: Mapping[str, Rows]) -> list[str]:
    """Return in words whether each task beats its baselines, and where the errors come from."""
    said = []
    for row in made.get("overall", []):
        if row["items"] != tables.EVERY:
            continue
        name, best = max(((n, row[n]) for n in BASE if row[n] is not None), key=lambda each: each[1])
        verdict = "above" if row["low"] > best else "below" if row["high"] < best else "not told apart from"
        alike = len(_of(made, "by_count", row["task"])) == 1
        said.append(
            f"{row['task']}: accuracy {number(row['accuracy'])} [{number(row['low'])}, {number(row['high'])}] over "
            f"{row['n']} questions, {verdict} the best baseline ({BASE[name]}, {number(best)}); "
            f"{row['parse_rate']:.1%} of answers parsed"
            + ("; all questions have one right answer, which a baseline cannot miss" if alike else "")
        )
    for task in dict.fromkeys(row["task"] for row in made.get("split_kinds", ())):
        share = {row["kind"]: row["share"] for row in _of(made, "split_kinds", task)}
        wrong = ", ".join(f"{kind} {share[kind]:.1%}" for kind in ("membership", "counting", "both", "parsing"))
        said.append(f"{task}: of all answers, wrong by {wrong}; not judged {share['not judged']:.1%}")
    return said
