"""What models have in common whose texts are written in stages: prompts per stage, shared rows, statistics."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_models.core.completion import Completion
from lmx_models.core.stopping import Stopping
from lmx_models.core.trace import Trace
from lmx_models.decoding.composed.stages import Stage, run_stage
from lmx_models.engine import flash_attention
from lmx_models.engine.scheduler import Finished
from lmx_models.engine.slot_attention import attend_by
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.decoder_lm import DecoderLM
from lmx_models.methods.method import Method, plain_settings
from lmx_models.methods.stage_rows import feed_names, shared_rows
from lmx_models.methods.weights import Weights, loaded_by, stop_ids
from lmx_models.settings.requests import Request, answer_of, reasoning_of, sampling_of
from lmx_models.zoo.loading import encode_prompt

log = logging.getLogger(__name__)

Chat = Sequence[Mapping[str, str]]


@dataclass(frozen=True)
class StagedRequest(Request):
    """A request with the chat that its context was rendered from; None: the run uses no chat template."""

    chat: Chat | None

    @property
    def question(self) -> str:
        """What ``{prompt}`` stands for: the last message of the user, or the whole prompt without a chat."""
        return self.context if self.chat is None else self.chat[_last_user(self.chat)]["content"]

    @property
    def prompt_hash(self) -> str:
        """A hash of what was asked, whichever model's template it is rendered in."""
        return sha256_of_text(json.dumps(self.chat if self.chat is not None else self.context))


@dataclass(frozen=True)
class StageCall:
    """How one stage of a text is written.

    Attributes:
        name: of the stage in traces. `weights`: the method's models by role.
        values: settings of method and sampling.
        max_tokens, strings: its limits.
        seeds: what its random numbers are made from.
        answers: it writes the answer or a version of it, so words that a task puts in the answer's mouth stay.
    """

    name: str
    method: Method
    weights: Mapping[str, Weights]
    values: Mapping[str, Any]
    max_tokens: int
    strings: tuple[str, ...]
    seeds: tuple[object, ...]
    answers: bool

    def settings(self) -> dict[str, Any]:
        """Return all settings, defaults included, as JSON-serialisable data."""
        return stage_settings(self.method, self.values, self.max_tokens, self.strings)


def stage_settings(
    method: Method, values: Mapping[str, Any], max_tokens: int, strings: Iterable[str]
) -> dict[str, Any]:
    """Return a stage's settings as they stand in traces and buffers."""
    return {**plain_settings(method, values), "max_tokens": max_tokens, "stop": list(strings)}


