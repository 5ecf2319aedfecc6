"""What a likelihood is for a model with a mask token: of its autoregressive head, or of the head that fills masks."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tqdm import tqdm

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding
from lmx_models.core.distributions import NotFiniteError
from lmx_models.core.sampling import stream
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.harness.decoder_lm import DecoderLM
from lmx_models.harness.finite import no_numbers
from lmx_models.zoo import families

log = logging.getLogger(__name__)

MEANING = {
    "ar": "exact, of the autoregressive head (lm_eval HFLM); the masks that write the texts have no part in it",
    "mask": "exact, of the head that fills masks, one token at a time from left to right",
    "mc": "a lower bound (ELBO) of the head that fills masks in random order, estimated by Monte Carlo; not comparable "
    "with exact likelihoods, and perplexities made of it are upper bounds",
}
# Limits of one forward of ``ll=mask``, for what fills a memory: masks (logits over the whole vocabulary each), and
# entries of the attention mask. A single text may be larger.
_MOST_MASKS = 2048
_MOST_PAIRS = 2**27

Text = tuple[list[int], list[int]]  # context, and at least one token to score


@dataclass(frozen=True)
class LikelihoodConfig:
    """Settings of likelihoods.

    Attributes:
        ll: a name in `MEANING`.
        mc_samples: random maskings of a text for ``ll=mc``; a text with fewer sets of masks than that is enumerated.
    """

    ll: str = "ar"
    mc_samples: int = 128

    def __post_init__(self) -> None:
        if self.ll not in MEANING:
            raise unknown("ll", self.ll, MEANING)
        if self.mc_samples < 1:
            raise UserError(f"mc_samples={self.mc_samples} must be a whole number of at least 1")


class MaskLikelihoods(DecoderLM):
    """A `DecoderLM` whose model writes at masks and, causally, behind tokens as well."""

    likelihood: LikelihoodConfig
    mask_id: int
    _told = False

    def estimate(self, context: list[int], continuation: list[int]) -> Decoding:
        """Return the decoder that scores a text for ``ll=mc``, as `wedlm_likelihood` does."""
        raise NotImplementedError

    def warn_of_training(self, mask_id: int | None) -> None:
        """Warn, and note in the results, if the model seems not to be trained for this; `mask_id`: the user's own."""
        known = mask_id is not None or self.family is not None
        if doubt := families.doubt(self.model.config, self._asked_name, self.method, known):
            self.notes.append(doubt)
            log.warning(doubt)

    def likelihood_settings(self) -> dict[str, Any]:
        """Return which likelihood it is, and all that it depends on besides the model."""
        ll = self.likelihood.ll
        settings: dict[str, Any] = {"ll": ll, "method": MEANING[ll]}
        if ll != "ar":
            settings["mask_id"] = self.mask_id
        if ll == "mc":
            settings |= {"samples": self.likelihood.mc_samples, "seed": self.seed}
        return settings

    def _loglikelihood_tokens(
        self,
        requests: list[tuple[tuple[str, str], list[int], list[int]]],
        disable_tqdm: bool = False,
        override_bs: int | None = None,
    ) -> list[tuple[float, bool]]:
        """Return log-probabilities (nats) and whether a text is the greedy one; rolling ones come by here too."""
        ll = self.likelihood.ll
        if not self._told:
            log.warning("--model %s, ll=%s: likelihoods are %s", self.method, ll, MEANING[ll])
            self._told = True
        if ll == "ar":
            scored: list[tuple[float, bool]] = super()._loglikelihood_tokens(requests, disable_tqdm, override_bs)
            return scored
        texts = [_fitting(context, continuation, self.max_length) for _, context, continuation in requests]
        found: dict[int, tuple[float, bool]] = {}
        quiet = disable_tqdm or self.rank != 0
        for i, value in tqdm(self._scores(texts), total=len(texts), disable=quiet, desc=f"Running ll={ll}"):
            found[i] = value
            if requests[i][0] is not None:  # parts of a rolling likelihood
                self.cache_hook.add_partial("loglikelihood", requests[i][0], value)
        return [found[i] for i in range(len(texts))]

    def _scores(self, texts: list[Text]) -> Iterator[tuple[int, tuple[float, bool]]]:
        """Yield the index and the score of each text, the longest first."""
        order = sorted(range(len(texts)), key=lambda i: -sum(map(len, texts[i])))
        rows = max(1, min(self._rows(), len(texts)))
        if self.likelihood.ll == "mask":
            for batch in _batches(order, texts, rows):
                yield from zip(batch, left_to_right(self.model, [texts[i] for i in batch], self.mask_id), strict=True)
            return
        slots = max((sum(map(len, text)) for text in texts), default=0)
        scheduler = Scheduler(self.step_models(rows, slots), rows)
        try:
            for finished in scheduler.run(Job(i, functools.partial(self.estimate, *texts[i])) for i in order):
                extra = finished.generation.extra
                yield int(str(finished.key)), (extra["log_likelihood"], extra["is_greedy"])
        except NotFiniteError as error:
            context, continuation = texts[int(str(error.key))]
            begin = self.tok_decode([*context, *continuation][:12])
            raise no_numbers(self, f"logits are NaN or infinite in the likelihood of the text {begin!r}...") from None

    def text_stream(self, *text: list[int]) -> Any:
        """Return the random numbers of one text's estimate: its own, whatever it is scored beside."""
        return stream(self.seed, "ll", *text)


