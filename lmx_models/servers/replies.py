"""Servers' replies as they have to be: types, sizes, numbers and characters are checked here and nowhere else."""

from __future__ import annotations

import datetime
import email.utils
import math
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import pydantic
from pydantic import Field
from typing_extensions import NotRequired, TypedDict

# Bytes: of a reply apart from its tokens; of a token, with each of its alternatives, in JSON's longest spelling; of a
# list of models; of an error's message.
BASE_BYTES, TOKEN_BYTES, LIST_BYTES, ERROR_BYTES = 1 << 20, 512, 1 << 24, 1 << 16
LONGEST_PAUSE = 86_400.0  # seconds: a server that asks for more is not waited for
LONGEST_NAME = 256
# Rounding may lift a log-probability of a certain token above 0 by a little.
Logprob = Annotated[float, Field(strict=True, allow_inf_nan=False, le=0.01)]
Id = Annotated[int, Field(strict=True, ge=0)]
Count = Annotated[int, Field(strict=True)]


class UnfitError(ValueError):
    """A reply that is none; another one may be."""


class _Alternative(TypedDict):
    logprob: Logprob


class _Token(TypedDict):
    token: NotRequired[str]
    bytes: NotRequired[list[Annotated[int, Field(strict=True, ge=0, le=255)]] | None]
    top_logprobs: NotRequired[list[_Alternative] | None]


class _Logprobs(TypedDict, total=False):
    tokens: list[str] | None
    top_logprobs: list[dict[str, Logprob] | None] | None
    content: list[_Token] | None


class _Choice(TypedDict, total=False):
    index: int | None
    text: str | None
    finish_reason: str | None
    logprobs: _Logprobs | None
    token_ids: list[Id] | None


class _Usage(TypedDict, total=False):
    prompt_tokens: Count | None
    completion_tokens: Count | None


class _Completion(TypedDict):
    choices: Annotated[list[_Choice], Field(min_length=1)]
    usage: NotRequired[_Usage | None]


class _Models(TypedDict):
    data: list[Any]


_COMPLETION = pydantic.TypeAdapter(_Completion)
_MODELS = pydantic.TypeAdapter(_Models)


def most_bytes(body: Mapping[str, Any] | None) -> int:
    """Return the bytes that the reply to a request may have; None: to one for the list of models."""
    if body is None:
        return LIST_BYTES
    echoed = 8 * _size(body["prompt"]) if body.get("echo") else 0
    return BASE_BYTES + echoed + TOKEN_BYTES * int(body["max_tokens"]) * (1 + int(body.get("logprobs", 0)))


def read_completion(data: bytes, body: Mapping[str, Any], vocabulary: int | None) -> dict[str, Any]:
    """Return a completion's one choice and its usage, checked against the request that it answers.

    Lone surrogates and bytes that are no UTF-8 become U+FFFD. Counts are brought into the range that the request
    allows: completion tokens up to those asked for, prompt tokens up to one a byte.

    Args:
        vocabulary: number of ids; None where no ids are exchanged.

    Raises:
        UnfitError: not JSON, wrong types, no choice, ids outside the vocabulary, log-probabilities that are not finite
            or not one list a token, or a text that the server says it broke off.
    """
    reply = _validated(_COMPLETION, data, "choices")
    choice = next((one for one in reply["choices"] if not one.get("index")), None)
    if choice is None:
        raise UnfitError("the answer has no choice of index 0, and one was asked for")
    _check_choice(choice, vocabulary)
    reply["choices"] = [choice]
    usage = reply.get("usage") or {}
    most = {"prompt_tokens": _size(body["prompt"]) + 64, "completion_tokens": int(body["max_tokens"])}
    reply["usage"] = {
        name: min(max(usage[name], 0), limit) for name, limit in most.items() if usage.get(name) is not None
    }
    return reply


def read_models(data: bytes) -> dict[str, dict[str, Any]]:
    """Return the entries of a list of models by their names; what is no name is left out. Raises UnfitError."""
    entries = [one for one in _validated(_MODELS, data, "data")["data"] if isinstance(one, dict)]
    return {one["id"]: one for one in entries if _is_name(one.get("id"))}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= LONGEST_NAME and name.isprintable()


def _check_choice(choice: dict[str, Any], vocabulary: int | None) -> None:
    if "text" not in choice and not choice.get("token_ids"):
        raise UnfitError("the answer's choice has no text")
    if choice.get("finish_reason") in ("abort", "error"):
        raise UnfitError(f"the server broke the text off (finish_reason {choice['finish_reason']})")
    ids = choice.get("token_ids")
    if ids and vocabulary is not None and max(ids) >= vocabulary:
        raise UnfitError(f"token id {max(ids)} lies outside the vocabulary of {vocabulary:,}")
    if ids == [] and choice.get("text"):
        raise UnfitError("a text without token ids")
    logprobs = choice.get("logprobs") or {}
    tokens, top = logprobs.get("tokens"), logprobs.get("top_logprobs")
    if tokens is not None and top is not None and len(tokens) != len(top):
        raise UnfitError(f"{len(tokens)} tokens have {len(top)} lists of log-probabilities")
    shown = logprobs.get("content") or tokens
    if ids and shown and len(ids) != len(shown):
        raise UnfitError(f"{len(ids)} token ids have log-probabilities for {len(shown)}")


def _validated(adapter: pydantic.TypeAdapter[Any], data: bytes, shape: str) -> Any:
    try:
        return adapter.validate_json(data)
    except pydantic.ValidationError as error:
        mended = _mended(data)
        if mended == data:
            raise _unfit(error, shape) from None
    try:
        return adapter.validate_json(mended)
    except pydantic.ValidationError as error:
        raise _unfit(error, shape) from None


def _unfit(error: pydantic.ValidationError, shape: str) -> UnfitError:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return UnfitError("the answer is not JSON, or cut off")
    place = ".".join(str(one) for one in first["loc"])
    if place in ("", shape):
        return UnfitError(f"the answer has no {shape!r}")
    return UnfitError(f"the answer's {place[:80]} is not as it should be: {first['msg']}")


# A JSON string's escapes: a backslash, a pair of surrogates, a surrogate alone.
_ESCAPES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _mended(data: bytes) -> bytes:
    """Return JSON in which lone surrogates and bytes that are no UTF-8 stand as U+FFFD."""
    text = data.decode("utf-8", errors="replace").encode()
    return _ESCAPES.sub(lambda found: rb"\ufffd" if found[1] else found[0], text)


def _size(prompt: str | Sequence[int]) -> int:
    return len(prompt.encode(errors="replace")) if isinstance(prompt, str) else len(prompt)


def seconds_of(retry_after: str) -> float:
    """Return the seconds that a ``Retry-After`` header asks for: a number or a date (RFC 9110, section 10.2.3).

    Between 0 and a day; 0 for what is neither.
    """
    try:
        seconds = float(retry_after)
    except ValueError:
        seconds = _seconds_until(retry_after)
    return min(max(seconds, 0.0), LONGEST_PAUSE) if not math.isnan(seconds) else 0.0


def _seconds_until(date: str) -> float:
    try:
        when = email.utils.parsedate_to_datetime(date)
        if when.tzinfo is None:  # "-0000": the time is UTC, the place unknown
            when = when.replace(tzinfo=datetime.timezone.utc)
        return (when - datetime.datetime.now(datetime.timezone.utc)).total_seconds()
    except (ValueError, TypeError, OverflowError, IndexError, AttributeError):
        return 0.0
