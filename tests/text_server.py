"""A server in memory that writes a text known beforehand, with its tokens shown in the ways that servers show them.

It stands in for an `Endpoint`. A prompt that is not the beginning of what is to be written fails a test: something was
lost or changed on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from lmx_models.servers.endpoint import Access


def tokens_of(text: str, longest: int = 4) -> list[bytes]:
    """Cut a text into tokens as a byte-level vocabulary does: blanks lead words, rarer characters fall into bytes.

    ASCII goes in runs of up to `longest`, a character of two bytes in two tokens, others in two (2 + the rest) or one.
    """
    tokens: list[bytes] = []
    run = b""
    for i, character in enumerate(text):
        data = character.encode()
        if len(data) == 1:
            if run and (len(run) >= longest or character.isspace()):
                tokens.append(run)
                run = b""
            run += data
            continue
        cut = (1, 2, len(data))[i % 3]
        tokens.append(run + data[:cut])
        if data[cut:]:
            tokens.append(data[cut:])
        run = b""
    return [*tokens, run] if run else tokens


def _byte_level(data: bytes) -> str:
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = {byte: chr(256 + i) for i, byte in enumerate(byte for byte in range(256) if byte not in shown)}
    return "".join(hidden.get(byte, chr(byte)) for byte in data)


def _replaced(new: Sequence[bytes]) -> list[str]:
    return [one.decode(errors="replace") for one in new]


def _escaped(new: Sequence[bytes]) -> list[str]:
    """As OpenAI's servers."""
    pieces = []
    for one in new:
        try:
            pieces.append(one.decode())
        except UnicodeDecodeError:
            printable = (chr(byte) if 32 <= byte < 127 else f"\\x{byte:02x}" for byte in one)
            pieces.append("bytes:" + "".join(printable))
    return pieces


def _held(new: Sequence[bytes]) -> list[str]:
    """As vLLM: nothing until a character is whole."""
    pieces, waiting = [], b""
    for one in new:
        waiting += one
        try:
            pieces.append(waiting.decode())
            waiting = b""
        except UnicodeDecodeError:
            pieces.append("")
    return pieces


PIECES: dict[str, Callable[[Sequence[bytes]], list[str] | None]] = {
    "replacement characters": _replaced,
    "escaped bytes": _escaped,
    "nothing until whole": _held,
    "byte-level": lambda new: [_byte_level(one) for one in new],
    "stripped": lambda new: [one.strip() for one in _replaced(new)],
    "sentencepiece": lambda new: [
        f"<0x{one[0]:02X}>" if len(one) == 1 and one[0] > 127 else one.decode(errors="replace").replace(" ", "\u2581")
        for one in new
    ],
    "ids": lambda new: [f"token_id:{sum(one)}" for one in new],
    "wrong": lambda new: ["?" for _ in new],
    "none": lambda new: None,
}


class TextServer:
    """Writes `text` after any prompt that ends with `start` and the part of the text that is there already.

    Args:
        pieces: how tokens are shown, a key of `PIECES`. held: an unfinished character at a reply's end is left out of
            the text, not shown as a replacement character. strip: the text's leading blanks are stripped.
        sees_end: the end of the text is shown as a last token. most: tokens that a reply has at most.
    """

    def __init__(
        self,
        text: str,
        pieces: str,
        start: str = "Write:",
        held: bool = False,
        strip: bool = False,
        sees_end: bool = True,
        most: int = 1 << 20,
    ) -> None:
        self.text, self.start = text, start
        self.pieces, self.held, self.strip, self.sees_end, self.most = PIECES[pieces], held, strip, sees_end, most
        self.access = Access(max_concurrent=1)
        self.requests: list[dict[str, Any]] = []

    def complete(self, body: dict[str, Any], **kwargs: Any) -> tuple[dict[str, Any], float, int]:
        self.requests.append(body)
        prompt = body["prompt"]
        assert prompt.startswith(self.start)
        done = prompt[len(self.start) :]
        assert self.text.startswith(done), f"{done[-40:]!r} is not what was written"
        rest = self._rest(len(done.encode()))
        n = min(body["max_tokens"], self.most)
        new, ended = rest[:n], len(rest) < n
        text = b"".join(new).decode(errors="replace")
        choice: dict[str, Any] = {
            "text": (text.rstrip("\ufffd") if self.held else text).lstrip(" " if self.strip else ""),
            "finish_reason": "stop" if ended else "length",
        }
        pieces = self.pieces(new)
        if body.get("logprobs") and pieces is not None:
            pieces = [*pieces, "</s>"] if ended and self.sees_end else pieces
            choice["logprobs"] = {"tokens": pieces, "top_logprobs": [{"x": -0.1}] * len(pieces)}
        usage = {"prompt_tokens": 9, "completion_tokens": len(new) + ended}
        return {"choices": [choice], "usage": usage}, 0.0, 1

    def _rest(self, at: int) -> list[bytes]:
        tokens = []
        for token in tokens_of(self.text):
            if at < len(token):
                tokens.append(token[at:])
            at = max(0, at - len(token))
        return tokens
