"""A proxy that does to requests what networks and servers do to them: for tests of clients."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import http.client
import json
import random
import socket
import struct
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

# What happens to one request. "ok" passes it on; "reset" closes the connection; "hang" answers nothing for a second;
# "drip" sends the body, and "drip-header" the header, a byte at a time; "cut" breaks off in the middle of the body;
# "endless" and "bomb" (packed) send a body without end; the others are answers, or change one.
FAULTS = ("429", "429-date", "500", "503", "reset", "hang", "cut", "html", "shape", "empty")
WRONG: dict[str, bytes] = {
    "deep": b"[" * 200_000,
    "deep-choice": b'{"choices": ' + b"[" * 200_000,
    "number": b'{"choices": [{"text": "x"}], "usage": {"prompt_tokens": ' + b"9" * 6000 + b"}}",
    "list": b"[1, 2]",
    "null": b"null",
    "text-type": b'{"choices": [{"text": 3}]}',
    "choice-type": b'{"choices": ["x"]}',
    "usage-type": b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": "many"}}',
    "usage-bool": b'{"choices": [{"text": "x"}], "usage": {"completion_tokens": true}}',
    "nan": b'{"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "top_logprobs": [{"x": NaN}]}}]}',
    "infinite": b'{"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "top_logprobs": [{"x": -1e999}]}}]}',
    "positive": b'{"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "top_logprobs": [{"x": 3.0}]}}]}',
    "lengths": b'{"choices": [{"text": "x", "logprobs": {"tokens": ["x"], "top_logprobs": [{"x": -1}, {"x": -1}]}}]}',
    "ids-type": b'{"choices": [{"text": "x", "token_ids": ["x"]}]}',
    "ids-negative": b'{"choices": [{"text": "x", "token_ids": [-1]}]}',
    "ids-range": b'{"choices": [{"text": "x", "token_ids": [999999999]}]}',
    "ids-none": b'{"choices": [{"text": "x", "token_ids": []}]}',
    "aborted": b'{"choices": [{"text": "x", "finish_reason": "abort"}]}',
    "no-text": b'{"choices": [{}]}',
    "chat": b'{"choices": [{"index": 0, "message": {"role": "assistant", "content": "x"}}]}',
    "other-index": b'{"choices": [{"index": 1, "text": "x"}]}',
    "binary": bytes(range(256)) * 8,
    "nothing": b"",
}
NEW_FAULTS = (
    *WRONG,
    "drip",
    "drip-header",
    "endless",
    "bomb",
    "brotli",
    "retry-garbage",
    "retry-negative",
    "retry-nan",
)
RETRY_AFTER = {"retry-garbage": "soon", "retry-negative": "-5", "retry-nan": "nan"}
# A reply is still right with these: what is odd in it is mended.
MENDED = ("counts", "surrogates", "packed")
CANNED: dict[str, object] = {
    "choices": [{"text": " and so on", "finish_reason": "length"}],
    "usage": {"completion_tokens": 3},
}


class FaultProxy:
    """Passes requests on to `upstream`, or answers them itself without one, with faults in between.

    Args:
        upstream: a server's URL up to ``/v1``.
        faults: one a request, in their order; when they are used up, all is well.
        retry_after: what a "429" asks for, in seconds.
    """

    def __init__(
        self, upstream: str | None = None, faults: Iterable[str] = (), retry_after: str = "0", port: int = 0
    ) -> None:
        self.upstream, self.retry_after = upstream, retry_after
        self.faults: Iterator[str] = iter(faults)
        self.dead = False
        self.seen: list[str] = []
        self.bodies: list[dict[str, object]] = []
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", port), type("Handler", (_Handler,), {"proxy": self}))
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def next_fault(self) -> str:
        with self._lock:
            self.seen.append(next(self.faults, "ok"))
            return self.seen[-1]

    def stop(self) -> None:
        """Die, as a process does: nobody listens any more, and what is under way is reset."""
        self.dead = True
        self._http.shutdown()
        self._http.server_close()


def at_random(seed: int, rate: float, quiet: int = 0, faults: Sequence[str] = FAULTS) -> Iterator[str]:
    """Yield faults without end: each request is hit with probability `rate`, after `quiet` that are not."""
    rng = random.Random(seed)
    yield from ["ok"] * quiet
    while True:
        yield rng.choice(faults) if rng.random() < rate else "ok"


def _odd(answer: bytes, fault: str) -> bytes:
    """Return a reply with counts that cannot be, or with a lone surrogate where nobody looks."""
    data = json.loads(answer)
    if fault == "counts" and data.get("usage"):
        data["usage"] |= {"prompt_tokens": -3, "completion_tokens": 10**15}
    if fault == "surrogates":
        data["note"] = "\ud800 \udfff"
    return json.dumps(data).encode()


def free_port() -> int:
    """Return a port on which nothing listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class _Handler(BaseHTTPRequestHandler):
    """Answers one request, with what its `proxy` wants to happen to it."""

    proxy: FaultProxy

    def do_GET(self) -> None:
        self._handle(None)

    def do_POST(self) -> None:
        self._handle(self.rfile.read(int(self.headers["Content-Length"])))

    def _handle(self, body: bytes | None) -> None:
        fault = self.proxy.next_fault()
        if body:
            self.proxy.bodies.append(json.loads(body))
        if fault == "reset":
            self._reset()
        elif fault == "hang":
            time.sleep(1.0)
            self.close_connection = True
        elif fault in ("429", "429-date"):
            soon = email.utils.formatdate(time.time() + 0.2, usegmt=True)
            self._send(429, b'{"error": {"message": "slow down"}}', soon if "date" in fault else self.proxy.retry_after)
        elif fault.isdigit():
            self._send(int(fault), b'{"error": {"message": "something broke"}}')
        elif fault in RETRY_AFTER:
            self._send(429, b'{"error": {"message": "slow down"}}', RETRY_AFTER[fault])
        elif fault in WRONG:
            self._send(200, WRONG[fault])
        elif fault in ("endless", "bomb"):
            self._endless(packed=fault == "bomb")
        elif fault in ("drip", "drip-header"):
            self._drip(header=fault == "drip-header")
        elif fault == "brotli":
            self._send(200, b"x", coding="br")
        elif fault == "html":
            self._send(200, b"<html>Bad gateway</html>")
        elif fault == "shape":
            self._send(200, b'{"ok": true}')
        elif fault == "empty":
            self._send(200, b'{"choices": []}')
        else:
            status, answer = self._pass_on(body)
            if fault == "packed":
                self._send(status, gzip.compress(answer), coding="gzip")
                return
            if fault in ("counts", "surrogates"):
                answer = _odd(answer, fault)
            self._send(status, answer, cut=len(answer) // 2 if fault == "cut" else 0)

    def _endless(self, packed: bool) -> None:
        """Send up to 2 GB."""
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        chunk = b" " * (1 << 20)
        packer = zlib.compressobj(9, wbits=31)
        with contextlib.suppress(OSError):  # the client has had enough
            for _ in range(2048):
                self.wfile.write(packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH) if packed else chunk)
        self.close_connection = True

    def _drip(self, header: bool) -> None:
        data = b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 100_000
        if not header:
            self.send_response(200)
            self.send_header("Content-Length", "100000")
            self.end_headers()
            data = b" " * 100_000
        with contextlib.suppress(OSError):
            for byte in data[:600]:
                self.wfile.write(bytes([byte]))
                time.sleep(0.02)
        self.close_connection = True

    def _pass_on(self, body: bytes | None) -> tuple[int, bytes]:
        if self.proxy.upstream is None:
            return 200, json.dumps(CANNED).encode()
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=60)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        return answer.status, answer.read()

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def _send(
        self, status: int, data: bytes, retry_after: str | None = None, cut: int = 0, coding: str | None = None
    ) -> None:
        if self.proxy.dead:
            self._reset()
            return
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        if coding is not None:
            self.send_header("Content-Encoding", coding)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        with contextlib.suppress(ConnectionError):  # the client may have given up
            self.end_headers()
            self.wfile.write(data[: len(data) - cut])
        self.close_connection = True

    def log_message(self, *args: object) -> None:
        pass
