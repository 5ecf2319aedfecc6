"""``--model guided`` with a base, an oracle or both on OpenAI-compatible servers."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.core.completion import Completion
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig
from lmx_models.decoding.guided.remote import Remote
from lmx_models.engine.scheduler import Finished
from lmx_models.engine.step_model import StepModel
from lmx_models.guided.local import LocalGuidedLM
from lmx_models.harness.devices import usable_device
from lmx_models.harness.method_settings import hf_arguments
from lmx_models.harness.no_weights import TextTokenizer, WholeStopping, no_likelihoods, settle_without_weights
from lmx_models.methods.guided import policy_of
from lmx_models.methods.weights import Weights, load_weights
from lmx_models.records.fingerprint import arguments_identity, lmx_version, model_identity, own_identity
from lmx_models.servers.address import Address, is_endpoint
from lmx_models.servers.codecs import PieceCodec, TokenizerCodec
from lmx_models.servers.remote_model import RemoteModel
from lmx_models.servers.server import ACCESS, Server, ServerConfig, reads_distribution
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.settings.sizes import expand
from lmx_models.zoo import catalogue
from lmx_models.zoo.loading import end_ids, load_tokenizer, same_tokenizer
from lmx_models.zoo.resolved import Resolved

log = logging.getLogger(__name__)

_TOLD_ABOVE = {"pretrained", "tokenizer", "max_length"}  # in `GuidedOnServer.weights_identity`


class GuidedByServer(LocalGuidedLM):
    """A base on this machine, an oracle on a server; and what any model on a server needs.

    Args:
        oracle_tokenizer: of an oracle of another family (a Hub id or a folder), for its chat template.
        max_concurrent, endpoint_patience, endpoint_timeout, key_env: see `Access`.
        oracle_key_env: the environment variable with the oracle's key, where it is another.
        **kwargs: fields of `ServerConfig`, and arguments of `guided.model.GuidedLM`.
    """

    configs: ClassVar[tuple[type, ...]] = (*LocalGuidedLM.configs, ServerConfig)
    own_arguments: ClassVar[tuple[str, ...]] = ("oracle", "oracle_tokenizer", "oracle_key_env", *ACCESS)
    declared: ClassVar[Mapping[str, str]] = {
        "oracle_tokenizer": "by `oracle_identity`",
        "oracle_key_env": "a key changes no text",
        **dict.fromkeys(ACCESS, "concurrency, patience, time-outs and keys change no text"),
    }

    def _find(self, role: str, name: str, kwargs: dict[str, Any]) -> Resolved | None:
        address, tokenizer = expand(name)
        self.servers: dict[str, Server] = {}
        self._oracle_template = kwargs.get("oracle_tokenizer")
        if is_endpoint(address):
            self.servers["oracle"] = Server.of("oracle", Address.parse(address), kwargs)
            self._oracle_template = self._oracle_template or tokenizer
            return None
        return super()._find(role, name, kwargs)

    def _load(self, found: Mapping[str, Resolved | None], self_check: bool) -> dict[str, Weights]:
        """Connect to the oracle: none of its weights are here."""
        self.oracle, self.token_level = None, True
        self.oracle_tokenizer = self.tokenizer
        server = self.servers["oracle"]
        server.connect(None if isinstance(self.tokenizer, TextTokenizer) else self.tokenizer)
        server.codec = self._codec()
        if self._oracle_template:
            self.oracle_tokenizer = _tokenizer(str(self._oracle_template))
            self.token_level = same_tokenizer(self.tokenizer, self.oracle_tokenizer)
        elif server.level == "text":
            oracle = self.oracle_name
            note = f"{oracle} is asked with text in the base's chat template (its own: oracle_tokenizer=ID or FOLDER)"
            self.notes.append(note)
            log.warning(note)
        self._settle()
        return {}

    def _check_fit(self) -> None:
        """Whatever is on a server is bridged by text."""

    def _settle(self) -> None:
        """When everything is there: what is said on giving up, and settings that the servers cannot serve."""
        if self.journal:
            kept = f"finished texts are in the journal {self.journal.journal.folder}: give the same command again"
            for server in self.servers.values():
                server.endpoint.kept = kept
        self._remotes(self.settings, None)

    def _codec(self) -> TokenizerCodec | PieceCodec:
        if isinstance(self.tokenizer, TextTokenizer):
            return self.tokenizer.codec
        return TokenizerCodec(self.tokenizer)

    # mypy: `DecoderLM.step_models` knows local models only.
    def step_models(self, rows: int, slots: int) -> dict[str, StepModel | RemoteModel]:  # type: ignore[override]
        """Return the models that the decoder feeds and asks, by name."""
        models: dict[str, StepModel | RemoteModel] = {name: server.model() for name, server in self.servers.items()}
        if "base" not in models:
            models["base"] = StepModel(self.model, rows, slots)
        if "oracle" not in models:
            models["oracle"] = StepModel(self.oracle, rows, slots)
        return models

    def source_ids(self) -> frozenset[int]:
        """End of text from either model ends the text; that of a model on a server becomes the base's."""
        return end_ids(self.model, self.tokenizer)

    def handover(self, request: Request) -> dict[str, Any]:
        """Return the arguments of `guided` that say where the models are and how text passes between them."""
        remotes = self._remotes(request.values, request.context)
        if "oracle" in self.servers:
            return remotes
        return {**super().handover(request), **remotes}

    def _remotes(self, values: Mapping[str, Any], context: str | None) -> dict[str, Remote]:
        """Return what a decoder must know of the models on servers; refuse what those cannot do."""
        config: GuidedConfig = build(GuidedConfig, values)
        policy: PolicyConfig = build(PolicyConfig, values)
        settings: ServerConfig = build(ServerConfig, values)
        remotes = {}
        if oracle := self.servers.get("oracle"):
            top = oracle.top_for(config.handback == "confident", settings, "handback=confident")
            prompt = self._oracle_prompt(context)
            remotes["remote_oracle"] = self._remote(oracle, top=min(top, 2), prompt=prompt)
        if base := self.servers.get("base"):
            own = policy.policy not in POLICIES and getattr(policy_of(policy, config.k), "reads_logits", True)
            reads = reads_distribution(policy, own, config.record)
            if config.discard and not base.exact:
                raise UserError(
                    f"discard={config.discard} needs a base whose text can be cut at every token: name its tokenizer "
                    "(tokenizer=ID or FOLDER)"
                )
            top = base.top_for(reads is not None, settings, reads or "")
            remotes["remote_base"] = self._remote(base, top=top, ahead=settings.ahead_for(policy, base.exact))
        return remotes

    def _remote(self, server: Server, **kwargs: Any) -> Remote:
        codec = server.codec
        assert codec is not None
        text = server.level != "token ids"
        end = self.tokenizer.eos_token_id
        return Remote(end=end, vocabulary=codec.vocabulary, exact=server.exact, text=text, **kwargs)

    def _oracle_prompt(self, context: str | None) -> str | None:
        """Return the prompt in the oracle's own chat template, where it has one and there is a chat."""
        chat = self._chats.get(context or "")
        if chat is None or self.token_level or not self.oracle_tokenizer.chat_template:
            return None
        text: str = self.oracle_tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
        return TokenizerCodec(self.oracle_tokenizer).text(text)

    def others_identity(self) -> dict[str, Any]:
        """Return what stands for the oracle in a journal."""
        if not (server := self.servers.get("oracle")):
            return super().others_identity()
        template = arguments_identity({"tokenizer": self._oracle_template and str(self._oracle_template)})
        return {"oracle": {**server.identity(), "template": template}}

    def describe(self) -> dict[str, Any]:
        """Return every run-level setting, with the two models and how text is handed over."""
        levels = {f"{name}_handover": server.level for name, server in self.servers.items()}
        settings = super().describe()
        if any(server.level != "token ids" for server in self.servers.values()):
            settings["handover"] = "text"
        return {**settings, **levels}

    def _start_counting(self) -> None:
        super()._start_counting()
        self._gathered_calls: dict[str, list[dict[str, Any]]] = {}
        for server in self.servers.values():
            server.calls.clear()

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        for name, calls in text.trace.extra.get("servers", {}).items():
            if server := self.servers.get(name):
                server.calls.append(calls)
        return super()._keep(instance, request, text, fresh)

    def _gather(self) -> None:
        super()._gather()
        everyones = self.gather_object({name: server.calls for name, server in self.servers.items()}) or []
        self._gathered_calls = {name: [one for calls in everyones for one in calls[name]] for name in self.servers}

    def get_model_info(self) -> dict[str, Any]:
        """Return the facts of `DecoderLM`, with what was asked of each server, what it took and what it costs."""
        info = super().get_model_info()
        kept = info["decoding"]["tokens_by_source"]
        info["decoding"]["servers"] = {
            name: server.report(self._gathered_calls.get(name, []), kept.get(name, 0))
            for name, server in self.servers.items()
        }
        return info


