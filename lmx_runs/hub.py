"""Whether the Hugging Face Hub has an address here; where it has none, its library would try for minutes."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

LONGEST_WAIT = 2.0
"""Seconds after which a name service that does not answer tells nothing."""
_OFFLINE = "HF_HUB_OFFLINE"


def look_up() -> Callable[[], None]:
    """Begin to look up the Hub's address; call what is returned before the Hub's library is imported.

    That sets ``HF_HUB_OFFLINE=1`` where the name is unknown: what is cached is then taken at once, and what is not is
    missing at once. Nothing is asked where the user has set it, or where a proxy looks names up.
    """
    if os.environ.get(_OFFLINE) or any(os.environ.get(name) for name in _proxies()):
        return lambda: None
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname
    unknown = threading.Event()

    def ask() -> None:
        try:
            socket.getaddrinfo(host, 443)
        except OSError:
            unknown.set()

    asking = threading.Thread(target=ask, daemon=True)  # a name service that hangs must not keep the process
    asking.start()

    def conclude() -> None:
        asking.join(LONGEST_WAIT)
        if unknown.is_set():
            os.environ[_OFFLINE] = "1"

    return conclude


def _proxies() -> list[str]:
    return [name for scheme in ("https", "http", "all") for name in (f"{scheme}_proxy", f"{scheme}_proxy".upper())]
