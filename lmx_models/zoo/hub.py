"""What the Hugging Face Hub has to offer: its cache on this machine, and one short question to the Hub.

Loaders that are given a Hub id where no way leads to the Hub retry for a long time. `ask` finds out in
seconds, and once in a process.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lmx_files.errors import UserError
from lmx_models.zoo import folders

PATIENCE = 3.0  # seconds for the connection and for each read
DEADLINE = 5.0  # seconds for everything, name look-up included
NO_SUCH_MODEL = "the Hub knows no such model, or it is private (then log in with `hf auth login`)"
WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]

_answers: dict[tuple[str, str | None], Answer] = {}
_no_way: str = ""  # why the Hub cannot be reached, once that is known


@dataclass(frozen=True)
class Answer:
    """What the Hub said about one model; `problem` is empty when the model can be had."""

    reachable: bool
    problem: str = ""
    commit: str | None = None

    @property
    def ok(self) -> bool:
        """True when the model is there and can be loaded."""
        return not self.problem


def is_hub_id(name: str) -> bool:
    """True for a string of the form `name` or `owner/name`."""
    return re.fullmatch(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", name) is not None


def offline() -> bool:
    """True when the environment forbids asking the Hub."""
    from huggingface_hub import constants

    names = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    values = [os.environ.get(name, "").upper() for name in names]
    return constants.HF_HUB_OFFLINE or any(value in {"1", "ON", "YES", "TRUE"} for value in values)


def cached_snapshot(repo: str, revision: str | None = None) -> Path | None:
    """Return the folder in the Hub's cache that holds the whole model, or None. Its name is the commit."""
    from huggingface_hub import constants

    home = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    commit = revision or "main"
    reference = home / "refs" / commit
    if reference.is_file():
        commit = reference.read_text().strip()
    folder = home / "snapshots" / commit
    if not folder.is_dir() or folders.problem(folder):
        return None
    tokenizer = [path for path in folder.iterdir() if re.match(r"tokenizer|vocab|spiece", path.name)]
    return folder if any(path.is_file() for path in tokenizer) else None


def ask(repo: str, revision: str | None = None) -> Answer:
    """Ask the Hub about a model, once in a process and for a few seconds at most."""
    global _no_way
    if offline():
        return Answer(False, "HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set")
    if _no_way:
        return Answer(False, _no_way)
    if (repo, revision) not in _answers:
        answer = _within_deadline(repo, revision)
        _answers[repo, revision] = answer
        if not answer.reachable:
            _no_way = answer.problem
    return _answers[repo, revision]


def forget() -> None:
    """Forget what the Hub has answered, so that the next question is asked anew."""
    global _no_way
    _answers.clear()
    _no_way = ""


def _within_deadline(repo: str, revision: str | None) -> Answer:
    """Put the question in a thread of its own: looking up a host name knows no time limit."""
    box: list[Answer] = []
    thread = threading.Thread(target=lambda: box.append(_question(repo, revision)), daemon=True)
    thread.start()
    thread.join(DEADLINE)
    return box[0] if box else Answer(False, f"no answer in {DEADLINE:.0f} s")


def _question(repo: str, revision: str | None) -> Answer:
    """Ask for the list of a model's files and its commit."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = HfApi().model_info(repo, revision=revision, timeout=PATIENCE)
    except RevisionNotFoundError:
        return Answer(True, f"the Hub knows the model but no revision {revision!r}")
    except GatedRepoError:
        return Answer(True, "it is gated: accept its terms on the Hub and log in with `hf auth login`")
    except RepositoryNotFoundError:
        return Answer(True, NO_SUCH_MODEL)
    except HfHubHTTPError as error:
        return Answer(False, f"HTTP status {getattr(error.response, 'status_code', 'unknown')}")
    except Exception as error:  # every HTTP library has its own family of connection errors
        return Answer(False, (str(error).strip().splitlines() or [type(error).__name__])[0])
    files = [sibling.rfilename for sibling in info.siblings or []]
    if "config.json" not in files:
        return Answer(True, "on the Hub it has no config.json")
    if "adapter_config.json" in files:
        return Answer(True, f"on the Hub it {folders.ADAPTER}")
    if not any(name.endswith(".safetensors") for name in files):
        return Answer(True, f"on the Hub it {folders.no_safetensors(files)}")
    return Answer(True, commit=info.sha)


def download(repo: str, revision: str | None, wanted: Sequence[str] = WANTED) -> Path:
    """Download the wanted files of a model into the Hub's cache, with a progress bar, and return their folder."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(repo, revision=revision, allow_patterns=list(wanted), ignore_patterns=["*/*"])
    except Exception as error:  # HTTP, connection, disk: all of them end here
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"the download of {repo!r} from the Hub failed: {reason}. Run again to go on where it stopped"
        ) from error
    return Path(folder)