class GuidedOnServer(GuidedByServer):
    """A base on a server; no weights of it are loaded here. The oracle is on a server or on this machine.

    Args:
        tokenizer: the base's, a Hub id or a folder. Left out, it is a local oracle's; with both models on servers text
            alone is exchanged, and tokens are what the servers count.
        max_length: tokens that the servers' models can hold; left out: as the servers say, or 2048.
        dtype, device: of a local oracle.
    """

    def __init__(self, pretrained: Any = None, oracle: str | None = None, base: Any = None, **kwargs: Any) -> None:
        name, tokenizer = expand(base or pretrained)
        address = Address.parse(str(name))
        self._tokenizer_name = kwargs.pop("tokenizer", None) or tokenizer
        self._base = Server.of("base", address, kwargs)
        self._dtype: Any = kwargs.get("dtype") or "auto"
        super().__init__(pretrained=address, oracle=oracle, **{"self_check": False, **kwargs})

    def _find(self, role: str, name: str, kwargs: dict[str, Any]) -> Resolved | None:
        self._oracle_here = super()._find(role, name, kwargs)
        self.servers = {"base": self._base, **self.servers}
        return self._oracle_here

    def load_writer(self, pretrained: Any, **kwargs: Any) -> None:
        """Connect to the base, whose weights are elsewhere. A tokenizer not named is that of an oracle loaded here."""
        self._local_oracle: Weights | None = None
        if self._oracle_here is not None:
            device = torch.device(usable_device(kwargs.get("device")))
            self._local_oracle = load_weights(self._oracle_here, self.oracle_name, self._dtype, device, False)
        if self._tokenizer_name:
            tokenizer = _tokenizer(str(self._tokenizer_name))
        else:
            tokenizer = self._local_oracle.tokenizer if self._local_oracle else TextTokenizer(PieceCodec())
        self._base.connect(None if isinstance(tokenizer, TextTokenizer) else tokenizer)
        length = kwargs.pop("max_length", None)
        if not length:
            lengths = [server.endpoint.context() for server in self.servers.values()]
            length = min((length for length in lengths if length), default=None)
        settle_without_weights(self, pretrained, tokenizer=tokenizer, max_length=length, **kwargs)

    def _load(self, found: Mapping[str, Resolved | None], self_check: bool) -> dict[str, Weights]:
        """Take the oracle, which was loaded before the base's server was asked for its tokenizer."""
        self._base.codec = self._codec()
        if self._local_oracle is None:
            return super()._load(found, self_check)
        self.oracle, self.oracle_tokenizer = self._local_oracle.model, self._local_oracle.tokenizer
        self.token_level = same_tokenizer(self.tokenizer, self.oracle_tokenizer)
        self._settle()
        return {"oracle": self._local_oracle}

    def sampled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Refuse ``sampling=model``: the model's files are not here."""
        if str(values.get("sampling")) == "model":
            raise UserError(
                "sampling=model: the files of a base on a server are not here to be read; set temperature, top_k, "
                "top_p and min_p, or leave sampling out"
            )
        return dict(values)

    def likelihood_settings(self) -> dict[str, Any]:
        """There are no likelihoods."""
        return {"method": "none: the base is on a server"}

    def _likelihoods(self, kind: str, requests: list[Instance], compute: Any, disable_tqdm: bool) -> list[Any]:
        raise no_likelihoods(self.pretrained)

    def writer_facts(self) -> dict[str, Any]:
        """Return what lm_eval's ``hf`` tells of a model, as far as it is known."""
        return {"model_num_parameters": -1, "model_dtype": "", "model_revision": "", "model_sha": ""}

    def weights_identity(self) -> dict[str, Any]:
        """Return what stands for the base in a journal."""
        name = self._tokenizer_name
        return {
            "lmx": lmx_version(),
            "method": self.method,
            "model": self._base.identity(),
            "tokenizer": None if name is None else model_identity(catalogue.resolve(str(name)).pretrained, None, None),
            "max_length": self.max_length,
            "arguments": arguments_identity(
                {name: value for name, value in self.constructor.items() if name in hf_arguments() - _TOLD_ABOVE}
            ),
            "own_arguments": own_identity(self.own_arguments_given()),
        }

    def source_ids(self) -> frozenset[int]:
        """Return the ids that end a text: the tokenizer's, and a local oracle's."""
        ids: frozenset[int] = (
            end_ids(self.oracle, self.oracle_tokenizer) if self.oracle is not None and self.token_level else frozenset()
        )
        return ids | {self.tokenizer.eos_token_id}

    def _rows(self) -> int:
        return self._base.endpoint.access.max_concurrent

    def _prepare(self, requests: Sequence[Instance]) -> list[Request]:
        todo = super()._prepare(requests)
        if not isinstance(self.tokenizer, TextTokenizer):
            return todo
        return [dataclasses.replace(one, stopping=WholeStopping(**vars(one.stopping))) for one in todo]

    def _completion(self, request: Request, finished: Finished) -> Completion:
        text = super()._completion(request, finished)
        if isinstance(self.tokenizer, TextTokenizer):
            # Ids of pieces mean nothing to another process, and the prompt is one piece.
            trace = text.trace
            trace.extra["token_texts"] = self.tokenizer.codec.pieces(trace.tokens)
            prompts = [calls["prompt"] for calls in trace.extra.get("servers", {}).values() if calls["prompt"]]
            trace.prompt_tokens = max(prompts, default=trace.prompt_tokens)
        return text

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        if not fresh and isinstance(self.tokenizer, TextTokenizer):
            text.trace.tokens = self.tokenizer.codec.ids(text.trace.extra["token_texts"], text.trace.finish == "eos")
        return super()._keep(instance, request, text, fresh)


def _tokenizer(name: str) -> Any:
    """Load a tokenizer by a short name, a Hub id or a folder."""
    resolved = catalogue.resolve(name)
    return load_tokenizer(resolved, name)
