"""Count the rows of prepared data that ROUGE cannot score: `python scripts/unscorable.py FILE [FILE ...]`."""

from __future__ import annotations

import sys
from pathlib import Path

from lmx_files.jsonl import parse_row
from lmx_files.reading import lines
from lmx_metrics.overlap import is_scorable, score
from lmx_tasks import instructions
from lmx_tasks.bigbench import data as bigbench
from lmx_tasks.superni import data as superni


def main() -> None:
    """Print, for each file, its unscorable rows, and how many gold answers the Unicode variant cannot score."""
    for name in sys.argv[1:]:
        path = Path(name)
        first = parse_row(next(lines(path))[1], name, ("Task", "task_path"))
        kind = superni if superni.KEY in first else bigbench
        docs = kind.documents(instructions.read_tasks(path, kind.KEY))
        unscorable = [doc for doc in docs if not is_scorable(doc["references"])]
        short = sum(score(doc["references"][0], doc["references"])["rougeL_unicode"] < 100 - 1e-9 for doc in docs)
        tasks = sorted({doc["task"] for doc in unscorable})
        print(
            f"{path.name}: {len(unscorable)} of {len(docs)} rows unscorable; {short} not by the Unicode variant either"
        )
        print(f"  in {', '.join(tasks)}" if tasks else "  in no task")


if __name__ == "__main__":
    main()
