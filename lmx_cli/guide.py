"""`lmx guide`: one guided text, coloured by who writes it, while it is written."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lmx_files.errors import UserError
from lmx_files.safety import terminal

if TYPE_CHECKING:
    from rich.console import Console

    from lmx_models.core.completion import Completion

COLOURS = {"base": "red", "oracle": "blue"}


# long: a parameter an option
def guide(
    prompt: Annotated[str, typer.Option("--prompt", help="What to write about; `-` reads it from standard input.")],
    base: Annotated[
        str | None,
        typer.Option("--base", help="A model as in `lmx models`, a folder, openai:URL#MODEL, or a size (1B)."),
    ] = None,
    oracle: Annotated[str | None, typer.Option("--oracle", help="The same, for the oracle.")] = None,
    c: Annotated[str, typer.Option("--c", help="Most consultations; inf: no limit.")] = "5",
    k: Annotated[str, typer.Option("--k", help="Most oracle tokens per consultation; inf: until the end.")] = "10",
    policy: Annotated[str, typer.Option("--policy", help="When to ask; see docs/decoding/guided.md.")] = "ramp",
    max_tokens: Annotated[int, typer.Option("--max_tokens", help="Most tokens of the answer.")] = 256,
    temperature: Annotated[float, typer.Option("--temperature", help="Of the base; 0 is greedy.")] = 0.0,
    device: Annotated[str | None, typer.Option("--device", help="Of models on this machine; else the GPU's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of the base's sampling and of the policy.")] = 1234,
    more: Annotated[
        list[str] | None,
        typer.Option("--set", help="NAME=VALUE: any other argument of --model guided; may be repeated."),
    ] = None,
    chat: Annotated[bool, typer.Option("--chat/--no_chat", help="Use the base's chat template, if it has one.")] = True,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also show the prompt, each consultation, and costs.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="Mark the oracle's words [oracle]...[/oracle].")] = False,
) -> None:
    """Write one text with a base and an oracle: red is the base's, blue the oracle's."""
    from rich.text import Text

    out = terminal.console(no_color=True if no_color else None, highlight=False, soft_wrap=True)
    notes = terminal.console(stderr=True, no_color=True if no_color else None, highlight=False, soft_wrap=True)
    if prompt == "-":
        prompt = sys.stdin.read()
    if not prompt.strip():
        raise UserError("the prompt is empty: write it after --prompt, or - to read it from standard input")
    arguments: dict[str, Any] = {"c": c, "k": k, "policy": policy, "seed": seed}
    arguments |= {
        name: value
        for name, value in (("pretrained", base), ("oracle", oracle), ("device", device))
        if value is not None
    }
    if max_tokens < 1:
        raise UserError(f"--max_tokens {max_tokens} must be at least 1")
    lm = _load(arguments | _pairs(more or []))
    from lm_eval.api.instance import Instance

    context = prompt
    if chat and getattr(lm.tokenizer, "chat_template", None):
        context = lm.apply_chat_template([{"role": "user", "content": prompt}])
    if verbose:
        notes.print(f"prompt: {context!r}", markup=False)
    printer = Printer(
        out, lambda tokens: lm.tokenizer.decode(list(tokens), skip_special_tokens=True), lm.describe()["discard"]
    )
    if printer.colours:
        notes.print(
            Text.assemble(
                (f"base: {lm.base_name}", COLOURS["base"]), "   ", (f"oracle: {lm.oracle_name}", COLOURS["oracle"])
            )
        )
    lm.watch = printer
    settings = {"until": [], "max_gen_toks": max_tokens, "temperature": temperature, "do_sample": temperature > 0}
    # Number and task by name for lm_eval 0.5, in `metadata` for 0.4.
    request = Instance(
        "generate_until", {}, (context, settings), idx=0, metadata=("lmx guide", 0, 1), task_name="lmx guide", doc_id=0
    )
    text = lm.generate_until([request], disable_tqdm=True)[0]
    printer.end(text.trace.tokens, text.trace.segments)
    notes.print(_summary(text), style="bold", markup=False)
    if verbose:
        _details(notes, text)


class Printer:
    """Prints a text as it grows: what is new since the last call, in the colour of its source, or with marks.

    Args:
        decode: ids to text.
        holds_back: base tokens that may still be thrown away, and are printed only when they stand.
    """

    def __init__(self, console: Console, decode: Callable[[Sequence[int]], str], holds_back: int = 0) -> None:
        self.console, self.decode, self.holds_back = console, decode, holds_back
        self.colours = console.is_terminal and not console.no_color
        self._printed, self._source = 0, ""

    def __call__(self, tokens: Sequence[int], segments: Sequence[Any]) -> None:
        """Print what is new up to the tokens that stand."""
        end = len(tokens)
        if segments and segments[-1].source == "base":
            end = max(end - self.holds_back, segments[-1].start)
        for segment in segments:
            if segment.start < end:
                self._write(segment.source, self.decode(tokens[: min(segment.end, end)]).rstrip("\ufffd"))

    def end(self, tokens: Sequence[int], segments: Sequence[Any]) -> None:
        """Print the rest."""
        self.holds_back = 0
        self(tokens, segments)
        self._mark("")
        self._out("\n")

    def _write(self, source: str, text: str) -> None:
        fresh, self._printed = text[self._printed :], max(self._printed, len(text))
        if fresh:
            self._mark(source)
            # A model's text must not steer the terminal.
            fresh = terminal.visible(fresh)
            self._out(fresh, COLOURS.get(source))

    def _mark(self, source: str) -> None:
        if not self.colours and source != self._source:
            marks = ("[/oracle]" if self._source == "oracle" else "") + ("[oracle]" if source == "oracle" else "")
            self._out(marks)
        self._source = source

    def _out(self, text: str, style: str | None = None) -> None:
        if self.colours and style:
            self.console.out(text, style=style, end="")
        else:
            self.console.file.write(text)  # as it is, tabs too
        self.console.file.flush()


def _load(arguments: dict[str, Any]) -> Any:
    import logging

    import torch
    import transformers

    from lmx_models.guided.model import GuidedLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    return GuidedLM(**{"device": "cuda" if torch.cuda.is_available() else "cpu", **arguments})


def _pairs(given: list[str]) -> dict[str, str]:
    pairs = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not equals or not name:
            raise UserError(f"--set {one!r}: write NAME=VALUE, for example --set step_size=20")
        pairs[name] = value
    return pairs


def _summary(text: Completion) -> str:
    trace = text.trace
    counts = trace.by_source()
    share = counts.get("oracle", 0) / trace.kept if trace.kept else 0.0
    asked = len(trace.extra["consultations"])
    speed = trace.kept / trace.seconds if trace.seconds else 0.0
    return (
        f"base {counts.get('base', 0)} tokens, oracle {counts.get('oracle', 0)} ({share:.0%}), {asked} consultations, "
        f"ended by {trace.finish}, {speed:.1f} tok/s"
    )


def _details(notes: Console, text: Completion) -> None:
    for one in text.trace.extra["consultations"]:
        entropy = "" if "entropy" not in one else f", entropy of the base in {one['entropy']} nats"
        notes.print(f"at token {one['at']}: the oracle wrote {one['tokens']} tokens{entropy}", markup=False)
    for name, cost in text.trace.cost.items():
        calls = text.trace.extra.get("servers", {}).get(name)
        how = f"{calls['calls']} requests, {calls['retries']} retries" if calls else f"{cost.forwards} forwards"
        notes.print(f"{name}: {how}, {cost.prefill} tokens of prefill, {cost.decode} of decoding")
