"""What these tests share."""

import math

import torch

from lmx_models.core.sampling import Sampling, sample, stream
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import VOCABULARY, stopping

MASK = VOCABULARY - 1
PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4, 9, 11, 13], [21, 2], [6] * 15, [30, 31, 32], [8, 9]]
DEFAULT = WeDLMConfig()
ONE_BY_ONE = WeDLMConfig(tau=None)
EAGER = WeDLMConfig(window=6, tau=1.4, distance=0.01)
VERIFIED = WeDLMConfig(window=6, tau=1.8, verify="ar")
GREEDY = Sampling()


def run(model, config, prompts=PROMPTS, sampling=GREEDY, stop=None, rows=4):
    """Return the generation and cost of every prompt, through the real scheduler."""
    scheduler = Scheduler({"m": StepModel(model, rows)}, rows)
    stop = stop or stopping()
    jobs = [
        Job(i, lambda i=i, p=p: wedlm(p, "m", MASK, config, sampling, stop, stream(i))) for i, p in enumerate(prompts)
    ]
    finished = {one.key: one for one in scheduler.run(jobs)}
    return [(finished[i].generation, finished[i].cost["m"]) for i in range(len(prompts))]


def greedy_text(model, prompts=PROMPTS, stop=None):
    scheduler = Scheduler({"m": StepModel(model, 8)}, 8)
    stop = stop or stopping()
    jobs = [Job(i, lambda p=p: autoregressive(p, "m", GREEDY, stop, stream(0))) for i, p in enumerate(prompts)]
    finished = {one.key: one.generation for one in scheduler.run(jobs)}
    return [finished[i] for i in range(len(prompts))]


@torch.inference_mode()
def full_forward(model, tokens, positions):
    """Logits of every token, causal in the order given: no cache, no engine."""
    n = len(tokens)
    return model(
        torch.tensor([tokens]),
        position_ids=torch.tensor([positions]),
        attention_mask=torch.ones(1, 1, n, n).tril().bool(),
        use_cache=False,
    ).logits[0]


def recompute(model, prompt, config, sampling=GREEDY, stop=None, seed=0):
    """The published loop, with everything recomputed in each forward; returns tokens, their forwards, and forwards."""
    stop, rng = stop or stopping(), stream(seed)
    text, steps, window, step = [], [], [None] * min(config.window, stop.max_tokens), 0
    while True:
        step += 1
        filled = [i for i, one in enumerate(window) if one is not None]
        masks = [i for i, one in enumerate(window) if one is None]
        tokens = [*prompt, *text, *(window[i][0] for i in filled), *[MASK] * len(masks)]
        known = len(prompt) + len(text)
        positions = [*range(known), *(known + i for i in (*filled, *masks))]
        rows = full_forward(model, tokens, positions)[len(tokens) - len(masks) :]
        entropy = torch.distributions.Categorical(logits=rows).entropy()
        adjusted = {i: float(h) + config.distance * (i - masks[0]) for i, h in zip(masks, entropy, strict=True)}
        below = [i for i in masks if config.tau is not None and adjusted[i] < config.tau]
        for i in below or [min(masks, key=lambda i: adjusted[i])]:
            allowed = rows[masks.index(i)].clone()
            allowed[MASK] = -math.inf
            window[i] = (sample(allowed, sampling, rng), step)
        ends = [i for i, one in enumerate(window) if one and one[0] in stop.eos]
        if ends:
            window = window[: ends[0] + 1]
        while window and window[0] is not None:
            token, at = window.pop(0)
            text.append(token)
            steps.append(at)
            if stop.check(text):
                return text, steps, step
            if not ends and len(text) + len(window) < stop.max_tokens:
                window.append(None)


def scripted(places):
    """A 'model' that is sure of what `places` says at a mask's place, in plain order, and unsure elsewhere."""

    def logits(history):
        out = torch.zeros(VOCABULARY)
        out[9] = 0.1
        if len(history) - 1 in places:
            out[places[len(history) - 1]] = 50.0
        return out

    return {"m": logits}
