"""lm_eval's ``hf`` without weights: a base on a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lm_eval.api.model import LM
from lm_eval.models.huggingface import HFLM

from lmx_files.errors import UserError
from lmx_models.core.stopping import Stopping
from lmx_models.harness.devices import usable_device
from lmx_models.servers.codecs import PieceCodec

# Arguments of `hf` that mean something without weights, or nothing ever.
TAKEN = frozenset(
    {"batch_size", "max_batch_size", "device", "dtype", "backend", "trust_remote_code", "use_safetensors"}
)


def settle_without_weights(
    model: HFLM,
    pretrained: Any,
    tokenizer: Any,
    max_length: int | None = None,
    add_bos_token: bool | None = None,
    prefix_token_id: int | None = None,
    think_end_token: str | int | None = None,
    enable_thinking: bool | None = None,
    chat_template_args: dict[str, Any] | None = None,
    **kwargs: Any,
) -> None:
    """Do what `HFLM.__init__` does, for a model whose weights are elsewhere.

    Args:
        pretrained: the `Address` of the server.
        tokenizer: a tokenizer of transformers, or a `TextTokenizer`.
        max_length: tokens that the server's model can hold.
    """
    LM.__init__(model)
    for name in kwargs:
        if name not in TAKEN:
            raise UserError(f"{name}={kwargs[name]} has no effect on a base on a server ({pretrained}): leave it out")
    model.backend = "causal"
    model.pretrained, model.revision = str(pretrained), None
    model.tokenizer = tokenizer
    model.batch_size_per_gpu = kwargs.get("batch_size") or 1
    model._device = torch.device(usable_device(kwargs.get("device")))
    model._max_length = int(max_length or model._DEFAULT_MAX_LENGTH)
    model.add_bos_token = add_bos_token
    model.custom_prefix_token_id = prefix_token_id
    model.think_end_token = think_end_token
    model.chat_template_args = {
        **(chat_template_args or {}),
        **({} if enable_thinking is None else {"enable_thinking": enable_thinking}),
    }


def no_likelihoods(address: Any) -> UserError:
    """Return the refusal of likelihoods of a base on a server."""
    return UserError(
        f"likelihoods need the base's weights, and {address} is a server: choose tasks that generate, or name a base "
        "on this machine"
    )


class TextTokenizer:
    """Stands in for the tokenizer of a base on a server when none is given; see `PieceCodec`."""

    eos_token_id, bos_token_id, chat_template = PieceCodec.END, None, None
    name_or_path = "text"

    def __init__(self, codec: PieceCodec) -> None:
        self.codec = codec

    def encode(self, text: str, **kwargs: Any) -> list[int]:
        """Return one id for the whole text."""
        return [self.codec.id_of(text)] if text else []

    def decode(self, tokens: int | Sequence[int], **kwargs: Any) -> str:
        """Join the pieces."""
        return self.codec.text([tokens] if isinstance(tokens, int) else tokens)

    def apply_chat_template(self, *args: Any, **kwargs: Any) -> str:
        """Refused: a chat template belongs to a tokenizer."""
        raise UserError(
            "--apply_chat_template needs the base's tokenizer: name it with tokenizer=ID or tokenizer=FOLDER"
        )


class WholeStopping(Stopping):
    """Looks for stop strings in the whole text, for an id of a `PieceCodec` may stand for nothing."""

    def _tail_has_stop(self, tokens: Sequence[int]) -> bool:
        return self._answer(tokens)[1] > 0
