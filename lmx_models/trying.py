"""Texts from a model outside lm_eval's command: what the tests of a way of decoding begin with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from lmx_models.core.base import Generation
from lmx_models.core.completion import Completion
from lmx_models.core.driver import LogitsOf, drive
from lmx_models.core.stopping import Stopping
from lmx_models.methods.method import Method
from lmx_models.methods.weights import Weights
from lmx_models.settings.requests import Request, sampling_of


def texts_of(lm: Any, prompts: Sequence[str], **gen_kwargs: Any) -> list[Completion]:
    """Return a text for each prompt as a task would get it, with its trace.

    Args:
        lm: a model of lmx, such as a `MethodLM`.
        **gen_kwargs: generation arguments, over ``until=[]`` and ``max_gen_toks=24``.
    """
    gen_kwargs = {"until": [], "max_gen_toks": 24, **gen_kwargs}
    requests = [
        # The task and the document's number by name for lm_eval 0.5, in `metadata` for 0.4.
        Instance("generate_until", {}, (prompt, dict(gen_kwargs)), 0, ("a_task", i, 1), task_name="a_task", doc_id=i)
        for i, prompt in enumerate(prompts)
    ]
    texts: list[Completion] = lm.generate_until(requests, disable_tqdm=True)
    return texts


def drive_method(
    method: Method,
    models: Mapping[str, LogitsOf],
    prompt: Sequence[int] = (3, 1, 4),
    max_tokens: int = 20,
    end: int = 0,
    seed: int = 1234,
    **settings: Any,
) -> tuple[Generation, dict[str, int]]:
    """Run a method over functions instead of models, settings given as users write them; see `drive`.

    Args:
        models: from all ids seen to the logits of the next, by role; `made_up` makes such functions.
        end: the id that ends a text.
    """
    values = method.fields(settings)
    if method.check is not None:
        method.check(values)
    stopping = Stopping(max_tokens, frozenset({end}), (), lambda tokens: " ".join(map(str, tokens)))
    request = Request("", list(prompt), sampling_of(values), stopping, values, (seed, "a_task", 0, 0, 0))
    weightless = {role: Weights(role, None, None, role, 1 << 20) for role in method.roles}
    return drive(method.start(request, weightless), models)
