"""`make demo`: guided decoding on constraint50 with SmolLM2-135M, through plain lm_eval.

The model is far below the size at which models follow such a layout from its description, so it is shown two worked
examples. Fetches the small model where need be, runs the lm_eval command that it prints, and shows the scores that
matter, one text coloured by source, and where the files are. The default is the first 24 of the 50 prompts, to stay
well under ten minutes on two cores; `--limit 50` runs all.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path

from rich.panel import Panel
from rich.table import Table

from lmx_analysis.guided.text import coloured, read
from lmx_files.errors import UserError
from lmx_files.safety import children, terminal
from lmx_models.zoo import catalogue

MODEL = "smollm2-135m"
ROWS = {
    "all_loose": "all seven constraints (loose)",
    "all_strict": "all seven constraints (strict)",
    "headings_loose": "the five headings",
    "bullets_loose": "2-4 bullets in each section",
    "stems_loose": "no two bullets start alike",
    "marker_emitted": "end marker written",
    "marker_last": "end marker is the last thing written",
    "stop_eos": "stopped by itself",
    "stop_length": "ran into the token limit",
    "layout_score_0_5": "layout score, 0 to 5",
}


def main() -> None:
    """Run the demonstration."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--limit", type=int, default=24, help="prompts (of 50)")
    parser.add_argument("--out", type=Path, default=Path("results/demo"))
    options = parser.parse_args()
    console = terminal.console()
    began = time.time()
    console.print(f"[bold]1. The model[/]: {MODEL}")
    console.print(f"   {catalogue.fetch(MODEL)}", soft_wrap=True)

    out = options.out / time.strftime("%Y-%m-%dT%H-%M-%S")
    traces = out / "traces.jsonl"
    command = ["lm_eval", "--model", "guided", "--model_args", f"pretrained={MODEL},c=3,k=10,traces={traces}"]
    command += ["--tasks", "constraint50", "--limit", str(options.limit), "--batch_size", "8"]
    command += ["--apply_chat_template", "--num_fewshot", "2", "--fewshot_as_multiturn", "true"]
    command += ["--output_path", str(out), "--log_samples"]
    console.print(f"[bold]2. The run[/] ({options.limit} of 50 prompts):\n   {shlex.join(command)}", soft_wrap=True)
    status = children.start(children.module(*command), env=children.environment(needs=None)).wait()
    if status:
        sys.exit(status)

    results_file = max(out.rglob("results_*.json"))
    results = json.loads(results_file.read_text())
    scores = results["results"]["constraint50"]
    console.print("[bold]3. The table[/]")
    table = Table("measure", "value", "standard error")
    for name, words in ROWS.items():
        error = scores[f"{name}_stderr,none"]  # 0 where all values are alike, which tells nothing
        table.add_row(words, f"{scores[f'{name},none']:.3f}", f"{error:.3f}" if error else "—")
    decoding = results["config"]["decoding"]
    table.add_row("share of tokens by the oracle", f"{decoding['oracle_share']:.3f}", "")
    table.add_row("tokens per second", f"{decoding['tokens_per_second']:.1f}", "")
    console.print(table)
    for note in decoding["notes"]:
        console.print(f"   note: {note}", soft_wrap=True)

    console.print("[bold]4. A text[/] (base red, oracle blue)")
    records = sorted(read(traces), key=lambda record: record["doc_id"])
    shown = next((r for r in records if len(r["pieces"]) > 2 and "<END>" in r["text"]), records[0])
    console.print(Panel(coloured(shown)))
    console.print("[bold]5. The files[/]")
    samples = max(out.rglob("samples_constraint50_*.jsonl"))
    for what, path in (("results", results_file), ("samples", samples), ("traces", traces)):
        console.print(f"   {what}: {path}", soft_wrap=True)
    console.print(f"   {time.time() - began:.0f} s in all")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"lmx: error: {error}")
