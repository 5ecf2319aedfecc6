"""``--model my_model``: what lm_eval asks of a model, answered by a bigram model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.models.utils import normalize_gen_kwargs
from lmx_files.errors import UserError
from lmx_models.core.base import Segment
from lmx_models.core.completion import Completion
from lmx_models.core.stopping import Stopping
from lmx_models.core.trace import ModelCost, Trace
from lmx_models.records.traces import RunStatistics
from lmx_models.settings.arguments import refuse_unknown

from .bigram import END, Bigram, decode, encode

CORPUS = Path(__file__).with_name("corpus.txt")


class MyModelLM(LM):
    """Greedy bigram model.

    Args:
        corpus: a text file, whose bytes are counted.
        batch_size, max_batch_size, device: taken and ignored, since lm_eval passes them.
    """

    method: ClassVar[str] = "my_model"

    def __init__(
        self,
        corpus: str | None = None,
        batch_size: Any = None,
        max_batch_size: Any = None,
        device: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__()
        refuse_unknown(kwargs, ("corpus",), f"--model {self.method} argument")
        path = Path(corpus) if corpus else CORPUS
        try:
            self.bigram = Bigram(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read corpus={path}: {error}") from error
        self.statistics = RunStatistics()

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write a text for every request, of ``(prompt, generation arguments)``; each carries its trace."""
        return [self._write(*request.args) for request in requests]

    def loglikelihood(self, requests: list[Instance], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Return for every ``(context, continuation)`` its log-probability in nats, and whether greedy writes it."""
        return [self._score(*request.args) for request in requests]

    def loglikelihood_rolling(self, requests: list[Instance], disable_tqdm: bool = False) -> list[float]:
        """Return the log-probability of every text in nats."""
        return [self._score("", request.args[-1])[0] for request in requests]  # 0.5 has an empty context before it

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render a chat: the messages, one a line."""
        return "".join(message["content"] + "\n" for message in chat_history)

    @property
    def tokenizer_name(self) -> str:
        """Name for lm_eval's request cache."""
        return self.method

    def get_model_info(self) -> dict[str, Any]:
        """Return what goes into the results file under `config`: settings and run-level statistics."""
        return {"decoding": {"method": self.method, **self.statistics.as_dict()}}

    def _write(self, prompt: str, gen_kwargs: dict[str, Any]) -> Completion:
        settings: dict[str, Any] = dict(normalize_gen_kwargs(gen_kwargs))
        if settings["do_sample"]:
            raise UserError(f"do_sample=True: {self.method} is greedy; set --gen_kwargs do_sample=False")
        stopping = Stopping(settings["max_gen_toks"], frozenset({END}), tuple(settings["until"]), decode)
        fed = [END, *encode(prompt)]
        tokens: list[int] = []
        finish = None
        while finish is None:
            tokens.append(self.bigram.most_probable((fed + tokens)[-1]))
            finish = stopping.check(tokens)
        cost = ModelCost(forwards=len(tokens), prefill=len(fed), decode=len(tokens) - 1)
        segments = [Segment(self.method, 0, len(tokens))]
        trace = Trace(tokens, segments, finish, prompt_tokens=len(fed), cost={self.method: cost})
        text = Completion(stopping.text(tokens), trace)
        self.statistics.add(text)
        return text

    def _score(self, context: str, continuation: str) -> tuple[float, bool]:
        before, total, greedy = (encode(context) or [END])[-1], 0.0, True
        for token in encode(continuation):
            total += self.bigram.log_probability(before, token)
            greedy = greedy and token == self.bigram.most_probable(before)
            before = token
        return total, greedy
