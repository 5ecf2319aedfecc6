"""`lmx entropy`: entropy and probability of any number of models over logged samples or prompts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from lmx_cli.output import tracked
from lmx_files.errors import UserError

INPUT = (
    "Before the flags: a run (its folder, results_*.json or samples_*.jsonl), or prompts: .jsonl with prompt and text, "
    "or .txt for --mode generate."
)


SEVERAL = ("--models", "-m", "--model_names")


class SeveralValues(TyperCommand):
    """A command some of whose flags take all values up to the next flag, as ``--models A B`` does."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Repeat the flag before each of its values; an input file so stands before these flags."""
        made: list[str] = []
        flag = None
        for arg in args:
            if arg.startswith("-"):
                flag = arg if arg in SEVERAL else None
                if flag is None:
                    made.append(arg)
            elif flag is not None:
                made += [flag, arg]
            else:
                made.append(arg)
        return super().parse_args(ctx, made)


# long: a parameter an option
def entropy(
    source: Annotated[Path | None, typer.Argument(help=f"{INPUT} Left out: prompts that come with lmx.")] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", "-m", help="Models: several after one flag, or the flag repeated.")
    ] = None,
    model_names: Annotated[
        list[str] | None, typer.Option("--model_names", help="Names for files and tables; else from the models.")
    ] = None,
    output_dir: Annotated[Path, typer.Option("--output_dir", "-o", help="Folder for all files.")] = Path("entropy"),
    mode: Annotated[str, typer.Option(help="teacher: all read the same texts; generate: each writes its own.")] = "",
    texts: Annotated[str, typer.Option(help="Of a run: logged, what it wrote; gold, the task's answers.")] = "logged",
    teacher_forced: Annotated[
        bool, typer.Option("--teacher_forced", help="The study's flag for --mode teacher.")
    ] = False,
    max_new_tokens: Annotated[
        int, typer.Option("--max_new_tokens", min=1, help="Most tokens of a written text.")
    ] = 4096,
    temperature: Annotated[float, typer.Option(min=0.0, help="Of written texts; 0 is greedy.")] = 0.0,
    decoder: Annotated[
        str, typer.Option(help="How texts are written in --mode generate: a name that `lmx run --model` takes.")
    ] = "ar",
    decoder_args: Annotated[
        str, typer.Option("--decoder_args", help="Its arguments, e.g. oracle=tiny-oracle,k=4.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of written texts and of the tests' draws.")] = 1234,
    experiment_name: Annotated[str, typer.Option("--experiment_name", help="Goes into the files.")] = "entropy",
    task: Annotated[str | None, typer.Option(help="Only this task of a run.")] = None,
    metric: Annotated[str | None, typer.Option(help="What counts as right; else the task's first main metric.")] = None,
    filter_name: Annotated[
        str | None, typer.Option("--filter", help="One of lm_eval's filters; else the first.")
    ] = None,
    traces: Annotated[
        Path | None, typer.Option(help="The traces file, if the run was told to keep it elsewhere.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many documents of each task.")] = None,
    batch_size: Annotated[int | None, typer.Option("--batch_size", min=1, help="Texts in one forward.")] = None,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16.")] = "float32",
    device: Annotated[str | None, typer.Option(help="cuda, cuda:1, cpu; else cuda where there is one.")] = None,
    top: Annotated[int, typer.Option(min=0, help="Keep so many of the likeliest tokens with each token.")] = 0,
    keep_hidden: Annotated[
        bool, typer.Option("--keep_hidden", help="Keep the hidden states before the head, which pairs are made of.")
    ] = False,
    forward: Annotated[bool, typer.Option("--forward", help="Read with the model even what the run recorded.")] = False,
    timestamp: Annotated[str | None, typer.Option(help="Time stamp in file names; else now.")] = None,
    no_study: Annotated[bool, typer.Option("--no-study", help="Not the study's files, one folder a prompt.")] = False,
    no_plots: Annotated[bool, typer.Option("--no-plots", help="No PNG and SVG, which need matplotlib.")] = False,
) -> None:
    """Measure entropy and probability of every scored token, and compare models on the same tokens exactly.

    One model is in memory at a time. A killed measurement goes on where it was when it is started again. See
    docs/analyses/entropy.md.
    """
    from lmx_cli.analyses.entropy_run import Request, run

    run(
        Request(
            source, models or [], model_names or [], output_dir, _mode(mode, teacher_forced), texts,
            max_new_tokens, temperature, seed, experiment_name, task, metric, filter_name, traces, limit, batch_size,
            dtype, device, top, keep_hidden, forward, timestamp, not no_study, not no_plots,
            decoder, decoder_args,
        ),
        tracked,
    )  # fmt: skip


def _mode(mode: str, teacher_forced: bool) -> str:
    if teacher_forced and mode not in ("", "teacher"):
        raise UserError(f"--teacher_forced and --mode {mode} exclude each other: give one")
    return mode or "teacher"
