"""Any model of lm_eval as a function of prompts: what it answers to each, greedily."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from lm_eval.utils import simple_parse_args_string

from lmx_files.errors import UserError, unknown
from lmx_files.safety.secrets import redact_text

Ask = Callable[[Sequence[str]], list[str]]


def arguments_of(text: str, flag: str = "--model_args") -> dict[str, Any]:
    """Return ``name=value,...`` as lm_eval reads it: ``False`` and ``3`` are no texts.

    Raises:
        UserError: a part is no ``name=value``; `flag` says where it stands.
    """
    parts = [part for part in map(str.strip, text.split(",")) if part]
    for part in parts:
        name, equals, _ = part.partition("=")
        if not equals or not name.strip():
            raise UserError(f"{flag} {part!r}: write NAME=VALUE, with commas between them, e.g. pretrained=NAME,k=4")
    return dict(simple_parse_args_string(",".join(parts)))


def name_of(model: str, arguments: Mapping[str, Any]) -> str:
    """Return what a model is called in files: its weights and revision where it has some, else the model's type."""
    weights = str(arguments.get("pretrained") or arguments.get("model") or arguments.get("path") or model)
    revision = arguments.get("revision") or ""
    return redact_text(f"{weights.rstrip('/')}@{revision}" if revision else weights.rstrip("/"))


def load_ask(
    model: str, arguments: Mapping[str, Any], max_tokens: int, device: str | None = None, batch_size: int = 8
) -> Ask:
    """Load a model of lm_eval and return it as a function; prompts go through its chat template if it has one.

    Raises:
        UserError: there is no such model, or it cannot be loaded.
    """
    import lm_eval.models  # noqa: F401  (registers them)
    from lm_eval.api import registry

    try:
        kind = registry.get_model(model)
    except (KeyError, ValueError, ImportError) as error:
        raise unknown("model", model, _names(registry), "See: lmx ls models") from error
    extra = {"batch_size": batch_size, **({"device": device} if device else {})}
    try:
        lm = kind.create_from_arg_obj(dict(arguments), extra)
    except UserError:
        raise
    except Exception as error:
        why = " ".join(str(error).split())[:300]
        raise UserError(
            f"--model {model} cannot be loaded ({type(error).__name__}: {redact_text(why)}). Check --model_args"
        ) from error
    asked = itertools.count()
    return lambda prompts: _answers(lm, prompts, max_tokens, asked)


def _names(registry: Any) -> list[str]:
    return sorted(getattr(registry, "MODEL_REGISTRY", {}) or getattr(registry, "model_registry", {}))


def _answers(lm: Any, prompts: Sequence[str], max_tokens: int, asked: Iterator[int]) -> list[str]:
    from lm_eval.api.instance import Instance

    if not prompts:
        return []
    settings = {"until": [], "max_gen_toks": max_tokens, "temperature": 0.0, "do_sample": False}
    # Number and task by name for lm_eval 0.5, in `metadata` for 0.4.
    requests = [
        Instance(
            "generate_until", {}, (_context(lm, prompt), dict(settings)), idx=0, metadata=("lmx counting", k, 1),
            task_name="lmx counting", doc_id=k,
        )
        for prompt, k in zip(prompts, asked, strict=False)  # each has a number of its own, over all calls
    ]  # fmt: skip
    try:
        texts = lm.generate_until(requests, disable_tqdm=True)
    except UserError:
        raise
    except Exception as error:  # whatever a client's network layer or a library raises
        why = redact_text(" ".join(str(error).split())[:300])
        raise UserError(
            f"the model failed at its prompt {requests[0].doc_id + 1} or one of the {len(requests) - 1} after it "
            f"({type(error).__name__}: {why})"
        ) from error
    if len(texts) != len(prompts):
        raise UserError(f"the model answered {len(texts)} of {len(prompts)} prompts")
    return ["" if text is None else str(text) for text in texts]


def _context(lm: Any, prompt: str) -> Any:
    """Return a prompt as the model reads it: through its chat template, as a message, or as it is."""
    chat = getattr(lm, "tokenizer", None)
    if getattr(chat, "chat_template", None) or type(lm).__name__.endswith("ChatCompletion"):
        return lm.apply_chat_template([{"role": "user", "content": prompt}])
    return prompt
