"""What a secret looks like, by the name of a setting and by its shape: refused before it is written, or left out.

Secrets come from the environment only, where nothing of lmx writes them down.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from lmx_files.errors import UserError

REDACTED = "[redacted]"
MEND = "export it as an environment variable instead (OPENAI_API_KEY, HF_TOKEN, WANDB_API_KEY, ...)"


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_ALWAYS = _words(
    "auth authn authorization pat bearer credential credentials cred creds password passwords passwd passphrase pwd pw "
    "secret secrets cookie cookies jwt oauth passcode otp totp keytab"
)
_COMPOUND = re.compile(
    r"\w*(?:passw(?:or)?[dt]|secret(?!ar)|credential)\w*|(?:api|auth|access|private|ssh|hf|hub|my|user|client|bearer|session|refresh|"
    r"server|service|github|openai|wandb|login|proxy)(?:key|token|pwd|pass)s?"
)
# `token` and `key` mean many things to a model. Beside these words they are no secret.
_OF_TEXTS = _words(
    "eos bos pad unk sep mask cls think end stop start begin begins special first last next max min num number "
    "prefix suffix image audio video vision per ids index indices length len limit budget size "
    "count class mode strategy classification fallback bad good boundary level kind delimiter separator newline "
    "reasoning by eot eom eoh tool"
)
_OF_TABLES = _words(
    "doc docs answer sort label field question target cache dict json group prompt foreign primary unique partition "
    "public num value values dim dims head heads size name column input output choice choices item text image gold "
    "fewshot context response metric kv keep pattern message messages lora"
)
_KEY_SET = _words("access api auth authn hf hub bearer refresh session secret github gitlab wandb openai")
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_NO_SECRET = frozenset({"", "true", "false", "none", "null", "yes", "no", "0", "1", "...", REDACTED})
_NUMBER = re.compile(r"[-+]?[\d.]+(?:[eE][-+]?\d+)?")
_SPECIAL_TOKEN = re.compile(r"<.*>|\[[A-Z_ ]+\]", re.DOTALL)

# `pass` is a word of counting too, as in pass@k.
_COUNTED = _words("at first k max min n num one per second two")

# user:password@host in an address; a port and a path before an @ are none. Repeats are bounded here and below, so that
# the time grows with the length of a text and not with its square.
_ADDRESS = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,20}://)"
    r"(?:[^\s/@:?#]{0,80}:(?!\d+(?:[/?#]|$))[^\s@]{1,200}|[^\s/@:?#]{1,200})@(?=[\w\[])"
    r"|(?<![\w/:.@-])[\w.+-]{1,80}:[^\s/@:]{3,200}@(?=(?:[\w-]+\.)+[A-Za-z]{2,}\b|localhost\b|\d+\.\d+\.\d+\.\d+|"
    r"[\w-]+:\d{2,5}\b)"
)
# What is no word: letters in both cases after the first, digits, or base64's padding.
_NO_WORD = r"(?=[A-Za-z._~+/-]*[0-9=]|[A-Za-z._~+/-]+[A-Z])"
_SHAPES = re.compile(
    r"(?<![A-Za-z0-9])(?:hf_[A-Za-z0-9]{12,}|api_org_[A-Za-z0-9]{12,}|"
    r"sk-(?:(?:admin|ant|live|lf|or|proj|svcacct|test)-)?(?:[A-Za-z0-9_]{12,200}|(?=[A-Za-z_-]{0,80}\d)[\w-]{12,200})|"
    r"gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|"
    r"glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{10,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w-]{20,500}|"
    r"(?:gsk|r8)_[A-Za-z0-9]{30,}|(?:nvapi|pplx|xai)-[\w-]{30,}|dapi[0-9a-f]{32}|SG\.[\w-]{16,}\.[\w-]{16,}|"
    r"tskey-\w+-[\w-]{8,}|eyJ[\w-]{10,}\.[\w-]{10,}\.[\w-]*|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,})"
    rf"|\b(?:Bearer\s+|(?i:bearer|basic)\s+{_NO_WORD})[A-Za-z0-9._~+/=-]{{8,}}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*"
    r"|(?<=hooks\.slack\.com/services/)[\w/]{20,}|(?<=/api/webhooks/)\d+/[\w-]{20,}|(?<=[?&]sig=)[^\s&\"']+"
)
# name=value, and "name": value as in JSON, YAML flow or a header; a bare colon is left to prose.
_PAIR = re.compile(
    r"(?P<name>[\"']\w[\w.-]{0,80}[\"']\s{0,9}[:=]|\b[A-Za-z][\w.-]{0,80}\s{0,9}=|"
    r"(?<![\w\"'-])(?i:x-[\w-]{1,80}|api-?key|(?:proxy-)?authorization|(?:set-)?cookie):)\s*"
    r"(?!did you mean)(?P<value>\[redacted\]|\"[^\"]*\"|'[^']*'|(?<=ookie:)[^\n\"']+|(?<=ookie: )[^\n\"']+|"
    r"(?:(?i:apikey|basic|bearer|digest|key|negotiate|token)\s+)?[^\s,;&\"'}\])]+)"
)
_FLAG = re.compile(r"(?P<name>(?<!\S)--?[A-Za-z][\w-]*\s+)(?P<value>[^\s-]\S*)")


def is_secret_name(name: object) -> bool:
    """Whether a setting, variable, header or parameter of this name holds a secret.

    >>> is_secret_name("hf_token"), is_secret_name("X-Api-Key"), is_secret_name("eos_token")
    (True, True, False)
    """
    words = [word.lower() for word in _WORDS.findall(str(name))]
    if words[-1:] in (["env"], ["file"], ["path"]):  # it names where the secret is
        return False
    found = set(words)
    if found & _ALWAYS or any(map(_COMPOUND.fullmatch, found)) or (words[-1:] == ["pass"] and not found & _COUNTED):
        return True
    if "token" in found and not found & _OF_TEXTS:
        return True
    if "key" in found and not found & _OF_TABLES:
        return True
    return bool(found & {"tokens", "keys"} and found & _KEY_SET)


def is_secret(name: object, value: Any) -> bool:
    """Whether `value` under this name is a secret; ``token: true`` only says that there is one."""
    if isinstance(value, (bool, type(None), Mapping, list, tuple, set)):
        return False
    text = str(value).strip()
    if has_secret_shape(text):
        return True
    if text.lower() in _NO_SECRET or not is_secret_name(name) or _SPECIAL_TOKEN.fullmatch(text):
        return False
    counts = str(name) in ("key", "token") or re.search(r"(?i)(^|_)id(_|$)", str(name))
    return not (counts and _NUMBER.fullmatch(text))


def has_secret_shape(text: str) -> bool:
    """Whether a text holds what is a secret by its form: a known kind of key, or a password in an address."""
    return bool(_ADDRESS.search(text) or _SHAPES.search(text))


def find(value: Any, name: str = "") -> str | None:
    """Return where a secret stands, ``gen_kwargs.api_key`` for example, looking into everything nested; else None."""
    return next(_found(value, name, name, 0), None)


def refuse(value: Any, name: str, mend: str = MEND) -> None:
    """Raise a `UserError` that names where a secret stands, and not the secret; for what is written into files."""
    where = find(value, name)
    if where is not None:
        raise UserError(f"{where} looks like a secret, and it would be written into files: {mend}")


def redact(value: Any, name: object = "") -> Any:
    """Return data in which every secret is replaced; keys and all else stay."""
    if isinstance(value, Mapping):
        hidden = is_secret_name(name) and name != ""
        return {
            key: REDACTED if hidden and _is_plain_secret(item) else redact(item, key) for key, item in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [redact(item, name) for item in value]
    if is_secret(name, value) and (not isinstance(value, str) or is_secret_name(name)):
        return REDACTED
    return redact_text(value) if isinstance(value, str) else value


def redact_text(text: str) -> str:
    """Return a text without the secrets in it: by shape, as ``name=value``, and those of the environment."""
    for secret in _of_environment():
        if secret in text:
            text = text.replace(secret, REDACTED)
    text = _ADDRESS.sub(lambda match: f"{match['scheme'] or ''}{REDACTED}@", text)
    text = _SHAPES.sub(REDACTED, text)
    for match in reversed(list(_secret_pairs(text))):
        text = _without(match, text)
    return _FLAG.sub(lambda match: _without(match) if _is_pair_secret(match) else match[0], text)


def key_from(variable: str) -> str:
    """Return the key in an environment variable, without blanks around it; empty if there is none.

    Raises:
        UserError: it holds a character that no header takes; the key is not repeated.
    """
    key = os.environ.get(variable, "").strip()
    if not (key.isascii() and key.isprintable()):
        raise UserError(
            f"{variable} holds a line break, a control character or a letter that no key has (it is not shown here): "
            f"export {variable} again, on one line"
        )
    return key


def _is_plain_secret(value: Any) -> bool:
    return isinstance(value, (str, int, float)) and not isinstance(value, bool) and str(value).lower() not in _NO_SECRET


def _found(value: Any, name: str, where: str, depth: int) -> Iterator[str]:
    if depth > 50:
        raise UserError(f"{where.partition('.')[0]} is nested too deeply: more than 50 levels")
    if isinstance(value, Mapping):
        hidden = depth > 0 and is_secret_name(name)
        for key, item in value.items():
            place = f"{where}.{key}" if where else str(key)
            if hidden and _is_plain_secret(item):
                yield where
            if isinstance(key, str) and has_secret_shape(key):
                yield f"a name in {where}" if where else "a name"
            yield from _found(item, str(key), place, depth + 1)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            yield from _found(item, name, where, depth + 1)
    elif is_secret(name, value):
        yield where
    elif isinstance(value, str):
        yield from _in_text(value, where, depth)


def _in_text(text: str, where: str, depth: int) -> Iterator[str]:
    """Look into ``a=1,b=2`` and into JSON that is given as text."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            inner = json.loads(text)
        except (ValueError, RecursionError):
            inner = None
        if isinstance(inner, (dict, list)):
            yield from _found(inner, "", where, depth + 1)
            return
    for match in _secret_pairs(text):
        name = _name_of(match)
        yield f"{where}.{name}" if where else name


