"""Between a decoder's ids and a server's text."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any, Protocol

from lmx_models.core.pieces import finished, shares


class Codec(Protocol):
    """How ids stand for text."""

    vocabulary: int

    def text(self, tokens: Sequence[int] | str) -> str:
        """Return the text that a server is to go on with."""

    def tokens(self, text: str, pieces: Sequence[str] | None, count: int, ended: bool) -> list[int]:
        """Return ids for a server's new `text`.

        Args:
            pieces: the text of each token, where the server gives it.
            count: of tokens, as the server counts them.
            ended: the last of them is the unseen end of the text.
        """


class TokenizerCodec:
    """Ids of a tokenizer of transformers."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.vocabulary = len(tokenizer)
        bos = tokenizer.bos_token or ""
        # A server puts this in front of a text, as its tokenizer does; sent along, it would stand there twice.
        self.added = bos if bos and tokenizer.encode("x")[:1] == [tokenizer.bos_token_id] else ""

    def text(self, tokens: Sequence[int] | str) -> str:
        """Decode, special tokens included: those of a chat template are part of the text."""
        text = tokens if isinstance(tokens, str) else self.tokenizer.decode(list(tokens), skip_special_tokens=False)
        return str(text).removeprefix(self.added)

    def tokens(self, text: str, pieces: Sequence[str] | None, count: int, ended: bool) -> list[int]:
        """Encode the text again; a last character that is not finished yet is left out."""
        return list(self.tokenizer.encode(text if ended else finished(text), add_special_tokens=False))


class PieceCodec:
    """Without a tokenizer: an id stands for a piece of text that a server gave, so ids count what the server counts.

    A character of several tokens is the text of the first of them, and the others stand for nothing. Where a server
    gives a text of several tokens in one piece, the last of its ids stands for all of it and the others for nothing;
    such a text cannot be cut.
    """

    vocabulary = 1 << 18  # more than any in use; only the upper bound of the entropy looks at it
    END = 1

    def __init__(self) -> None:
        self._ids: dict[str, int] = {"": 0}
        self._pieces: list[str] = ["", ""]
        self._lock = threading.Lock()  # replies are read in the threads that waited for them

    def id_of(self, piece: str) -> int:
        """Return the id of a piece of text, a new one if need be."""
        with self._lock:
            if piece not in self._ids:
                self._ids[piece] = len(self._pieces)
                self._pieces.append(piece)
            return self._ids[piece]

    def ids(self, pieces: Sequence[str], ended: bool) -> list[int]:
        """Return the ids of pieces that another process had; `ended`: the last one is the end of the text."""
        ids = [self.id_of(piece) for piece in pieces]
        return [*ids[:-1], self.END] if ended else ids

    def pieces(self, tokens: Sequence[int]) -> list[str]:
        """Return the pieces that ids stand for."""
        return [self._pieces[token] for token in tokens]

    def text(self, tokens: Sequence[int] | str) -> str:
        """Join the pieces."""
        return tokens if isinstance(tokens, str) else "".join(self.pieces(tokens))

    def tokens(self, text: str, pieces: Sequence[str] | None, count: int, ended: bool) -> list[int]:
        """Return an id a piece, or, without pieces that make up the text, as many ids as the server counts tokens."""
        cut, complete = self.cut(text, pieces, ended)
        if cut and complete:
            return cut
        text = text if ended else finished(text)
        return [0] * (count - ended - 1) + [self.id_of(text)] if text else []

    def cut(self, text: str, pieces: Sequence[str] | None, ended: bool) -> tuple[list[int], bool]:
        """Return an id a piece, and whether they make up the text; if not, those at its beginning that surely do."""
        if not pieces:
            return [], not text
        parts, complete = shares(text, pieces, ended)
        return [self.id_of(part) for part in parts], complete
