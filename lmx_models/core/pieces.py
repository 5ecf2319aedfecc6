"""Which part of a server's text belongs to which of its tokens.

Servers show tokens as pieces of text, in several notations, and the pieces often do not join to the text: a character
whose bytes are spread over tokens shows as replacement characters, as nothing, or as escaped bytes, and blanks are
stripped from the one or the other. Here each piece gets its share of the text, so that the shares join to it whole.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable, Iterator, Sequence

REPLACEMENT, SENTENCEPIECE_BLANK = "\ufffd", "\u2581"
# OpenAI's servers write a token that is no UTF-8 as bytes:\xe2\x80, SentencePiece a single byte as <0xE2>.
_ESCAPED = re.compile(r"bytes:(?=.*\\x)((?:\\x[0-9a-fA-F]{2}|[^\\])*)", re.DOTALL)
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPECIAL = re.compile(r"<\|?[^<>\s]{1,64}\|?>|\[[A-Z_]{1,32}\]")
_NAMED = re.compile(r"token_id:\d+")
_FRAGMENTS = re.compile(f"({REPLACEMENT})")
LONGEST_FRAGMENT = 3  # bytes of a character that one replacement character can stand for
MOST_PLACES = 256  # where a piece may end, as far as is known; more are not followed


def tells_text(pieces: Sequence[str] | None) -> bool:
    """Tell whether pieces hold text at all: not where a server gives none, or ``token_id:N``."""
    return bool(pieces) and not all(_NAMED.fullmatch(piece) for piece in pieces or ())


def of_bytes(raw: Sequence[int]) -> str:
    """Return the piece that stands for a token's bytes."""
    data = bytes(raw)
    try:
        return data.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in data)


def finished(text: str) -> str:
    """Return text without a last character that more tokens would complete: up to three replacement characters."""
    return text.removesuffix(REPLACEMENT).removesuffix(REPLACEMENT).removesuffix(REPLACEMENT)


def unfinished(decode: Callable[[Sequence[int]], str], tokens: Sequence[int]) -> int:
    """Return of how many tokens at the end nothing can be made yet: bytes of a character that others complete."""
    tail = list(tokens[-8:])
    for n in range(min(len(tail), LONGEST_FRAGMENT) + 1):
        if not decode(tail[: len(tail) - n]).endswith(REPLACEMENT):
            return n
    return 0  # more than a character has: the model writes such bytes


def whole(decode: Callable[[Sequence[int]], str], tokens: Sequence[int], least: int) -> list[int]:
    """Return the first tokens, at least `least` of them if there are as many, that end with a whole character."""
    for n in range(min(least, len(tokens)), len(tokens) + 1):
        if not unfinished(decode, tokens[:n]):
            return list(tokens[:n])
    return list(tokens)


def shares(text: str, pieces: Sequence[str], ended: bool = False) -> tuple[list[str], bool]:
    """Divide a server's text among its pieces.

    A character of several pieces goes to the first of them, and the others get nothing: whoever keeps only some of the
    tokens keeps whole characters. Blanks at the ends that pieces have and the text lacks are put back.

    Args:
        ended: the last piece may stand for the end of the text.

    Returns:
        The shares, and whether they join to the text whole. If not, they are those at its beginning that are certain,
        and perhaps none. A last character that is not finished is part of neither, nor are its tokens.
    """
    shown = list(pieces)
    if ended and "".join(shown[:-1]) == text:
        shown = shown[:-1]
        return _forward(shown, [len(one) for one in shown]), True
    if "".join(shown) == text and (ended or not text.endswith(REPLACEMENT)):
        return _forward(shown, [len(one) for one in shown]), True
    data = _with_blanks(text if ended else finished(text), shown).encode(errors="replace")
    ends, complete = _ends(data, shown, ended)
    own = [b - a for a, b in zip([0, *ends[:-1]], ends, strict=True)] if ends else []
    return _forward(_divided(data, ends), own), complete


def _forward(parts: Sequence[str], own: Sequence[int]) -> list[str]:
    """Give the text behind pieces that showed nothing to the first of those; leave them out at the end.

    Some servers show a character of several tokens with the last of them. `own`: bytes of each piece.
    """
    result: list[str] = []
    waiting = 0
    for part, size in zip(parts, own, strict=True):
        if part:
            result += [part, *[""] * waiting]
            waiting = 0
        elif size:  # the rest of a character that an earlier piece has
            result += [""] * (waiting + 1)
            waiting = 0
        else:
            waiting += 1
    return result


def _with_blanks(text: str, pieces: Sequence[str]) -> str:
    joined = "".join(_spellings(piece)[-1].decode(errors="replace") for piece in pieces)
    if not text or not joined.strip():
        return text or ("" if joined.strip() else joined)
    before = joined[: len(joined) - len(joined.lstrip())]
    behind = joined[len(joined.rstrip()) :]
    if not text[0].isspace():
        text = before + text
    return text if text[-1].isspace() else text + behind


