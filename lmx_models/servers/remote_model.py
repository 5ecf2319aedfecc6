"""A server as the scheduler sees it: requests in, futures of replies out."""

from __future__ import annotations

import bisect
import itertools
import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lmx_models.core.base import Generate, Reply
from lmx_models.core.pieces import finished, of_bytes, shares, unfinished
from lmx_models.servers.codecs import Codec, PieceCodec, TokenizerCodec

if TYPE_CHECKING:
    from lmx_models.servers.endpoint import Endpoint


@dataclass(frozen=True)
class Features:
    """What a server can do beyond text in, text out.

    ids_in: it takes token ids as the prompt, and they mean the same to it. ids_out: it returns the ids it wrote.
    top: of how many of the most likely tokens it gives log-probabilities; 0: of none. pieces: it shows the text of
    each token with them.
    """

    ids_in: bool = False
    ids_out: bool = False
    top: int = 0
    pieces: bool = True


# Tokens asked for where a reply cannot be cut: one, or as many as the bytes of a character may need.
SINGLE = (1, 4, 8)


@dataclass(frozen=True)
class _Asked:
    """What came of one request. ids: None where the pieces do not make up the text, and it would have to be cut."""

    ids: list[int] | None
    text: str
    ended: bool
    top: list[list[float]] | None
    usage: dict[str, int]
    seconds: float
    attempts: int


def exact(codec: Codec, features: Features) -> bool:
    """Tell whether what the server writes can be cut at every token: we have a tokenizer, or it gives the pieces."""
    return isinstance(codec, TokenizerCodec) or (features.top > 0 and features.pieces)


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
        asked = self._ask(request, request.n + slack)
        if asked.ids is not None:
            return self._reply(request, [asked], request.n + slack)
        # The pieces do not make up the text, so it cannot be cut behind the tokens that are wanted. What is as long as
        # a character needs no cutting.
        tries = [asked]
        for n in SINGLE:
            tries.append(self._ask(request, n, cut=False))
            if tries[-1].ids or tries[-1].ended:
                break
        return self._reply(request, tries, n)

    def _ask(self, request: Generate, n: int, cut: bool = True) -> _Asked:
        """Ask for `n` tokens. `cut`: the reply may have to be cut, so the ids are None where it cannot be."""
        data, seconds, attempts = self.endpoint.complete(
            self._body(request, n),
            abandoned=self._abandoned,
            vocabulary=self.codec.vocabulary if self.features.ids_out else None,
        )
        choice, usage = data["choices"][0], data["usage"]
        text = choice.get("text") or ""
        pieces, top = logprobs_of(choice)
        ids = ids_of(choice) if self.features.ids_out else None
        ended = choice.get("finish_reason") == "stop"
        if ids is None and self.exact and isinstance(self.codec, PieceCodec):
            ids, ended = self._cut(self.codec, text, pieces, ended) if cut else self._whole(self.codec, text, n, ended)
        elif ids is None:
            count = min(usage.get("completion_tokens") or len(pieces or ()) or 1, n)
            ids = self.codec.tokens(text, pieces, count, ended)
            top = _along(top, pieces, text, ended, self.codec, len(ids))
        return _Asked(ids, text, ended, top, usage, seconds, attempts)

    @staticmethod
    def _cut(codec: PieceCodec, text: str, pieces: list[str] | None, ended: bool) -> tuple[list[int] | None, bool]:
        ids, complete = codec.cut(text, pieces, ended)
        return ids if ids or complete else None, ended and complete

    @staticmethod
    def _whole(codec: PieceCodec, text: str, n: int, ended: bool) -> tuple[list[int], bool]:
        if not ended:
            text = finished(text) or (text if n == SINGLE[-1] else "")
        return [codec.id_of(text)] if text else [], ended

    def _reply(self, request: Generate, tries: Sequence[_Asked], n: int) -> Reply:
        last = tries[-1]
        ids, ended = list(last.ids or ()), last.ended
        if not self.features.ids_out:
            # Tokens but no text: the model has ended it with a token that is not shown.
            ended = ended or (not last.text and n > 3)
        written = len(ids)
        if self.exact and written > request.n:
            ids, ended = ids[: request.n], False
            if not self.features.ids_out and unfinished(self.codec.text, ids):
                ids = ids[: len(ids) - unfinished(self.codec.text, ids)]  # text is asked for in whole characters
        length = len(request.prompt) + len(request.tokens)
        return Reply(
            tokens=ids,
            ended=ended,
            top=_aligned(last.top, len(ids), self._top(request)),
            prompt_tokens=sum(one.usage.get("prompt_tokens") or length for one in tries),
            completion_tokens=sum(one.usage.get("completion_tokens") or len(one.ids or ()) for one in tries),
            seconds=sum(one.seconds for one in tries),
            attempts=sum(one.attempts for one in tries),
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
            if request.top:  # by text, tokens that show the same would be taken for one
                body["return_tokens_as_token_ids"] = True
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
        pieces = [of_bytes(one["bytes"]) if one.get("bytes") else str(one.get("token", "")) for one in content]
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


def _along(
    top: list[list[float]] | None, pieces: list[str] | None, text: str, ended: bool, codec: Codec, tokens: int
) -> list[list[float]] | None:
    """Return the top of the server's token in which each of ours begins, where it cuts the text into other tokens."""
    tokenizer = getattr(codec, "tokenizer", None)
    if not top or not pieces or not getattr(tokenizer, "is_fast", False):
        return top
    parts, complete = shares(text, pieces, ended)
    if not complete or len(parts) == tokens or len(parts) > len(top):
        return top
    assert tokenizer is not None
    starts = list(itertools.accumulate((len(part) for part in parts), initial=0))
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"][:tokens]
    ours = [top[min(bisect.bisect_right(starts, start) - 1, len(parts) - 1)] for start, _ in offsets]
    return [*ours, top[min(len(parts), len(top) - 1)]]


def ids_of(choice: dict[str, Any]) -> list[int] | None:
    """Return the ids that a choice consists of, where the server gives them (vLLM, on request)."""
    ids = choice.get("token_ids")
    return ids if isinstance(ids, list) and all(isinstance(one, int) for one in ids) else None