@torch.inference_mode()
def left_to_right(model: Any, texts: Sequence[Text], mask: int) -> list[tuple[float, bool]]:
    """Score texts under the head that fills masks, each token given all before it: one forward for all texts.

    Behind the text lies a mask for each token to score, at that token's position, which sees the tokens before it and
    itself: what it would see if the text were written from left to right. The mask id has no probability.

    Args:
        model: a causal model of transformers with full attention; its own attention is used.

    Returns:
        For each text its log-probability in nats, and whether all its tokens are the most likely ones.
    """
    refuse_sliding_windows(model.config)
    device = model.device
    scored = [len(continuation) for _, continuation in texts]
    seen = [[*context, *continuation[:-1]] for context, continuation in texts]  # no mask sees the last token
    length, masks = max(map(len, seen)), max(scored)
    ids = torch.full((len(texts), length + masks), mask, device=device)
    for row, tokens in zip(ids, seen, strict=True):
        row[: len(tokens)] = torch.tensor(tokens, dtype=torch.long, device=device)
    place, nth = torch.arange(length, device=device), torch.arange(masks, device=device)
    begins = torch.tensor([len(context) for context, _ in texts], device=device)
    positions = torch.cat([place.expand(len(texts), -1), begins[:, None] + nth], dim=1)
    allowed = torch.eye(length + masks, dtype=torch.bool, device=device).repeat(len(texts), 1, 1)
    allowed[:, :length, :length] = place <= place[:, None]
    # Masks that only pad a shorter text would see its own padding: they are cut off below.
    allowed[:, length:, :length] = place < positions[:, length:, None]
    bias = torch.zeros_like(allowed, dtype=model.dtype).masked_fill_(~allowed, torch.finfo(model.dtype).min)
    logits = model(
        input_ids=ids, position_ids=positions, attention_mask=bias[:, None], use_cache=False, logits_to_keep=masks
    ).logits
    values = []
    for row, n, (_, continuation) in zip(logits, scored, texts, strict=True):
        wanted = torch.tensor(continuation, device=device)
        own = row[:n].float()
        own[:, mask] = float("-inf")
        log_p = torch.log_softmax(own, dim=-1).gather(1, wanted[:, None]).double().sum()
        values.append((float(log_p), bool((own.argmax(-1) == wanted).all())))
    return values


def refuse_sliding_windows(config: Any) -> None:
    """Raise a `UserError` for a model some of whose layers see only the last tokens: ``ll=mask`` hands it a mask."""
    layers = getattr(config, "layer_types", None) or ["sliding_attention"]
    if getattr(config, "sliding_window", None) and "sliding_attention" in layers:
        raise UserError(
            f"ll=mask needs full attention, and layers of this model see only {config.sliding_window} tokens: "
            "take ll=ar or ll=mc"
        )


def _fitting(context: list[int], continuation: list[int], max_length: int) -> Text:
    """Cut a text from the left to the model's context."""
    continuation = continuation[-max_length:]
    room = max_length - len(continuation)
    return context[max(0, len(context) - room) :], continuation


def _batches(order: Sequence[int], texts: Sequence[Text], rows: int) -> Iterator[list[int]]:
    """Cut `order` into batches of up to `rows` texts that, padded, fit into one forward."""
    batch: list[int] = []
    for i in order:
        more = [*batch, i]
        masks = max(len(texts[j][1]) for j in more)
        length = max(len(texts[j][0]) + len(texts[j][1]) for j in more) + masks
        if batch and (len(more) > rows or len(more) * masks > _MOST_MASKS or len(more) * length**2 > _MOST_PAIRS):
            yield batch
            more = [i]
        batch = more
    if batch:
        yield batch
