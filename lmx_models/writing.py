"""Texts of one of lmx's ways of decoding, with the scores of their tokens: what analyses ask that let models write."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError, unknown
from lmx_models.methods.method import Method
from lmx_plugins import discovery


class Asked(Protocol):
    """A text that is asked for. Its random numbers are made of the seed, task, document and repeat."""

    @property
    def prompt(self) -> str: ...
    @property
    def task(self) -> str: ...
    @property
    def doc_id(self) -> int: ...
    @property
    def repeat(self) -> int: ...


@dataclass(frozen=True)
class Written:
    """A text: its answer, the ids of its prompt, and its trace as it stands in traces files."""

    answer: str
    prompt: list[int]
    trace: Mapping[str, Any]


Write = Callable[[Sequence[Asked]], list[Written]]


@contextlib.contextmanager
def opened(
    method: str, model: str, arguments: Mapping[str, Any], *, max_new_tokens: int, temperature: float, seed: int,
    rows: int, dtype: str = "float32", device: str | None = None,
) -> Iterator[Write]:  # fmt: skip
    """Load ``--model METHOD`` and let go of it at the end; what is yielded writes a list of texts, all scores recorded.

    Args:
        model: the model that writes; where other arguments name all models (hybrid) it is only a name.
        arguments: as in ``--model_args``.

    Raises:
        UserError: there is no such method, an argument or model it cannot use, or a prompt leaves no room.
    """
    made = _class_of(method)
    given = {"device": device, "dtype": dtype, "batch_size": rows, "seed": seed, "record": "all", **arguments}
    if made.takes_pretrained:
        given = {"pretrained": model, **given}
    if given["device"] is None:
        del given["device"]
    lm = [made(**given)]
    if not made.takes_pretrained and lm[0].writer_name != model:
        raise UserError(f"{model} does not write the answers of this graph, {lm[0].writer_name} does: name that one")

    def write(asked: Sequence[Asked]) -> list[Written]:
        prompts = [lm[0].prompt_tokens(each.prompt) for each in asked]
        for each, ids in zip(asked, prompts, strict=True):
            if len(ids) >= lm[0].max_length:
                raise UserError(
                    f"document {each.doc_id}: the prompt has {len(ids)} tokens and {model} reads {lm[0].max_length}: "
                    "there is no room to write. Shorten it, or leave it out"
                )
        settings: dict[str, Any] = {"until": [], "temperature": temperature, "do_sample": temperature > 0}
        requests = [
            Instance("generate_until", {},
                     # its own room: what stands beside it in a batch does not shorten a text
                     (each.prompt, {**settings, "max_gen_toks": min(max_new_tokens, lm[0].max_length - len(ids))}),
                     each.repeat, (each.task, each.doc_id, 1), task_name=each.task, doc_id=each.doc_id)
            for each, ids in zip(asked, prompts, strict=True)
        ]  # fmt: skip
        texts = lm[0].generate_until(requests, disable_tqdm=True)
        return [Written(str(text), ids, text.trace.as_dict()) for text, ids in zip(texts, prompts, strict=True)]

    try:
        yield write
    finally:
        lm.clear()
        gc.collect()


def _class_of(name: str) -> Any:
    plugins = {plugin.name: plugin for plugin in discovery.plugins_of("models")}
    if name not in plugins:
        raise unknown("--decoder", name, plugins)
    found = discovery.load(plugins[name])
    if not isinstance(getattr(found, "described", None), Method) and not hasattr(found, "new_recorder"):
        raise UserError(f"--decoder {name} records nothing of its tokens, so there is nothing to score: name another")
    return found
