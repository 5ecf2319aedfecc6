"""Names of models on servers: ``openai:URL#MODEL``."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from lmx_files.errors import UserError

PREFIX = "openai:"
EXAMPLE = "openai:http://localhost:8001/v1#MODEL"


def is_endpoint(name: object) -> bool:
    """Tell whether a model's name stands for a server."""
    return isinstance(name, Address) or (isinstance(name, str) and name.startswith(PREFIX))


@dataclass(frozen=True)
class Address:
    """Where a model is served: the server's URL up to ``/v1``, and the model's name there (None: its only one)."""

    url: str
    model: str | None

    def __str__(self) -> str:
        return f"{PREFIX}{self.url}" + (f"#{self.model}" if self.model else "")

    @classmethod
    def parse(cls, name: str) -> Address:
        """Read ``openai:URL#MODEL``. An address that carries a secret is refused without being repeated."""
        url, _, model = name.removeprefix(PREFIX).partition("#")
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host, parts = None, urlsplit("")
        if "@" in url or "?" in url:
            raise UserError(
                f"an endpoint's address holds a user name, a password or a query ({host or 'unreadable'}): addresses "
                "are written into the results. Leave it out, and export the key as OPENAI_API_KEY (or key_env=NAME)"
            )
        if parts.scheme not in ("http", "https") or not host:
            raise UserError(f"{name!r} is not an endpoint: write {EXAMPLE}")
        return cls(url.rstrip("/"), model or None)
