"""Which standard tasks of lm_eval judge a decoder: the table of docs/tasks/leaderboard.md, from lm_eval's task files.

python scripts/standard_tasks.py                                  # print it
python scripts/standard_tasks.py --write docs/tasks/leaderboard.md      # put it between the page's two markers
"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Names for `--tasks`, and the folders of lm_eval's tasks that define them: indexing all 14,000 would take seconds.
# fmt: off
TASKS = [
    "ifeval", "leaderboard", "leaderboard_ifeval", "leaderboard_math_hard", "leaderboard_bbh", "leaderboard_gpqa",
    "leaderboard_mmlu_pro", "leaderboard_musr", "gsm8k", "gsm8k_cot", "minerva_math", "bbh", "mmlu_pro", "drop",
    "triviaqa", "nq_open", "coqa", "humaneval", "mbpp", "truthfulqa_gen", "truthfulqa_mc2", "mmlu", "arc_easy",
    "arc_challenge", "arc_challenge_chat", "hellaswag", "winogrande", "piqa", "lambada_openai", "wikitext",
]
FOLDERS = [
    "ifeval", "leaderboard", "gsm8k", "minerva_math", "benchmarks", "bbh/cot_fewshot", "mmlu_pro", "drop", "triviaqa",
    "nq_open", "coqa", "humaneval", "mbpp", "truthfulqa", "mmlu/default", "arc", "hellaswag", "winogrande", "piqa",
    "lambada", "wikitext",
]
# fmt: on
START, END = "<!-- made by scripts/standard_tasks.py -->", "<!-- end -->"
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens")  # one limit, under the names that lm_eval takes
WITHOUT_LIMIT = 256  # new tokens that lm_eval's `hf`, and so lmx's models, allow where a task sets no limit


@dataclass(frozen=True)
class Row:
    """One line of the table: how many of a task's parts are generated and how many scored by likelihood."""

    name: str
    generated: int
    likelihood: int
    shots: str
    limits: str
    stops: str

    @property
    def judges(self) -> str:
        """Say what a score of the task is a score of."""
        if not self.likelihood:
            return "network and decoder"
        return "some parts the network alone" if self.generated else "network alone"


def rows() -> list[Row]:
    """Return the table's lines for the installed lm_eval."""
    import lm_eval.tasks

    home = Path(lm_eval.tasks.__file__).parent
    folders = [str(home / folder) for folder in FOLDERS]
    index = lm_eval.tasks.TaskManager(include_path=folders, include_defaults=False).task_index
    return [_row(name, [index[part].cfg or {} for part in _parts(name, index)]) for name in TASKS]


def _parts(name: str, index: Mapping[str, Any]) -> list[str]:
    """Return the tasks in a group or behind a tag, at any depth; a task is its own only part."""
    entry = index[name]
    inside = sorted(entry.tags) if entry.cfg is None else entry.cfg["task"]
    if isinstance(inside, str):
        return [name]
    return [part for member in inside for part in _parts(member, index)]


def _row(name: str, configs: list[dict[str, Any]]) -> Row:
    kinds = Counter(config.get("output_type", "generate_until") for config in configs)
    generated = [config for config in configs if config.get("output_type", "generate_until") == "generate_until"]
    settings = [config.get("generation_kwargs") or {} for config in generated]
    limits = {int(next((one[name] for name in LIMITS if name in one), WITHOUT_LIMIT)) for one in settings}
    stops = {"itself" if one.get("until") == [] else "strings" for one in settings}
    shots = {int(config.get("num_fewshot") or 0) for config in configs}
    return Row(
        name,
        kinds["generate_until"],
        sum(kinds.values()) - kinds["generate_until"],
        *(", ".join(map(str, sorted(values))) for values in (shots, limits, stops)),
    )


def table() -> str:
    """Return the table as Markdown."""
    head = "| task | parts generated | parts by likelihood | judges | shots | new tokens | stopped by |"
    lines = [
        " | ".join(map(str, (f"| `{r.name}`", r.generated, r.likelihood, r.judges, r.shots, r.limits, f"{r.stops} |")))
        for r in rows()
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *lines])


def with_table(page: str) -> str:
    """Return a page with the table between its two markers. Raises ValueError when it has none."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"the page has no {START} ... {END}")
    return f"{before}{START}\n{table()}\n{END}{after}"


def main() -> None:
    """Print the table, or write it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", type=Path, metavar="PAGE", help="a Markdown page with the two markers")
    page = parser.parse_args().write
    if page is None:
        print(table())
        return
    fresh = page.with_name(f".{page.name}.new")
    fresh.write_text(with_table(page.read_text(encoding="utf-8")), encoding="utf-8")
    os.replace(fresh, page)


if __name__ == "__main__":
    main()
