"""Running diffusion decoders through the real scheduler, and plain recomputation to compare them with."""

from __future__ import annotations

import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.block_diffusion import BlockDiffusionConfig, block_diffusion
from lmx_models.decoding.diffusion.denoising import Head
from lmx_models.decoding.diffusion.masked_diffusion import MaskedDiffusionConfig, masked_diffusion
from lmx_models.engine.scheduler import Finished, Job, Scheduler
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import stopping

MASK = 2
PROMPTS = [[5, 9, 3, 17, 40, 8, 12], [7], [11, 4, 4, 30, 21], list(range(20, 33))]
DECODERS = {"mdlm": masked_diffusion, "bd3lm": block_diffusion}
CONFIGS = {"mdlm": MaskedDiffusionConfig, "bd3lm": BlockDiffusionConfig}


def run_all(model, decodings, rows: int) -> list[Finished]:
    """Run makers of decoders, all of which feed one model, with `rows` rows a forward; results in their order."""
    step = StepModel(model, rows)
    scheduler = Scheduler({"mdlm": step, "bd3lm": step}, rows)
    done = {finished.key: finished for finished in scheduler.run(Job(i, start) for i, start in enumerate(decodings))}
    return [done[i] for i in range(len(decodings))]


def write(model, method, head, rows=2, temperature=0.0, stop=None, prompts=PROMPTS, seed=0, **settings):
    """Write a text for each prompt."""

    def start(i, prompt):
        sampling, config = Sampling(temperature), CONFIGS[method](**settings)
        return lambda: DECODERS[method](prompt, config, sampling, stop or stopping(), stream(seed, i), head)

    return run_all(model, [start(i, prompt) for i, prompt in enumerate(prompts)], rows)


@torch.inference_mode()
def plain_logits(model, ids, groups, head: Head) -> torch.Tensor:
    """Return what speaks of each position, ``[positions, vocabulary]``, from one forward without a cache.

    A token sees those of its own group and of smaller ones.
    """
    groups = torch.tensor(groups)
    output = model(
        input_ids=torch.tensor([ids]),
        position_ids=torch.arange(len(ids))[None],
        attention_mask=(groups[None, :] <= groups[:, None])[None, None],
        use_cache=False,
    )
    logits = output.logits[0].float()
    if head.shifted:
        logits = torch.cat([torch.zeros_like(logits[:1]), logits[:-1]])
    logits[:, head.mask_id] = -torch.inf
    return logits


def groups_of(prompt, length: int, method: str, config) -> list[int]:
    """Return the group of each position of a prompt and an answer."""
    if method == "mdlm":
        return [0] * (len(prompt) + length)
    size = config.block_length
    before = [-1] * len(prompt)
    if config.prefill == "blocks":
        before = [-((len(prompt) - i + size - 1) // size) for i in range(len(prompt))]
    return before + [i // size for i in range(length)]


def plain(model, method, head, prompt, length: int, **settings) -> tuple[list[int], list[int]]:
    """Fill a canvas greedily, everything computed again each time; return its ids and the forward that filled each."""
    config = CONFIGS[method](**settings)
    groups = groups_of(prompt, length, method, config)
    answer, filled, forwards = [head.mask_id] * length, [0] * length, 0
    size = config.block_length or length
    blocks = -(-length // size)
    for number, begin in enumerate(range(0, length, size)):
        end = min(begin + size, length)
        seen = len(prompt) + (end if method == "bd3lm" else length)
        steps = end - begin
        if config.steps is not None:
            share = config.steps // blocks + (number < config.steps % blocks)
            steps = min(end - begin, max(1, share))
        step = 0
        while masked := [i for i in range(begin, end) if not filled[i]]:
            logits = plain_logits(model, [*prompt, *answer][:seen], groups[:seen], head)[len(prompt) :]
            forwards += 1
            p, token = torch.softmax(logits, -1).max(-1)
            ranked = sorted(masked, key=lambda i: (-float(p[i]), i))
            count = (end - begin) // steps + (step < (end - begin) % steps)
            step += 1
            if config.threshold is not None:
                count = max(1, sum(float(p[i]) > config.threshold for i in masked))
            for i in ranked[:count]:
                answer[i], filled[i] = int(token[i]), forwards
    return answer, filled
