"""Guided decoding with both models on this machine: by tokens, or by text between models of two families."""

from __future__ import annotations

import logging
from typing import Any, ClassVar

from lmx_models.decoding.guided.oracles import Translation
from lmx_models.decoding.guided.state import Watch
from lmx_models.methods.guided import GUIDED
from lmx_models.methods.method import Method
from lmx_models.methods.model import MethodLM
from lmx_models.settings.requests import Request
from lmx_models.zoo.loading import encode_prompt, end_ids, same_tokenizer

log = logging.getLogger(__name__)


class LocalGuidedLM(MethodLM):
    """Guided decoding with both models on this machine; see `lmx_models.guided.model.GuidedLM`.

    What the method is stands in `GUIDED`; this bridges models of two families.

    Attributes:
        watch: called after every token of every text, for those who look on.
    """

    described: ClassVar[Method] = GUIDED

    def __init__(self, pretrained: Any = None, oracle: str | None = None, base: Any = None, **kwargs: Any) -> None:
        self.watch: Watch | None = None
        self._chats: dict[str, list[dict[str, str]]] = {}
        super().__init__(pretrained, oracle=oracle, base=base, **kwargs)

    @property
    def base_name(self) -> str:
        """The base as the user named it."""
        return self.writer_name

    @property
    def oracle_name(self) -> str:
        """The oracle as the user named it."""
        return self.models_named["oracle"]

    def _check_fit(self) -> None:
        """Models of two families are bridged by text."""
        oracle = self.weights["oracle"]
        self.oracle, self.oracle_tokenizer = oracle.model, oracle.tokenizer
        self.token_level = same_tokenizer(self.tokenizer, self.oracle_tokenizer)
        if not self.token_level:
            note = (
                f"base {self.base_name} and oracle {oracle.name} have different tokenizers: text is handed over in "
                "whole characters, each model in its own chat template"
            )
            self.notes.append(note)
            log.warning(note)
        if self.described.fit is not None:
            self.described.fit(self.weights, self.settings)

    def source_ids(self) -> frozenset[int]:
        """End of text from either model ends the text."""
        return super().source_ids() if self.token_level else end_ids(self.model, self.tokenizer)

    def start_arguments(self, request: Request) -> dict[str, Any]:
        """Return what the method's `start` is told of this text: who looks on, and how text is handed over."""
        return {"watch": self.watch, **self.handover(request)}

    def handover(self, request: Request) -> dict[str, Any]:
        """Return the arguments of `guided` that say where the models are and how text passes between them."""
        return {} if self.token_level else {"translation": self._translation(request.context)}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the oracle and how text is handed over."""
        level = "token" if self.token_level else "text"
        return {**super().describe(), "handover": level}

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render for the base; remember the chat, so that an oracle of another family gets its own template."""
        text: str = super().apply_chat_template(chat_history, add_generation_prompt)
        if not self.token_level and add_generation_prompt:
            self._chats[text] = chat_history
        return text

    def _translation(self, context: str) -> Translation:
        oracle, base = self.oracle_tokenizer, self.tokenizer
        chat = self._chats.get(context)
        if chat is not None and oracle.chat_template:
            rendered = oracle.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            prompt = oracle.encode(rendered, add_special_tokens=False)
        else:
            prompt = encode_prompt(oracle, context)
        return Translation(
            prompt=tuple(prompt),
            encode=lambda text: oracle.encode(text, add_special_tokens=False),
            decode=lambda tokens: oracle.decode(list(tokens), skip_special_tokens=True),
            eos=end_ids(self.oracle, oracle),
            to_base=lambda text: base.encode(text, add_special_tokens=False),
            base_eos=base.eos_token_id,
            max_length=self.oracle.config.max_position_embeddings,
        )
