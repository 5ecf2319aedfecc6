"""Finding out what a server can do beyond text in, text out."""

from __future__ import annotations

import logging
from typing import Any

from lmx_files.errors import UserError
from lmx_models.core.pieces import tells_text
from lmx_models.servers.endpoint import Endpoint, RefusedError
from lmx_models.servers.remote_model import Features, ids_of, logprobs_of

log = logging.getLogger(__name__)

# Different tokenizers hardly ever need the same number of tokens for this, nor give it back from the same ids.
PROBE = "It's 1 234.5 km\n\n\tdef f(x): return x**2  # caf\u00e9 \u4f60\u597d <END> antidisestablishmentarianism"
TOP = (20, 5)  # vLLM gives 20 log-probabilities at most, OpenAI's own servers 5


def probe(endpoint: Endpoint, tokenizer: Any = None) -> Features:
    """Find out what a server can do, with a handful of requests for one token.

    Args:
        tokenizer: whose ids are to be exchanged; None: only text is.

    Raises:
        UserError: the server cannot be reached, or has no such model.
    """
    endpoint.find_model()
    plain = {"prompt": "Hello", "max_tokens": 1, "temperature": 0}
    endpoint.complete(plain, starting=True)
    top, pieces = 0, True
    for n in TOP:
        reply = _try(endpoint, {**plain, "logprobs": n})
        shown, tops = logprobs_of(reply["choices"][0]) if reply is not None else (None, None)
        if tops is not None:
            top, pieces = n, tells_text(shown)
            break
    if tokenizer is None:
        return Features(top=top, pieces=pieces)
    ids = list(tokenizer.encode(PROBE, add_special_tokens=False))
    ids_in = _same_ids(endpoint, tokenizer, ids)
    reply = _try(endpoint, {**plain, "prompt": ids, "return_token_ids": True}) if ids_in else None
    return Features(ids_in, reply is not None and ids_of(reply["choices"][0]) is not None, top, pieces)


def _same_ids(endpoint: Endpoint, tokenizer: Any, ids: list[int]) -> bool:
    """Tell whether the server takes ids and means the same by them: by its echo of them, or by how many they are."""
    body = {"prompt": ids, "max_tokens": 1, "temperature": 0}
    reply = _try(endpoint, {**body, "echo": True})
    if reply is not None and str(reply["choices"][0].get("text", "")).startswith(tokenizer.decode(ids)):
        return True
    reply, as_text = _try(endpoint, body), _try(endpoint, {**body, "prompt": PROBE})
    if reply is None or as_text is None:
        return False
    counts = [(one.get("usage") or {}).get("prompt_tokens") for one in (reply, as_text)]
    special = len(tokenizer.encode(PROBE)) - len(ids)
    return counts == [len(ids), len(ids) + special]


def _try(endpoint: Endpoint, body: dict[str, Any]) -> dict[str, Any] | None:
    """Ask for what not every server can do; None if this one cannot."""
    try:
        return endpoint.complete(body, starting=True)[0]
    except RefusedError:
        return None
    except UserError as error:  # some servers answer what they do not know with HTTP 500
        log.warning("%s (asked with %s): taken as something that the server cannot do", error, ", ".join(body))
        return None