def _ends(data: bytes, pieces: Sequence[str], ended: bool) -> tuple[list[int], bool]:
    """Return at which byte of the text each piece ends, and whether all fit; else those that are certain."""
    reached: list[dict[int, int]] = [{0: 0}]  # for each piece, where it may end: where it then begins
    for i, piece in enumerate(pieces):
        ends: dict[int, int] = {}
        for start in reached[-1]:
            for end in _fits(data, start, piece):
                ends.setdefault(end, start)
            if start == len(data) and (_may_be_nothing(piece) or (ended and i == len(pieces) - 1)):
                ends.setdefault(start, start)
        if not ends:
            break
        reached.append(dict(sorted(ends.items())[:MOST_PLACES]))
    complete = len(reached) == len(pieces) + 1 and len(data) in reached[-1]
    last = len(data)
    if not complete:
        while len(reached) > 1 and len(reached[-1]) > 1:
            reached.pop()
        last = next(iter(reached[-1]))
    path = []
    for ends in reversed(reached[1:]):
        path.append(last)
        last = ends[last]
    return path[::-1], complete


def _may_be_nothing(piece: str) -> bool:
    """Tell whether a piece may stand behind the text's end: the end itself, a blank, the rest of a character."""
    return (
        not piece.strip()
        or REPLACEMENT in piece
        or _SPECIAL.fullmatch(piece) is not None
        or any(_is_fragment(one) for one in _spellings(piece))
    )


def _is_fragment(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def _fits(data: bytes, start: int, piece: str) -> Iterator[int]:
    """Yield the bytes at which a piece that begins at `start` may end, the likeliest first."""
    found = False
    for spelling in _spellings(piece):
        if data.startswith(spelling, start):
            found = True
            yield start + len(spelling)
    blanks = start
    while data[blanks : blanks + 1].isspace():
        blanks += 1
    if REPLACEMENT in piece:
        for one in dict.fromkeys((piece, piece.replace(SENTENCEPIECE_BLANK, " "))):
            yield from _fits_fragments(data, start, one)
            if blanks > start:  # stripped from the piece
                yield from _fits_fragments(data, blanks, one)
    elif not found and blanks > start:
        yield from (blanks + len(one) for one in _spellings(piece) if one and data.startswith(one, blanks))
    elif not found and _SPECIAL.fullmatch(piece):  # not shown in the text
        yield start


def _fits_fragments(data: bytes, start: int, piece: str) -> Iterator[int]:
    places = {start}
    for part in filter(None, _FRAGMENTS.split(piece)):
        if part == REPLACEMENT:
            places = {
                end
                for place in places
                for end in range(place + 1, min(place + LONGEST_FRAGMENT, len(data)) + 1)
                if min(data[place:end]) >= 0x80
            }
        else:
            spelling = part.encode()
            places = {place + len(spelling) for place in places if data.startswith(spelling, place)}
    yield from sorted(places)


def _divided(data: bytes, ends: Sequence[int]) -> list[str]:
    """Return the text between ends; a character goes to the piece in which it begins."""
    cuts = [0]
    for end in ends:
        while end < len(data) and data[end] & 0xC0 == 0x80:  # within a character
            end += 1
        cuts.append(end)
    return [data[a:b].decode() for a, b in itertools.pairwise(cuts)]


@functools.lru_cache(maxsize=1 << 14)
def _spellings(piece: str) -> tuple[bytes, ...]:
    """Return the bytes that a piece may stand for: as it is, and read in the notations in use."""
    found = [piece.encode(errors="replace")]
    if match := _ESCAPED.fullmatch(piece):
        escaped = re.split(r"\\x([0-9a-fA-F]{2})", match[1])
        found.append(b"".join(bytes([int(one, 16)]) if i % 2 else one.encode() for i, one in enumerate(escaped)))
    elif match := _BYTE.fullmatch(piece):
        found.append(bytes([int(match[1], 16)]))
    elif SENTENCEPIECE_BLANK in piece:
        found.append(piece.replace(SENTENCEPIECE_BLANK, " ").encode())
    elif not piece.isascii() and all(character in _byte_alphabet() for character in piece):
        found.append(bytes(_byte_alphabet()[character] for character in piece))
    return tuple(dict.fromkeys(found))


@functools.cache
def _byte_alphabet() -> dict[str, int]:
    """Return the bytes that the characters of byte-level BPE vocabularies stand for (GPT-2's table)."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {chr(byte): byte for byte in shown} | {chr(256 + i): byte for i, byte in enumerate(hidden)}
