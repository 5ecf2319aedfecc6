"""Models for probes: loaded by name, one at a time, with a head of their own that is checked at load."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.engine import self_check
from lmx_models.engine.packed_linear import packed
from lmx_models.harness.devices import usable_device
from lmx_models.records.fingerprint import model_identity
from lmx_models.zoo import catalogue, families
from lmx_models.zoo.from_files import quiet_loading
from lmx_models.zoo.loading import load as load_model
from lmx_models.zoo.loading import load_tokenizer
from lmx_models.zoo.resolved import Resolved
from lmx_probes.heads import Head, packed_product, scale_of, softcap_of

DTYPES = ("float32", "bfloat16", "float16")
LARGE_BLOCK = 4 << 20
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Numbers of glibc's malloc.h."""


@dataclass
class ProbeModel:
    """A causal model of transformers that is read, never changed.

    Attributes:
        name: as the user wrote it. note: where the weights came from.
        decoder: the model without its head; its ``last_hidden_state`` is what `head` takes.
    """

    name: str
    model: Any
    tokenizer: Any
    decoder: Any
    head: Head
    note: str = ""

    @property
    def width(self) -> int:
        """Width of the hidden states."""
        return int(self.head.weight.shape[1])

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        device: torch.device = self.model.device
        return device


def vocabulary_of(tokenizer: Any) -> int:
    """Return how many ids a tokenizer has: its highest and one."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def vocabulary_hash(tokenizer: Any) -> str:
    """Return a hash of the tokens and their ids; models of equal hash can be compared token by token."""
    digest = hashlib.sha256()
    for token, number in sorted(tokenizer.get_vocab().items(), key=lambda pair: (pair[1], pair[0])):
        digest.update(f"{number}\t{token}\n".encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def tokenizer_of(name: str) -> Any:
    """Load only the tokenizer of a model.

    Raises:
        UserError: there is no such model, or it has no tokenizer that can be loaded.
    """
    return load_tokenizer(catalogue.resolve(name), name)


@dataclass(frozen=True)
class Weights:
    """A model of transformers and its tokenizer, as they were loaded.

    Attributes:
        note: where the weights came from. identity: what stands for their content, see `model_identity`; two names of
            the same weights have one.
    """

    model: Any
    tokenizer: Any
    note: str
    identity: str


def weights_of(name: str, dtype: str = "float32", device: str | None = None, revision: str | None = None) -> Weights:
    """Load a model and its tokenizer.

    Args:
        name: a short name of `lmx models`, a Hub id, a folder or a GGUF file. dtype: of torch.
        device: ``cuda``, ``cuda:1``, ``cpu``; None: CUDA where it is, else the CPU.
        revision: a commit or branch of the Hub.

    Raises:
        UserError: it cannot be loaded.
    """
    resolved = catalogue.resolve(name, revision=revision)
    model, tokenizer = load_model(resolved, name, getattr(torch, dtype), place_of(device))
    commit = getattr(model.config, "_commit_hash", None)
    return Weights(model, tokenizer, resolved.note, model_identity(resolved.pretrained, resolved.revision, commit))


def place_of(device: str | None) -> torch.device:
    """Return where a probe's model is put: as any, but not unasked on a GPU of Apple's, for that has no float64."""
    found = usable_device(device)
    return torch.device("cpu" if device is None and found == "mps" else found)


def refuse_unread(resolved: Resolved, name: str) -> None:
    """Refuse a model that fills masks: a row of its logits is not of the next token given those before.

    Raises:
        UserError: it is one, or its configuration cannot be read.
    """
    with quiet_loading(name):
        filled = families.fills_masks(resolved.pretrained, resolved.revision)
    if filled is not None:
        raise UserError(
            f"{name} was trained to fill masks ({filled}) and is not read from left to right, so its numbers would "
            "mean nothing. Let it record them while it writes: record=all in `lmx run --model_args`, or lmx entropy "
            "--mode generate --decoder mdlm, bd3lm or wedlm"
        )


def load(name: str, dtype: str = "float32", device: str | None = None, check: bool = True) -> ProbeModel:
    """Load a model for probing.

    Args:
        name, device: see `weights_of`. dtype: one of `DTYPES`.
        check: compare cached forwards and the head with the model's own logits.

    Raises:
        UserError: it cannot be loaded, or the engine or the head would not compute what the model computes.
    """
    if dtype not in DTYPES:
        raise unknown("--dtype", dtype, DTYPES)
    refuse_unread(catalogue.resolve(name), name)
    _give_back_large_blocks()
    loaded = weights_of(name, dtype, device)
    return probe(loaded.model, loaded.tokenizer, name, loaded.note, check)


def probe(model: Any, tokenizer: Any, name: str, note: str = "", check: bool = True) -> ProbeModel:
    """Make a model that is loaded already ready for probes; see `load`."""
    module = model.get_output_embeddings()
    if module is None or not hasattr(module, "weight"):
        raise UserError(f"{name}: {type(model).__name__} has no output head: name a causal language model")
    rows = int(module.weight.shape[0])
    known = min(rows, vocabulary_of(tokenizer))
    config = model.config.get_text_config()
    bias = getattr(module, "bias", None)
    fast = packed(model)  # holds a packed copy of the head too, where it is a plain linear layer
    product = None if fast is None else next((f for m, f in fast.forwards if m is module), None)
    head = Head(
        module.weight.detach()[:known],
        None if bias is None else bias.detach()[:known],
        scale_of(config),
        softcap_of(config),
        rows - known,
        product or packed_product(module.weight.detach()[:known], None if bias is None else bias.detach()[:known]),
    )
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else model.base_model
    made = ProbeModel(name, model.eval(), tokenizer, decoder, head, note)
    if check:
        self_check.check(model, name)
        _check_head(made)
    return made


@torch.inference_mode()
def _check_head(probe: ProbeModel) -> None:
    """Compare the head on hidden states with the model's own logits on a short random input."""
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, probe.head.vocabulary, (1, 16), generator=generator).to(probe.device)
    try:
        own = probe.model(input_ids=tokens, use_cache=False).logits[0, :, : probe.head.vocabulary].float()
        ours = probe.head.logits(probe.decoder(input_ids=tokens, use_cache=False).last_hidden_state[0])
    except (TypeError, AttributeError, RuntimeError) as error:
        raise UserError(
            f"{probe.name}: {type(probe.model).__name__} cannot be read without its head ({error})"
        ) from error
    if not (own.isfinite().all() and ours.isfinite().all()):
        return  # weights that are not numbers are named with text and position when they are met
    own, ours = (z - z.mean(-1, keepdim=True) for z in (own, ours))
    difference = float((own - ours).norm() / own.norm().clamp_min(1e-30))
    tolerance = 1e-4 if probe.model.dtype == torch.float32 else 0.05
    if not difference <= tolerance:
        raise UserError(
            f"{probe.name}: the head of {type(probe.model).__name__} is not a matrix, a factor and a soft cap: logits "
            f"made from hidden states differ by {difference:.1e} of their size (allowed: {tolerance:g})"
        )


@contextlib.contextmanager
def opened(name: str, dtype: str = "float32", device: str | None = None) -> Iterator[ProbeModel]:
    """Load a model and let go of it at the end, so that the next one finds its memory free."""
    made: list[ProbeModel] = [load(name, dtype, device)]
    try:
        yield made[0]
    finally:
        made.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        _trim()


@functools.cache
def _libc() -> Any:
    import ctypes

    try:
        return ctypes.CDLL("libc.so.6")
    except OSError:
        return None


@functools.cache
def _give_back_large_blocks() -> None:
    """Let the C library take blocks of `LARGE_BLOCK` from the system one by one, and give each back when it is freed.

    Else its threshold grows with every such block, they lie among small ones, and memory grows with the texts read.
    """
    if (libc := _libc()) is not None and hasattr(libc, "mallopt"):
        libc.mallopt(M_MMAP_THRESHOLD, LARGE_BLOCK)
        libc.mallopt(M_TRIM_THRESHOLD, 16 * LARGE_BLOCK)  # or the first call would lower it, and cost time


def _trim() -> None:
    """Give freed memory back to the system where the C library keeps it."""
    if (libc := _libc()) is not None:
        libc.malloc_trim(0)
