"""What tasks of instructions share: a definition, examples and an input as the prompt; overlap or loss as the score.

A document has `id`, `task`, `category`, `definition`, `question` (the input between its labels), `references` (texts)
and `examples` (`question` and `answer`, from the task's own positive examples).
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lm_eval.api.task import ConfigurableTask

from lmx_files.errors import UserError, unknown
from lmx_files.jsonl import parse_row
from lmx_files.reading import lines
from lmx_files.values import read_int, read_texts
from lmx_metrics import overlap
from lmx_metrics.aggregation import average
from lmx_plugins.evaluation.token_counts import WANTED
from lmx_tasks.common import data_file, or_gzipped
from lmx_tasks.prepared import PLAIN, verified

if TYPE_CHECKING:
    from datasets import Dataset

Documents = Callable[[Mapping[str, Any], str, "int | None"], list[dict[str, Any]]]
"""Makes the documents of one task: of its row, the place of it for messages, and the most instances to take."""
_NOWHERE = Path("nowhere")
MOST_INSTANCES = 100
"""Instances of each task that are evaluated unless another number is asked for: those of the published test sets."""


class InstructionTask(ConfigurableTask):
    """A task whose few-shot examples are each document's own, in one user message with the definition.

    lm_eval draws examples from a split; here they come with the task, and `--num_fewshot` says how many are shown.
    """

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """Take the settings of a YAML file; its `class` is this one."""
        super().__init__(config={name: value for name, value in (config or {}).items() if name != "class"})

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int, **kwargs: Any) -> Any:
        """Return the prompt with `num_fewshot` of the document's own examples, as text or chat."""
        return super().fewshot_context({**doc, "shots": num_fewshot}, num_fewshot=0, **kwargs)

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> Any:
        """Return the request; a reference whose likelihood is wanted stands a space behind the prompt."""
        if self.OUTPUT_TYPE != "loglikelihood":
            return super().construct_requests(doc, ctx, **kwargs)
        reference = doc["references"][0]
        apart = not kwargs.get("apply_chat_template") and not ctx[-1:].isspace() and not reference[:1].isspace()
        request = super().construct_requests(doc, ctx, **kwargs)
        request.arguments = (ctx, f" {reference}" if apart else reference)
        setattr(request, WANTED, True)
        return request


def stopped(text: str) -> str:
    """Return a text without blanks around it, with a full stop unless it ends with a mark of punctuation."""
    text = text.strip()
    return text if text.endswith(tuple(string.punctuation)) else f"{text}."


def doc_to_text(doc: Mapping[str, Any]) -> str:
    """The definition, a blank line, as many examples as `shots` says, and the question.

    Raises:
        UserError: the task has fewer examples.
    """
    shots = doc.get("shots", 0)
    if shots > len(doc["examples"]):
        raise UserError(
            f"--num_fewshot {shots}: task {doc['task']} has {len(doc['examples'])} positive examples: give a smaller "
            "number"
        )
    examples = "".join(f"{each['question']}{each['answer']}\n\n" for each in doc["examples"][:shots])
    return f"{stopped(doc['definition'])}\n\n{examples}{doc['question']}"


def first_reference(doc: Mapping[str, Any]) -> str:
    """The first reference."""
    return str(doc["references"][0])


def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Overlap with the references. `results[0]` is a completion or, with `repeats`, a list of them (then means)."""
    texts = results[0] if isinstance(results[0], list) else [results[0]]
    return grouped(doc, average(overlap.score(text, doc["references"]) for text in texts))


def process_loss(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, Any]:
    """Mean negative log-likelihood (nats) of a token of the first reference: positive, and smaller is better.

    Raises:
        UserError: nothing tells how many tokens the likelihood is of.
    """
    value = results[0][0]
    tokens = getattr(value, "tokens", None)
    if not tokens:
        raise UserError(
            f"document {doc['id']}: the loss is a mean over tokens, and nothing tells their number. It comes with "
            "likelihoods of models with a tokenizer, while the model runs: logged likelihoods cannot be rescored"
        )
    return grouped(doc, {"loss": -float(value) / tokens, "tokens": float(tokens)})


def grouped(doc: Mapping[str, Any], values: Mapping[str, float]) -> dict[str, Any]:
    """Return values with those for the breakdowns by task and by category."""
    return {
        **values,
        "by_task": {"domain": doc["task"], **values},
        "by_category": {"domain": doc["category"], **values},
    }


def prepared_tasks(name: str, key: str, task: str, data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks in `<data_dir>/<name>/test.jsonl` or its gzipped form, with their places; see `read_tasks`.

    Args:
        task: what lm_eval calls the task, for the message.

    Raises:
        UserError: there is no such file, or a line of it is damaged.
    """
    path = data_file(name, PLAIN, _NOWHERE, data_dir)
    if path is _NOWHERE:
        raise UserError(
            f"{task}: its data do not come with the package. Get them with `lmx data prepare {name} SOURCE -o FOLDER` "
            f'and give --metadata \'{{"data_dir": "FOLDER"}}\', or run {name}_mini, which needs none'
        )
    return read_tasks(verified(or_gzipped(path)), key)


