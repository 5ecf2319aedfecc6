"""``--model scripted``: a deterministic fake model, for tests, users who try a task, and plugin authors."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from lmx_files import jsonl
from lmx_files.errors import UserError, unknown
from lmx_files.reading import is_regular
from lmx_models.core.base import Segment
from lmx_models.core.completion import Completion
from lmx_models.core.trace import ModelCost, Trace
from lmx_models.harness.evaluated import Evaluated, check_asked, check_origins, document_of
from lmx_models.records.traces import RunStatistics
from lmx_models.settings.arguments import refuse_unknown
from lmx_plugins.evaluation.asked import Asked, asked

FINISHES = ("eos", "stop", "length", "context")


class ScriptedLM(Evaluated):
    """Answers from a script instead of weights; tokens are the text's UTF-8 bytes.

    Args:
        text: the answer to everything; ``{prompt}`` in it is the prompt itself (an echo).
        responses: a JSONL file of answers, ``{"text": ..., "finish": ...}`` a line, taken by document number
            (modulo their count); ``finish`` is optional.
        finish: the finish reason of every answer that names none.
        batch_size, max_batch_size, device: taken and ignored, since lm_eval passes them.

    Likelihoods are fixed numbers made from the text (a hash), so multiple choice runs and means nothing.
    """

    method: ClassVar[str] = "scripted"

    def __init__(
        self,
        text: str = "A scripted answer.",
        responses: str | None = None,
        finish: str = "eos",
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        refuse_unknown(kwargs, ("text", "responses", "finish"), "--model scripted argument")
        check_asked(asked())
        _check_finish(finish, "finish")
        default = {"text": str(text), "finish": finish}
        self.script = [default] if responses is None else _read_script(Path(responses), finish)
        self.statistics = RunStatistics()

    def begin_evaluation(self, asked: Asked) -> None:
        """Forget what an earlier evaluation left in the statistics."""
        super().begin_evaluation(asked)
        self.statistics = RunStatistics()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Answer every request from the script; each answer carries a trace, as a decoder's would."""
        check_origins(requests)
        return [self._answer(request) for request in requests]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return a fixed number of nats for every continuation, by its hash and length."""
        return [(-_unit("".join(request.args)) * (1 + len(request.args[1])), False) for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return a fixed number of nats for every text, by its hash and length."""
        texts = [request.args[-1] for request in requests]  # lm_eval 0.5 has an empty context before it
        return [-_unit(text) * (1 + len(text)) for text in texts]

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render a chat as ``role: content`` lines."""
        lines = [f"{message['role']}: {message['content']}" for message in chat_history]
        return "\n".join([*lines, "assistant:"] if add_generation_prompt else lines)

    @property
    def tokenizer_name(self) -> str:
        """Name for lm_eval's request cache."""
        return "scripted"

    def get_model_info(self) -> dict[str, Any]:
        """Return the statistics that a decoder would."""
        return {"decoding": {"method": self.method, "answers": len(self.script), **self.statistics.as_dict()}}

    def _answer(self, request: Instance) -> Completion:
        prompt = request.args[0]
        answer = self.script[(document_of(request) or 0) % len(self.script)]
        text = answer["text"].replace("{prompt}", prompt)
        tokens = list(text.encode())
        cost = {"scripted": ModelCost(forwards=len(tokens), prefill=len(prompt.encode()), decode=len(tokens))}
        segments = [Segment("scripted", 0, len(tokens))] if tokens else []
        trace = Trace(tokens, segments, answer["finish"], prompt_tokens=len(prompt.encode()), cost=cost)
        completion = Completion(text, trace)
        self.statistics.add(completion)
        return completion


def _unit(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def _check_finish(finish: object, where: str) -> None:
    if finish not in FINISHES:
        raise unknown(where, str(finish), FINISHES)


def _read_script(path: Path, finish: str) -> list[dict[str, str]]:
    if not is_regular(path):
        raise UserError(f"cannot read responses={path}: there is no such file")
    script = []
    for number, answer in jsonl.numbered(path, f"responses={path}", last="take"):
        if "text" not in answer:
            raise UserError(f'{path}, line {number}: not a JSON object with a field "text"')
        script.append({"text": str(answer["text"]), "finish": answer.get("finish", finish)})
        _check_finish(script[-1]["finish"], f"{path}, line {number}: finish")
    if not script:
        raise UserError(f'responses={path} is empty: write one {{"text": ...}} a line')
    return script