class StagedLM(DecoderLM):
    """A `DecoderLM` whose texts are written in stages, perhaps by several models. Subclasses say which.

    Args:
        attn: attention of methods that say `flash` (``wedlm`` does): ``auto``, ``sdpa`` or ``flash``.
    """

    models_in_flight: ClassVar[int] = 2
    declared: ClassVar[Mapping[str, str]] = {"attn": "by `identity`, as it came out"}

    def __init__(self, attn: str = "auto", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.attn = flash_attention.choose(attn, self.device, self.model.dtype)
        if isinstance(self.think_end_token, int):
            raise UserError(f"think_end_token={self.think_end_token}: --model {self.method} needs the token's text")
        self.main = loaded_by(self)
        self._chats: dict[str, Chat] = {}
        self._with_template = False

    def _start_counting(self) -> None:
        super()._start_counting()
        self.counts: Counter[tuple[str, str]] = Counter()  # by group (a stage, say) and what is counted
        self._gathered_counts = self.counts

    # What a subclass says.

    def stage_weights(self) -> dict[str, dict[str, Weights]]:
        """Return, for each stage that may run, its method's models by role, under ``stage`` names."""
        raise NotImplementedError

    def stage_method(self, stage: str) -> Method:
        """Return a stage's method."""
        raise NotImplementedError

    def uses(self, values: Mapping[str, Any]) -> list[tuple[str, Method, Mapping[str, Any]]]:
        """Return where methods are used, which, and their settings under those of a text, for a journal."""
        raise NotImplementedError

    def records(self, trace: Trace) -> list[dict[str, Any]]:
        """Return the records of all stages of a finished text."""
        raise NotImplementedError

    # Prompts.

    def chat_template(self, chat_template: bool | str = False) -> str | None:
        """Return the main model's template; remember that the run uses one."""
        self._with_template = bool(chat_template)
        template: str | None = super().chat_template(chat_template)
        return template

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """Render for the main model; remember the chat, for each stage's prompt has its own model's template."""
        text: str = super().apply_chat_template(chat_history, add_generation_prompt)
        self._chats[text] = tuple(dict(message) for message in chat_history)
        return text

    def _prepare(self, requests: Sequence[Instance]) -> list[Request]:
        prepared: list[Request] = []
        for request in super()._prepare(requests):
            chat = self._chats.get(request.context)
            if chat is None and self._with_template:
                raise UserError(
                    f"--model {self.method} must see the chat that a prompt was made from, and lm_eval took the "
                    "prompts from its cache: run without --cache_requests"
                )
            values = {field.name: getattr(request, field.name) for field in fields(Request)}
            prepared.append(StagedRequest(**values, chat=chat))
        return prepared

    def stage(self, request: StagedRequest, call: StageCall, prompt: str) -> Stage:
        """Return the stage that answers `prompt`, asked in its model's own template."""
        writer = next(iter(call.weights.values()))
        text = self._text(request, writer, prompt, call.answers)
        tokens = self._tokens(writer, text)
        room = min(weights.max_length for weights in call.weights.values()) - call.max_tokens
        if room < 1:
            raise UserError(
                f"stage {call.name!r}: {call.max_tokens} tokens leave no room for a prompt in the context of "
                f"{writer.name} ({room + call.max_tokens} tokens): lower its limit"
            )
        tokenizer = writer.tokenizer
        stopping = Stopping(
            call.max_tokens,
            stop_ids(call.weights),
            call.strings,
            lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True),
            reasoning_of(self.think_end_token, tokenizer, text),
            self.new_recorder(),
        )
        values = call.method.fields(call.values)
        inner = Request(prompt, tokens[-room:], sampling_of(values), stopping, values, call.seeds)
        about = {
            "method": call.method.name,
            "models": {role: weights.name for role, weights in call.weights.items()},
            "settings": call.settings(),
            "prompt_tokens": len(inner.prompt),
            "prompt_tokens_cut": len(tokens) - len(inner.prompt),
        }
        call.method.note(call.values, self.notes)
        return run_stage(
            call.name,
            call.method.decoder(inner, call.weights),
            feed_names(call.name, call.method),
            lambda generation: answer_of(stopping, stopping.with_recorded(generation)),
            about,
        )

    def _text(self, request: StagedRequest, weights: Weights, prompt: str, answers: bool) -> str:
        """Put the stage's prompt in the place of the user's last message, turns before it kept."""
        if request.chat is None:
            return prompt
        last = _last_user(request.chat)
        chat = [dict(message) for message in request.chat[: last + 1]]
        chat[last]["content"] = prompt
        prefix = [dict(message) for message in request.chat[last + 1 :]] if answers else []
        return self._rendered(weights, [*chat, *prefix], not prefix)

    def _tokens(self, weights: Weights, text: str) -> list[int]:
        if weights.tokenizer is self.tokenizer:
            return self.prompt_tokens(text)
        return encode_prompt(weights.tokenizer, text) or [self.prefix_token_id]

    def _rendered(self, weights: Weights, chat: list[dict[str, str]], generate: bool) -> str:
        if weights.tokenizer is self.tokenizer:
            text: str = super().apply_chat_template(chat, generate)
            return text
        if not weights.tokenizer.chat_template:
            raise UserError(f"{weights.name} has no chat template: run without --apply_chat_template, or name another")
        rendered: str = weights.tokenizer.apply_chat_template(
            chat,
            tokenize=False,
            add_generation_prompt=generate,
            continue_final_message=not generate,
            **self.chat_template_args,
        )
        return rendered

    # Models.

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Every stage's models, by the names in its feeds; the same weights share forwards and rows."""
        methods = {stage: self.stage_method(stage) for stage in self.stage_weights()}
        models = shared_rows(self.stage_weights(), methods, rows, slots)
        if self.attn == "flash":
            for stage, method in methods.items():
                for name in feed_names(stage, method).values() if method.flash else ():
                    attend_by(models[name].cache, flash_attention.rows_varlen)
        return models

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text depends on: the attention, plugins' code, and files that methods' settings name."""
        methods = {self.stage_method(stage) for stage in self.stage_weights()}
        codes = {method.name: code for method in methods if (code := method.code())}
        told = {name: method.depends_on(own) for name, method, own in self.uses(values)}
        files = {name: one for name, one in told.items() if any(one.values())}
        more = {"method_code": codes, "method_files": files}
        return {**super().identity(values), "attn": self.attn, **{name: one for name, one in more.items() if one}}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the attention in use."""
        return {**super().describe(), "attn": self.attn}

    # What a run leaves.

    def _completion(self, request: Request, finished: Finished) -> Completion:
        text = super()._completion(request, finished)
        last = self.answer_record(text.trace)
        text.trace.prompt_tokens = last["prompt_tokens"]
        text.trace.extra.pop("reasoning_finished", None)  # of all stages' tokens together, which means nothing
        if "reasoning_finished" in last["extra"]:
            text.trace.extra["reasoning_finished"] = last["extra"]["reasoning_finished"]
        if self.record and last["tokens"] == text.trace.tokens:  # each stage has a recorder of its own
            text.trace.extra["recorded"] = last["extra"]["recorded"]
        return Completion(last["text"], text.trace)

    def answer_record(self, trace: Trace) -> dict[str, Any]:
        """Return the record of the stage whose text is the answer."""
        raise NotImplementedError

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        for record in self.records(text.trace):
            name, cost = record["stage"], record["cost"]
            self.counts[name, "texts"] += 1
            self.counts[name, "tokens"] += len(record["tokens"])
            self.counts[name, "forwards"] += cost["forwards"]
            self.counts[name, "tokens_fed"] += cost["prefill"] + cost["decode"]
            self.counts[name, f"finish_{record['finish']}"] += 1
            self.counts[name, "prompts_cut"] += record["prompt_tokens_cut"] > 0
            self.counts[name, "from_buffer"] += bool(record.get("from_buffer"))
            for segment in record.get("segments", ()):
                self.counts[name, f"tokens_by_{segment['source']}"] += segment["end"] - segment["start"]
            if "reasoning_finished" in record["extra"]:
                self.counts[name, "unfinished_reasoning"] += not record["extra"]["reasoning_finished"]
            for what, n in self.stage_method(name).counted(record["extra"]).items():
                self.counts[name, what] += n
            if "json" in record:
                self.counts[name, "valid_json"] += record["json"]
        return super()._keep(instance, request, text, fresh)

    def _gather(self) -> None:
        super()._gather()
        self._gathered_counts = Counter()
        for counts in self.gather_object(self.counts) or []:
            self._gathered_counts.update(counts)
        for (name, what), count in self._gathered_counts.items():
            if what == "prompts_cut" and count:
                log.warning("stage %r: %d prompts did not fit the context and lost their beginning", name, count)

    def get_model_info(self) -> dict[str, Any]:
        """Return what every decoder's run does, with sums over the texts by stage."""
        info = super().get_model_info()
        by_group: dict[str, dict[str, int]] = {}
        for (name, what), count in self._gathered_counts.items():
            by_group.setdefault(name, {})[what] = count
        info["decoding"]["stages"] = by_group
        return info


def _last_user(chat: Chat) -> int:
    for i in range(len(chat) - 1, -1, -1):
        if chat[i]["role"] == "user":
            return i
    raise UserError("a chat without a message of the user: there is nothing to put into {prompt}")