def shipped_tasks(name: str, key: str, folder: Path, data_dir: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks of our own in `<folder>/data/mini.jsonl`, or those in `<data_dir>/<name>_mini/mini.jsonl`."""
    return read_tasks(data_file(f"{name}_mini", "mini.jsonl", folder / "data" / "mini.jsonl", data_dir), key)


def documents(
    rows: list[tuple[str, dict[str, Any]]], key: str, names: Any, instances: Any, made: Documents
) -> list[dict[str, Any]]:
    """Return the documents of tasks, in order; `made` makes those of one task.

    Args:
        names: of tasks, None for all. instances: how many of each, None as published.

    Raises:
        UserError: a task is damaged or is not there.
    """
    most = instances_a_task(instances)
    return [doc for where, row in chosen(rows, key, names) for doc in made(row, where, most)]


def as_test(docs: list[dict[str, Any]]) -> dict[str, Dataset]:
    """Return documents as lm_eval's `custom_dataset` does."""
    from datasets import Dataset

    return {"test": Dataset.from_list(docs)}


def read_tasks(path: Path, key: str) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks of a file, one a line, with the place of each for messages; `key` names a task.

    Raises:
        UserError: a line is damaged, a task has no name or stands there twice, or there is none.
    """
    rows: list[tuple[str, dict[str, Any]]] = []
    seen: dict[str, int] = {}
    for number, line in lines(path):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        row = parse_row(line, where, (key,))
        name = text_of(row, key, where)
        if name in seen:
            raise UserError(f"{where}: task {name!r} stands on line {seen[name]} already: keep one of them")
        seen[name] = number
        rows.append((where, row))
    if not rows:
        raise UserError(f"{path} is empty. It should hold one task a line, as `lmx data prepare` writes them")
    return rows


def chosen(rows: list[tuple[str, dict[str, Any]]], key: str, tasks: Any) -> list[tuple[str, dict[str, Any]]]:
    """Return the tasks named in `--metadata tasks`, all for None; raise `UserError` for one that is not there."""
    if tasks is None:
        return rows
    wanted = read_texts("--metadata tasks", tasks)
    names = [row[key] for _, row in rows]
    for name in wanted:
        if name not in names:
            raise unknown("task in --metadata tasks", name, names)
    return [entry for entry in rows if entry[1][key] in wanted]


def instances_a_task(value: Any) -> int:
    """Return how many instances of each task to take; None: as published."""
    return MOST_INSTANCES if value is None else read_int("--metadata instances", value, least=1)


def text_of(row: Mapping[str, Any], field: str, where: str, what: str = "") -> str:
    """Return a field that must be text and not blank; raise `UserError` naming it."""
    value = row.get(field)
    if not isinstance(value, str) or not value.strip():
        shown = "is missing" if field not in row else f"must be text that is not empty, not {_short(value)}"
        raise UserError(f"{where}: {what}field {field!r} {shown}")
    return value


def input_of(row: Mapping[str, Any], where: str, what: str) -> str:
    """Return the field `input`, which must be text and may be empty; raise `UserError` naming it."""
    value = row.get("input")
    if not isinstance(value, str):
        raise UserError(f"{where}: {what}field 'input' must be text, not {_short(value)}")
    return value


def texts_of(row: Mapping[str, Any], field: str, where: str, what: str = "") -> list[str]:
    """Return a field that must be a text or a list of at least one; raise `UserError` naming it."""
    value = row.get(field)
    entries = [value] if isinstance(value, str) else value
    if not isinstance(entries, list) or not entries or not all(isinstance(each, str) for each in entries):
        shown = "is missing" if field not in row else f"must be a text or a list of texts, not {_short(value)}"
        raise UserError(f"{where}: {what}field {field!r} {shown}")
    return entries


def objects_of(row: Mapping[str, Any], field: str, where: str, what: str = "") -> list[dict[str, Any]]:
    """Return a field that must be a list of at least one object; raise `UserError` naming it."""
    value = row.get(field)
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        shown = "is missing" if field not in row else f"must be a list of objects, not {_short(value)}"
        raise UserError(f"{where}: {what}field {field!r} {shown}")
    return value


def with_first_reference(docs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents whose first reference is not blank: those that have a loss."""
    return [doc for doc in docs if doc["references"][0].strip()]


def _short(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."
