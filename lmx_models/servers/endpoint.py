"""A client for one OpenAI-compatible server: concurrent, retried with back-off, and silent about its key."""

from __future__ import annotations

import json
import logging
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity

from lmx_files.errors import UserError
from lmx_files.safety import secrets, terminal
from lmx_models.servers.address import PREFIX, Address
from lmx_models.servers.replies import ERROR_BYTES, UnfitError, most_bytes, read_completion, read_models, seconds_of
from lmx_models.servers.wire import Answer, TooLongError, Wire

log = logging.getLogger(__name__)

# Seconds: the first pause before trying again (doubled each time) and the longest one.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
# Seconds for which to look for a server when a run starts, and for its list of models; later, `patience` counts.
START_PATIENCE, LIST_PATIENCE = 20.0, 3.0
MOST_CONCURRENT = 1024
MOST_CONTEXT = 1 << 30  # tokens
LONGEST_TIMEOUT = 7 * 86_400.0  # seconds; sockets take no endless ones


@dataclass(frozen=True)
class Access:
    """How a server is talked to; nothing that a text depends on.

    key_env: the environment variable that holds the key. max_concurrent: most requests at once. patience: seconds for
    which a failing request is tried again. timeout: seconds after which a request that is not answered whole counts as
    failed.
    """

    key_env: str = "OPENAI_API_KEY"
    max_concurrent: int = 8
    patience: float = 300.0
    timeout: float = 120.0

    def __post_init__(self) -> None:
        if self.max_concurrent < 1:
            raise UserError(f"max_concurrent={self.max_concurrent} must be a whole number of at least 1")
        if self.max_concurrent > MOST_CONCURRENT:
            raise UserError(f"max_concurrent={self.max_concurrent} is too many: at most {MOST_CONCURRENT}")
        if not self.patience >= 0 or not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise UserError(
                f"endpoint_patience={self.patience:g} must be at least 0 seconds, endpoint_timeout={self.timeout:g} "
                f"more than 0 and at most {LONGEST_TIMEOUT:g}"
            )


