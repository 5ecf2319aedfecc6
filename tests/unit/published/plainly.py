"""What the re-expressions share: models, prompts, and forwards without any cache, by transformers' own classes."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import NamedTuple

import torch
import transformers

import lmx_tasks
from lmx_models.core.stopping import Stopping
from lmx_models.engine.scheduler import Finished, Job, Scheduler
from lmx_models.engine.step_model import StepModel
from lmx_models.zoo import catalogue

PROMPTS = 20
DATA = Path(lmx_tasks.__file__).parent / "constraint_tiny" / "data" / "tiny.jsonl"


class Tiny(NamedTuple):
    """A shipped model. eos, mask: ids that end a text, and that stands for a mask."""

    model: transformers.PreTrainedModel
    prompts: list[list[int]]
    eos: int
    mask: int


@functools.cache
def tiny(name: str) -> Tiny:
    """Load a shipped model, with the first prompts of `constraint_tiny` in its chat template."""
    folder = catalogue.resolve(name).pretrained
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    asked = [json.loads(line)["prompt"] for line in DATA.read_text().splitlines()[:PROMPTS]]
    chats = [[{"role": "user", "content": prompt}] for prompt in asked]
    texts = [tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False) for chat in chats]
    prompts = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    return Tiny(model, prompts, tokenizer.eos_token_id, tokenizer.get_vocab()["<|MASK|>"])


@torch.inference_mode()
def forward(model, ids, sees: torch.Tensor, positions=None) -> torch.Tensor:
    """Return the logits ``[tokens, vocabulary]`` of one forward; `sees` ``[tokens, tokens]``: who sees whom."""
    places = torch.arange(len(ids)) if positions is None else torch.tensor(positions)
    output = model(
        input_ids=torch.tensor([ids]), position_ids=places[None], attention_mask=sees[None, None], use_cache=False
    )
    return output.logits[0].float()


def everything(n: int) -> torch.Tensor:
    """Each of `n` tokens sees all of them."""
    return torch.ones(n, n, dtype=torch.bool)


def ours(one: Tiny, start, limit: int, role: str = "m", rows: int = 8, **others: Tiny) -> list[Finished]:
    """Write a text for each prompt with a decoder of ours, through scheduler and cache.

    Args:
        start: makes the decoder of a prompt, given its number, the prompt and the stop conditions.
        role, others: names under which the decoder feeds `one` and other models.
    """
    stop = Stopping(limit, frozenset({one.eos}), (), lambda tokens: "")
    models = {role: StepModel(one.model, rows), **{name: StepModel(m.model, rows) for name, m in others.items()}}
    jobs = [Job(i, functools.partial(start, i, prompt, stop)) for i, prompt in enumerate(one.prompts)]
    done = {finished.key: finished for finished in Scheduler(models, rows).run(iter(jobs))}
    return [done[i] for i in range(len(one.prompts))]


def tokens_of(finished: list[Finished]) -> list[list[int]]:
    """Return the ids of the texts."""
    return [one.generation.tokens for one in finished]


def up_to(tokens: list[int], eos: int) -> list[int]:
    """Cut behind the first end of text."""
    return tokens[: tokens.index(eos) + 1] if eos in tokens else tokens
