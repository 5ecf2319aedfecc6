"""A server as the scheduler sees it: requests in, futures of replies out."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmx_models.decoding.base import Generate, Reply
from lmx_models.engine.codecs import Codec, TokenizerCodec

if TYPE_CHECKING:
    from lmx_models.engine.endpoint import Endpoint  # it needs httpx, which only those have who use servers


@dataclass(frozen=True)
class Features:
    """What a server can do beyond text in, text out.

    ids_in: it takes token ids as the prompt, and they mean the same to it. ids_out: it returns the ids it wrote.
    top: of how many of the most likely tokens it gives log-probabilities; 0: of none.
    """

    ids_in: bool = False
    ids_out: bool = False
    top: int = 0


def exact(codec: Codec, features: Features) -> bool:
    """Tell whether what the server writes can be cut at every token: we have a tokenizer, or it gives the pieces."""
    return isinstance(codec, TokenizerCodec) or features.top > 0


class RemoteModel:
    """A model on a server, for one run of the scheduler.

    Args:
        codec: what ids stand for.
        features: as found by `probe`.
    """

    def __init__(self, endpoint: Endpoint, codec: Codec, features: Features) -> None:
        self.endpoint, self.codec, self.features = endpoint, codec, features
        self.exact = exact(codec, features)
        self._abandoned = threading.Event()
        self._todo: queue.SimpleQueue[tuple[Generate, Future[Reply]]] = queue.SimpleQueue()
        # Not a ThreadPoolExecutor: Python waits for its threads when it ends, and one may hang on a dead connection.
        for _ in range(endpoint.access.max_concurrent):
            threading.Thread(target=self._work, name="lmx-endpoint", daemon=True).start()

    def submit(self, request: Generate) -> Future[Reply]:
        """Start a request; `Access.max_concurrent` of them are under way at once."""
        future: Future[Reply] = Future()
        self._todo.put((request, future))
        return future

    def close(self) -> None:
        """Forget what has not been started, and try nothing again."""
        self._abandoned.set()

    def _work(self) -> None:
        while not self._abandoned.is_set():
            try:
                request, future = self._todo.get(timeout=1.0)
            except queue.Empty:
                continue
            try:
                future.set_result(self.generate(request))
            except BaseException as error:  # handed to whoever waits for the future
                future.set_exception(error)

    def generate(self, request: Generate) -> Reply:
        """Ask the server and wait for the reply."""
        # A server that returns no ids leaves it open whether the last token, if it is not seen, was the end of the
        # text or a piece of a character. With one token more than is wanted it says.
        slack = 0 if self.features.ids_out or not self.exact else 1
        data, seconds, attempts = self.endpoint.complete(
            self._body(request, request.n + slack), abandoned=self._abandoned
        )
        choice, usage = data["choices"][0], data.get("usage") or {}
        text = str(choice.get("text") or "")
        pieces, top = logprobs_of(choice)
        ids = ids_of(choice) if self.features.ids_out else None
        ended = choice.get("finish_reason") == "stop"
        if ids is None:
            count = int(usage.get("completion_tokens") or len(pieces or ()) or 1)
            ids = self.codec.tokens(text, pieces, count, ended)
            # Tokens but no text: the model has ended it with a token that is not shown.
            ended = ended or (not text and request.n + slack > 3)
        written = len(ids)
        if self.exact and written > request.n:
            ids, ended = ids[: request.n], False
        return Reply(
            tokens=ids,
            ended=ended,
            top=_aligned(top, len(ids), self._top(request)),
            prompt_tokens=int(usage.get("prompt_tokens") or len(request.prompt) + len(request.tokens)),
            completion_tokens=int(usage.get("completion_tokens") or written),
            seconds=seconds,
            attempts=attempts,
        )

    def _body(self, request: Generate, n: int) -> dict[str, Any]:
        sampling = request.sampling
        body: dict[str, Any] = {"max_tokens": n, "temperature": sampling.temperature}
        if self.features.ids_in and not isinstance(request.prompt, str):
            body["prompt"] = [*request.prompt, *request.tokens]
        else:
            body["prompt"] = self._text(request.prompt, request.tokens)
        if self.features.ids_out:
            body["return_token_ids"] = True
        if request.seed is not None:
            body["seed"] = request.seed
            # Strict servers refuse what they do not know, so only what has an effect is sent.
            body |= {name: getattr(sampling, name) for name in ("top_k", "min_p") if getattr(sampling, name)}
            body["top_p"] = sampling.top_p  # every server knows it, and some put another one in its place
        if top := self._top(request):
            body["logprobs"] = top
        return body

    def _top(self, request: Generate) -> int:
        top = min(request.top, self.features.top)
        return top or int(self.features.top > 0 and not isinstance(self.codec, TokenizerCodec))  # for the pieces

    def _text(self, prompt: Sequence[int] | str, tokens: Sequence[int]) -> str:
        if isinstance(prompt, str):
            return self.codec.text(prompt) + self.codec.text(tokens)
        return self.codec.text([*prompt, *tokens])


def logprobs_of(choice: dict[str, Any]) -> tuple[list[str] | None, list[list[float]] | None]:
    """Read the pieces of text and the top log-probabilities (nats, descending) of a choice, where it has them.

    Two forms are in use: OpenAI's old one of lists (``tokens``, ``top_logprobs`` of dictionaries; vLLM), and that of
    chats (``content``, a list of tokens with ``top_logprobs``; llama.cpp).
    """
    given = choice.get("logprobs")
    if not isinstance(given, dict):
        return None, None
    if isinstance(given.get("content"), list):
        content = given["content"]
        pieces = [str(one.get("token", "")) for one in content]
        top = [[float(other["logprob"]) for other in one.get("top_logprobs") or ()] for one in content]
    else:
        pieces = [str(piece) for piece in given.get("tokens") or ()]
        top = [[float(value) for value in (one or {}).values()] for one in given.get("top_logprobs") or ()]
    return pieces or None, [sorted(one, reverse=True) for one in top] if top and all(top) else None


def _aligned(top: list[list[float]] | None, tokens: int, most: int) -> list[list[float]] | None:
    """Return one entry a token, and one for the end; where ours are more than the server's, its last stands for them.

    vLLM adds the token that was drawn to the `most` that were asked for, wherever it ranks.
    """
    if not top:
        return None
    return [top[min(i, len(top) - 1)][:most] for i in range(tokens + 1)]


def ids_of(choice: dict[str, Any]) -> list[int] | None:
    """Return the ids that a choice consists of, where the server gives them (vLLM, on request)."""
    ids = choice.get("token_ids")
    return ids if isinstance(ids, list) and all(isinstance(one, int) for one in ids) else None