class RefusedError(UserError):
    """The server understood the request and refused it: asking again does not help."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _FailedError(Exception):
    """A failure that may pass: worth another try after `pause` seconds, if the server named some."""

    def __init__(self, what: str, pause: float = 0.0, refused: bool = False) -> None:
        super().__init__(what)
        self.pause, self.refused = pause, refused


class Endpoint:
    """One server, from any number of threads.

    The key is read from the environment, sent in the request's header and kept nowhere else.

    Attributes:
        kept: said when a request is given up: what is kept of the run, and how to go on.
    """

    def __init__(self, address: Address, access: Access) -> None:
        self.address, self.access = address, access
        self.kept = "finished texts are kept only with a journal (lmx run, or journal=DIR)"
        self._key = secrets.key_from(access.key_env)
        try:
            httpx.URL(address.url)
        except httpx.InvalidURL as error:
            raise UserError(f"{address.url!r} is not an address: {error}") from None
        local = urlsplit(address.url).hostname in ("localhost", "127.0.0.1", "::1")
        http = httpx.Client(
            timeout=httpx.Timeout(access.timeout, connect=min(access.timeout, 10.0)),
            limits=httpx.Limits(max_connections=access.max_concurrent),
            trust_env=not local,  # a proxy knows nothing of this machine's servers
            auth=self._authorized if self._key else None,
        )
        self._wire = Wire(http, access.timeout)
        self.model = address.model or ""

    def __repr__(self) -> str:
        return f"Endpoint({self.address})"

    def find_model(self) -> None:
        """Settle which model is asked for where the address names none: the only one that the server lists."""
        if not self.model:
            names = self.models()
            if len(names) != 1:
                raise UserError(
                    f"{self.address} names no model: {_listed(names)}. Write {PREFIX}{self.address.url}#MODEL"
                )
            self.model = names[0]

    def models(self) -> list[str]:
        """Return the models that the server lists; empty if it lists none."""
        return list(self._listing())

    def context(self) -> int | None:
        """Return the tokens that the model can hold, where the server's list says so (vLLM's does)."""
        length = self._listing().get(self.model, {}).get("max_model_len")
        return length if type(length) is int and 0 < length <= MOST_CONTEXT else None

    def _listing(self) -> dict[str, dict[str, Any]]:
        try:
            listing, _, _ = self._ask("GET", "/models", None, min(self.access.patience, LIST_PATIENCE), read_models)
        except UserError:  # not every server keeps a list
            return {}
        return listing

    def complete(
        self,
        body: dict[str, Any],
        starting: bool = False,
        abandoned: threading.Event | None = None,
        vocabulary: int | None = None,
    ) -> tuple[dict[str, Any], float, int]:
        """Ask for one completion.

        Args:
            body: the request, without the model's name.
            starting: the run has only begun: give up sooner.
            abandoned: when set, nothing is tried again.
            vocabulary: number of ids that the server may return.

        Returns:
            The server's answer (``choices`` and ``usage``, see `read_completion`), seconds, and the number of attempts.

        Raises:
            RefusedError: wrong model, key or request. UserError: no answer for `Access.patience` seconds.
        """
        patience = min(self.access.patience, START_PATIENCE) if starting else self.access.patience
        body = {"model": self.model, **body}

        def read(data: bytes) -> dict[str, Any]:
            return read_completion(data, body, vocabulary)

        return self._ask("POST", "/completions", body, patience, read, abandoned)

    def _ask(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None,
        patience: float,
        read: Callable[[bytes], dict[str, Any]],
        abandoned: threading.Event | None = None,
    ) -> tuple[dict[str, Any], float, int]:
        started = time.monotonic()
        abandoned = abandoned or threading.Event()
        backoff = tenacity.wait_random_exponential(FIRST_PAUSE, LONGEST_PAUSE)

        def pause(state: tenacity.RetryCallState) -> float:
            failure = state.outcome.exception() if state.outcome else None
            return max(backoff(state), getattr(failure, "pause", 0.0))

        def tell(state: tenacity.RetryCallState) -> None:
            if state.attempt_number in (1, 5) or state.attempt_number % 10 == 0:
                failure = state.outcome.exception() if state.outcome else None
                log.warning("%s: %s; trying again (attempt %d)", self.address, failure, state.attempt_number + 1)

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_FailedError),
            wait=pause,
            stop=tenacity.stop_before_delay(patience) | tenacity.stop_when_event_set(abandoned),
            sleep=tenacity.sleep_using_event(abandoned),
            before_sleep=tell,
            reraise=True,
        )
        attempts = 0

        def attempt() -> dict[str, Any]:
            nonlocal attempts
            attempts += 1
            return self._once(method, path, body, read)

        try:
            answer = retrying(attempt)
        except _FailedError as failure:
            raise UserError(self._gave_up(failure, time.monotonic() - started)) from None
        return answer, time.monotonic() - started, attempts

    def _once(
        self, method: str, path: str, body: dict[str, Any] | None, read: Callable[[bytes], dict[str, Any]]
    ) -> dict[str, Any]:
        # Errors are raised "from None": an exception of the library may hold the request, and so the key.
        try:
            answer = self._wire.fetch(method, self.address.url + path, body, most_bytes(body), ERROR_BYTES)
        except httpx.ConnectError as error:
            raise _FailedError(f"cannot connect ({self._clean(str(error))})", refused=True) from None
        except (httpx.HTTPError, httpx.InvalidURL, zlib.error, TooLongError) as error:
            raise _FailedError(f"{type(error).__name__} ({self._clean(str(error))})") from None
        if answer.status in (408, 409, 425, 429) or answer.status >= 500:
            raise _FailedError(f"HTTP {answer.status} ({self._said(answer)})", seconds_of(answer.retry_after))
        if answer.status >= 300:
            raise self._refused(path, answer.status, self._said(answer))
        if answer.status in (204, 205, 206):  # without content, or with a part of it, although all was asked for
            raise _FailedError(f"HTTP {answer.status}")
        try:
            return read(answer.data)
        except UnfitError as error:
            said = answer.data[:ERROR_BYTES].decode(errors="replace")
            raise _FailedError(f"{self._clean(str(error))} ({self._clean(said)})") from None

    def _refused(self, path: str, status: int, said: str) -> RefusedError:
        if status in (401, 403):
            how = "the key in it is not taken" if self._key else "it is not set"
            mend = f"this server wants a key, taken from {self.access.key_env}: {how}. export {self.access.key_env}=..."
            return RefusedError(
                f"{self.address}: HTTP {status} ({said}): {mend} (or name another variable: key_env=NAME)", status
            )
        if path == "/models":
            return RefusedError(f"{self.address}: HTTP {status} ({said})", status)
        if status == 404 or any(f"{quote}{self.model}{quote}" in said for quote in "'\"`"):
            names = self.models()
            if self.model not in names:
                mend = f"{_listed(names)}. Write {PREFIX}{self.address.url}#MODEL"
                return RefusedError(f"{self.address}: HTTP {status} ({said}): {mend}", status)
            if status == 404:
                mend = "it has the model but no /completions, without which a text cannot be gone on with in the middle"
                return RefusedError(f"{self.address}: HTTP 404 ({said}): {mend}", status)
        return RefusedError(f"{self.address} refuses the request: HTTP {status} ({said})", status)

    def _gave_up(self, failure: _FailedError, seconds: float) -> str:
        port = urlsplit(self.address.url).port or 80
        start = f"Start it, for example: vllm serve {self.model or 'MODEL'} --port {port}. "
        return (
            f"{self.address} did not answer for {seconds:.0f} s: {failure}. {start if failure.refused else ''}"
            f"{self.kept[:1].upper()}{self.kept[1:]}"
        )

    def _authorized(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def _said(self, answer: Answer) -> str:
        """Return the message in an error's body, in one short line and without the key."""
        text = answer.data.decode(errors="replace")
        try:
            said = json.loads(text)
            for name in ("error", "detail", "message"):
                said = said.get(name, said) if isinstance(said, dict) else said
            said = said if isinstance(said, str) else json.dumps(said)
        except (ValueError, RecursionError):
            said = text
        return self._clean(said) or self._clean(answer.reason)

    def _clean(self, text: str) -> str:
        """Return one short line that steers no terminal, without the key."""
        if self._key and len(text) >= ERROR_BYTES:  # read only in part: it may end within the key
            text = text[: -len(self._key)]
        text = " ".join(terminal.plain(text).split())
        if self._key:
            text = text.replace(self._key, "[key]")
        return text[:200]


def _listed(names: list[str]) -> str:
    return f"the server lists {', '.join(names[:20])[:1000]}" if names else "the server lists no models"
