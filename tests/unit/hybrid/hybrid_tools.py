"""What these tests share."""

from lm_eval.api.instance import Instance

from lmx_models.core.base import Feed, Generation, Segment
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}


def _echo(request, weights):
    """Write the prompt itself, as it was tokenized for this stage."""
    yield Feed("echo", request.prompt)
    return Generation(list(request.prompt), [Segment("echo", 0, len(request.prompt))], "eos")


def _echo_after_draws(request, weights):
    """As `_echo`; the first document's stage named `a` draws many random numbers before."""
    rng = request.rng("sample")
    for _ in range(50 if request.seeds[-1] == "a" and request.sampling.temperature else 1):
        number = rng.random()
    yield Feed("echo", request.prompt)
    extra = {"number": number}
    return Generation(list(request.prompt), [Segment("echo", 0, len(request.prompt))], "eos", extra=extra)


def write(lm, n=4, **gen_kwargs):
    return lm.generate_until(requests(n=n, **gen_kwargs), disable_tqdm=True)


def stages(text):
    return {record["stage"]: record for record in text.trace.extra["stages"]}


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three?"},
]


def ask(lm, chat, **kwargs):
    """Send one chat through lm_eval's two steps: rendering, then generation."""
    context = lm.apply_chat_template(chat, **kwargs)
    request = Instance("generate_until", {}, (context, {"until": [], "max_gen_toks": 20}), 0, ("t", 0, 1))
    return lm.generate_until([request], disable_tqdm=True)[0]


TWO = {"a": ("tiny-base", "ar", "{prompt}"), "b": ("tiny-base", "ar", "{prompt} {a}")}