def _secret_pairs(text: str) -> Iterator[re.Match[str]]:
    """Find pairs whose value is a secret; what is none may hold one, as ``url=https://host/?token=...`` does."""
    at = 0
    while match := _PAIR.search(text, at):
        secret = _is_pair_secret(match)
        at = match.end() if secret else match.start("value")
        if secret:
            yield match


def _is_pair_secret(match: re.Match[str]) -> bool:
    name = _name_of(match)
    return is_secret_name(name) and is_secret(name, match["value"].strip("\"'"))


def _name_of(match: re.Match[str]) -> str:
    return match["name"].strip(" \t=:\"'-")


def _without(match: re.Match[str], text: str | None = None) -> str:
    """Return the matched text, or all of `text` that it is in, without the value."""
    value = match["value"]
    quote = value[0] if value[0] in "\"'" else ""
    start, end = match.span("value")
    offset = match.start() if text is None else 0
    text = match[0] if text is None else text
    return f"{text[: start - offset]}{quote}{REDACTED}{quote}{text[end - offset :]}"


def _of_environment() -> list[str]:
    """Return the secrets of this process's environment, the longest first; short ones may be any word."""
    found = {value.strip() for name, value in os.environ.items() if is_secret_name(name)}
    return sorted((value for value in found if len(value) >= 8 and not os.path.exists(value)), key=len, reverse=True)
