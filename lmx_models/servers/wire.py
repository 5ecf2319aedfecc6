"""Answers of servers within limits of size and time, which httpx alone does not set."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

GZIP = 47  # zlib's window bits: 15, and gzip's or zlib's header told apart


class TooLongError(Exception):
    """More bytes than the answer can need."""


@dataclass(frozen=True)
class Answer:
    """What a server answered: `data` holds the body after decompression."""

    status: int
    reason: str
    retry_after: str
    data: bytes


class Wire:
    """An HTTP client whose requests end by a deadline and whose answers have a largest size; from any thread.

    Args:
        client: its transports are made to keep the deadline, from the first byte sent to the last one read.
        timeout: seconds that one request may take.
    """

    def __init__(self, client: httpx.Client, timeout: float) -> None:
        self._client, self._timeout = client, timeout
        self._deadline = _Deadline()
        client.headers["Accept-Encoding"] = "gzip"
        # Not `client.build_request`, which merges addresses, headers and cookies anew each time.
        self._headers = client.headers.copy()
        self._extensions = {"timeout": client.timeout.as_dict()}
        self._addresses: dict[str, httpx.URL] = {}
        # httpx has time-outs for each read only, so a body that drips would go on for ever; its pools take a network
        # backend, but only httpcore's constructor does so in public.
        for transport in (client._transport, *client._mounts.values()):
            pool: Any = getattr(transport, "_pool", None)
            if pool is not None:
                pool._network_backend = _Backend(pool._network_backend, self._deadline)

    def fetch(self, method: str, url: str, body: dict[str, Any] | None, most: int, most_of_error: int) -> Answer:
        """Send a request and read the answer.

        Args:
            most: bytes that an answer may have, before and after decompression.
            most_of_error: bytes that are read of an answer with an error's status.

        Raises:
            TooLongError: the answer is longer. httpx.HTTPError, zlib.error: it did not come, or not whole.
        """
        self._deadline.start(self._timeout)
        address = self._addresses.get(url) or self._addresses.setdefault(url, httpx.URL(url))
        request = httpx.Request(method, address, headers=self._headers, json=body, extensions=self._extensions.copy())
        response = self._client.send(request, stream=True)
        try:
            failed = response.status_code >= 300
            data = _content(response, most_of_error if failed else most, failed)
            retry_after = response.headers.get("retry-after", "")
            return Answer(response.status_code, response.reason_phrase, retry_after, data)
        finally:
            response.close()


def _content(response: httpx.Response, most: int, cut: bool) -> bytes:
    """Return a body of at most `most` bytes; `cut`: the rest of a longer one is left unread."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):  # gzip alone is asked for
        raise zlib.error(f"the answer is compressed as {coding[:40]!r}, which was not asked for")
    inflater = zlib.decompressobj(GZIP) if coding not in ("", "identity") else None
    parts: list[bytes] = []
    size = read = 0
    for chunk in response.iter_raw():
        read += len(chunk)
        part = inflater.decompress(chunk, most - size + 1) if inflater else chunk
        parts.append(part)
        size += len(part)
        if max(size, read) > most:
            if cut:
                break
            raise TooLongError(f"the answer is longer than {most:,} bytes")
    return b"".join(parts)[:most]


class _Deadline(threading.local):
    """When the request of this thread must have ended."""

    at = float("inf")
    seconds = 0.0

    def start(self, seconds: float) -> None:
        self.at, self.seconds = time.monotonic() + seconds, seconds

    def left(self, timeout: float | None, error: type[Exception]) -> float:
        """Return the seconds that one operation may take."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise error(f"the answer was not whole after {self.seconds:g} s")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, deadline: _Deadline) -> None:
        self._inner, self._deadline = inner, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        left = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.connect_tcp(host, port, left, local_address, socket_options), self._deadline)

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.connect_unix_socket(path, timeout, socket_options), self._deadline)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)
