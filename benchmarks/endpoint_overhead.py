"""Requests a second through the client of servers, of this code and of another checkout's, over one local server.

    python benchmarks/endpoint_overhead.py --other FOLDER [--requests 2000] [--rounds 5]

The server answers at once, so that what is measured is the client: the request, the checks of the reply and reading
it. FOLDER is a checkout of another commit (``git worktree add FOLDER COMMIT``). The two take turns, and the median of
the rounds' ratios is printed: above 1, this code is faster.
"""

from __future__ import annotations

import argparse
import json
import os
import socketserver
import statistics
import subprocess
import sys
import threading
from pathlib import Path

CLIENT = """
import sys, time
from lmx_models.core.base import Generate
from lmx_models.servers.address import Address
from lmx_models.servers.codecs import PieceCodec
from lmx_models.servers.endpoint import Access, Endpoint
from lmx_models.servers.remote_model import Features, RemoteModel
from lmx_models.core.sampling import Sampling
url, requests, top = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
codec = PieceCodec()
model = RemoteModel(Endpoint(Address(url, "m"), Access(max_concurrent=1)), codec, Features(top=top))
request = Generate("base", [codec.id_of("x" * 2000)], [], 15, Sampling(0.0), None, top)
for _ in range(50):
    model.generate(request)
started = time.process_time(), time.perf_counter()
for _ in range(requests):
    assert len(model.generate(request).tokens) == 15
print(requests / (time.process_time() - started[0]), requests / (time.perf_counter() - started[1]))
"""


class Answers(socketserver.StreamRequestHandler):
    """Keeps a connection and answers every request on it with the same bytes."""

    disable_nagle_algorithm = True

    def handle(self) -> None:
        while True:
            length, logprobs = 0, False
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            if not line:
                return
            logprobs = b'"logprobs"' in self.rfile.read(length)
            self.wfile.write(ANSWERS[logprobs])


def _answer(logprobs: bool) -> bytes:
    words = [f" word{i}" for i in range(16)]
    choice: dict[str, object] = {"index": 0, "text": "".join(words), "finish_reason": "length"}
    if logprobs:
        top = {f"token_id:{i}": -0.5 * (i + 1) for i in range(20)}
        choice["logprobs"] = {"tokens": words, "token_logprobs": [-0.5] * 16, "top_logprobs": [top] * 16}
    data = json.dumps({"choices": [choice], "usage": {"prompt_tokens": 500, "completion_tokens": 16}}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


ANSWERS = {logprobs: _answer(logprobs) for logprobs in (False, True)}


def rate(folder: Path, url: str, requests: int, top: int) -> tuple[float, float]:
    """Return requests a second of processor time and of the clock, by the code in `folder`."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", CLIENT, url, str(requests), str(top)]
    done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=True)
    processor, clock = done.stdout.split()[-2:]
    return float(processor), float(clock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--other", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    here = Path(__file__).resolve().parents[1]
    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    for top in (1, 20):
        rounds = [
            [rate(folder, url, given.requests, top) for folder in (here, given.other)] for _ in range(given.rounds)
        ]
        for i, what in enumerate(("processor time", "clock")):
            ours, others = (statistics.median(one[side][i] for one in rounds) for side in (0, 1))
            ratio = statistics.median(one[0][i] / one[1][i] for one in rounds)
            print(f"{top} log-probabilities, {what}: {ours:.0f} and {others:.0f} requests/s, ratio {ratio:.3f}")
    server.shutdown()


if __name__ == "__main__":
    main()
