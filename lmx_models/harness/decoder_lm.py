"""The bridge from lm_eval to the decoders: requests in, completions out. Likelihoods are lm_eval's own (`HFLM`)."""

from __future__ import annotations

import functools
import logging
import os
import time
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from tqdm import tqdm

from lmx_files.errors import UserError, unknown
from lmx_files.journal import Journal
from lmx_files.values import read_bool, read_int
from lmx_models.core.base import Decoding
from lmx_models.core.completion import Completion
from lmx_models.core.recording import Recorder, read_record
from lmx_models.core.sampling import Sampling
from lmx_models.core.stopping import Stopping
from lmx_models.core.trace import Trace
from lmx_models.decoding.guided.signals import SIGNALS
from lmx_models.engine.scheduler import Finished, Job, Scheduler
from lmx_models.engine.self_check import check
from lmx_models.engine.step_model import StepModel
from lmx_models.harness import ranks
from lmx_models.harness.devices import usable_device
from lmx_models.harness.evaluated import check_asked, check_origins, document_of
from lmx_models.harness.finite import naming_texts
from lmx_models.harness.journaled import JournaledLM
from lmx_models.harness.method_settings import hf_arguments
from lmx_models.harness.resume import ResumeJournal
from lmx_models.records.traces import RunStatistics, TraceFile, pieces_of
from lmx_models.settings.arguments import fields_of, read_as_declared, refuse_unknown
from lmx_models.settings.generation_defaults import unheeded
from lmx_models.settings.requests import Request, answer_of, reasoning_of, sampling_of, without_padding
from lmx_models.zoo import catalogue
from lmx_models.zoo.family_models import FamilyModels
from lmx_models.zoo.from_files import quiet_loading
from lmx_models.zoo.loading import encode_prompt, end_ids, model_name, no_remote_code, safe_additions
from lmx_plugins import threads
from lmx_plugins.evaluation.asked import Asked, asked

log = logging.getLogger(__name__)

DEFAULT_SEED = 1234
FROM_ARGUMENT, FROM_FLAG, FROM_DEFAULT = "model argument seed", "lm_eval's seed for torch (--seed)", "default"

DEFAULT_MODEL = "smollm2-135m"
# What `hf` hands on to `from_pretrained`, and lmx does too. Attention is that of likelihoods: decoders have
# their own. Names with a slash would fetch code from the Hub.
FROM_PRETRAINED = ("attn_implementation", "low_cpu_mem_usage", "variant")
ATTENTION = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")
_QUANTISED = "transformers 5 takes it no more (nor does --model hf): save a quantised folder for pretrained="
# Arguments of lm_eval's `hf` that would be taken and then have no effect on texts.
UNSUPPORTED = {
    "load_in_8bit": _QUANTISED,
    "load_in_4bit": _QUANTISED,
    "mixed_precision_dtype": "set dtype=bfloat16, or use --model hf",
    "tp_plan": "run one process a GPU with accelerate launch, or use --model hf",
}


class DecoderLM(FamilyModels, JournaledLM):
    """An lm_eval model whose texts are written by a decoder of lmx.

    Args:
        pretrained: a short name (``lmx models``), a Hub id, a local folder, or ``folder/file.gguf``.
        seed: of all sampling; each text has its own stream, from seed, task, document and repeat. Left out, it is the
            one that lm_eval gives torch (``--seed``), else 1234.
        traces: a file to which every finished text is appended with its trace (also ``LMX_TRACES``).
        journal: a folder that keeps every finished request, so that a run that died goes on where it was when it is
            started again (also ``LMX_JOURNAL``).
        self_check: compare the engine with the stock model at load.
        record: keep scores of every token in its trace while it is written, see `decoding.recording`.
        **kwargs: settings of the method (defaults for all requests), and any argument of lm_eval's ``hf``.
    """

    method: ClassVar[str]
    own_arguments: ClassVar[tuple[str, ...]] = ()
    models_in_flight: ClassVar[int] = 1

    def __init__(
        self,
        pretrained: Any = DEFAULT_MODEL,
        seed: int | None = None,
        traces: str | None = None,
        journal: str | None = None,
        self_check: bool = True,
        record: Any = None,
        **kwargs: Any,
    ) -> None:
        settings = fields_of(Sampling, *self.configs)
        self.record = read_record(record)
        if "record" in settings and record in SIGNALS:  # guided reads its signal back to set a policy's threshold
            kwargs["record"] = record
        own = ("seed", "traces", "journal", "self_check", "record", "do_sample", *settings, *self.own_arguments)
        valid = {*hf_arguments(), *FROM_PRETRAINED, *UNSUPPORTED, *own}
        refuse_unknown(kwargs, valid, f"--model {self.method} argument")
        no_remote_code(kwargs)
        self._refuse_unsupported(kwargs)
        kwargs, self_check = read_as_declared(HFLM.__init__, kwargs), read_bool("self_check", self_check)
        kwargs["device"] = usable_device(kwargs.get("device"))
        self.seed, self._seed_from = chosen_seed(seed)
        names = (*settings, "do_sample")
        self.settings = {name: kwargs.pop(name) for name in names if name in kwargs}
        # Bad values are refused before any weights are loaded.
        self._configs(self.settings)
        check_asked(asked())
        self._check_generation(asked())
        for name in self.own_arguments:
            kwargs.pop(name, None)
        self.notes: list[str] = []
        self.given: dict[str, Any] = {}
        self._asked_name = model_name(pretrained)
        if isinstance(pretrained, str):
            resolved = catalogue.resolve(pretrained, revision=kwargs.get("revision"))
            pretrained = resolved.pretrained
            if resolved.revision:
                kwargs.setdefault("revision", resolved.revision)
            self.given = {"pretrained": pretrained, **kwargs}
            kwargs["use_safetensors"] = True  # a pickle of somebody else's could run code
            kwargs = safe_additions(kwargs)
            if resolved.note:
                self.notes.append(resolved.note)
        with quiet_loading(self._asked_name):
            self.load_writer(pretrained, **kwargs)
        ranks.use_accelerate_ranks(self)
        if getattr(self, "backend", "causal") != "causal":
            raise UserError(f"{self._asked_name} is not a causal language model; use --model hf for it")
        self.sampled(self.settings)  # refuses what the model's files ask for and lmx cannot do
        if note := unheeded(self.generation_config, self._asked_name):
            self.notes.append(note)
            log.warning(note)
        self.engine_difference = check(self.model, self._asked_name) if self_check else None
        path = traces or os.environ.get("LMX_TRACES")
        folder = journal or os.environ.get("LMX_JOURNAL")
        self.journal = ResumeJournal(Journal(folder, shared=self.world_size > 1)) if folder else None
        self.trace_file = TraceFile(path, self.rank, journaled=bool(folder)) if path else None
        self._start_counting()

    def _refuse_unsupported(self, kwargs: Mapping[str, Any]) -> None:
        for name, mend in UNSUPPORTED.items():
            if kwargs.get(name) is not None:
                raise UserError(f"{name}={kwargs[name]} is not supported by --model {self.method}: {mend}")
        if kwargs.get("attn_implementation") is not None and kwargs["attn_implementation"] not in ATTENTION:
            raise unknown("attn_implementation", str(kwargs["attn_implementation"]), ATTENTION)

    def begin_evaluation(self, asked: Asked) -> None:
        """Forget what an earlier evaluation left in the statistics, and take its seed unless the model has its own."""
        super().begin_evaluation(asked)
        self._check_generation(asked)
        self._start_counting()
        if self._seed_from != FROM_ARGUMENT and asked.seed is not None:
            self.seed, self._seed_from = read_int("--seed", asked.seed, least=0), FROM_FLAG

    def _start_counting(self) -> None:
        self.statistics = RunStatistics()
        self._by_task: dict[str, dict[str, Any]] = {}
        self._truncated = 0
        self._gathered, self._gathered_truncated = self.statistics, 0

    # What a method has to say of itself.

    def decode(self, request: Request) -> Decoding:
        """Return the decoder that writes the text of `request`."""
        raise NotImplementedError

    def step_models(self, rows: int, slots: int) -> dict[str, StepModel]:
        """Return the models that the decoder feeds, by the names it uses, with `rows` rows of `slots` tokens each."""
        return {"ar": StepModel(self.model, rows, slots)}

    def source_ids(self) -> frozenset[int]:
        """Return the ids that end a text."""
        return end_ids(self.model, self.tokenizer)

    # lm_eval's side.

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """Gather `obj` from all ranks on rank `dst`; None elsewhere."""
        return ranks.gather(self, obj, dst)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """Write a text for every request; each is a `Completion` that carries its trace."""
        writers = without_padding(requests)
        wanted = sorted(set(writers))
        texts = dict(zip(wanted, self._write([requests[i] for i in wanted], disable_tqdm), strict=True))
        self._gather()
        return [texts[i] for i in writers]

    def _write(self, requests: list[Instance], disable_tqdm: bool) -> list[str]:
        started = time.perf_counter()
        check_origins(requests)
        todo = self._prepare(requests)
        rows = max(1, min(self._rows(), len(todo)))
        in_flight = min(rows * self.models_in_flight, max(1, len(todo)))
        slots = max((len(one.prompt) + one.stopping.max_tokens for one in todo), default=0)
        scheduler = Scheduler(self.step_models(in_flight, slots), rows, in_flight)
        texts: dict[int, Completion] = {}
        keys = [self.text_key(instance.task_name, one) for instance, one in zip(requests, todo, strict=True)]
        for i, key in enumerate(keys):
            if self.journal and (text := self.journal.text(key)) is not None:
                with self.journal.trusting_nothing():
                    texts[i] = self._keep(requests[i], todo[i], text, fresh=False)
        order = sorted((i for i in range(len(todo)) if i not in texts), key=lambda i: -len(todo[i].prompt))
        jobs = (Job(i, functools.partial(self.decode, todo[i])) for i in order)
        kept = 0
        bar_of = functools.partial(tqdm, disable=disable_tqdm or self.rank != 0)
        title = f"Running {self.method} generate_until"
        with bar_of(total=len(todo), initial=len(texts), desc=title) as bar, naming_texts(self, requests, todo):
            for batch in scheduler.batches(jobs):
                for finished in batch:
                    i = int(str(finished.key))
                    text = texts[i] = self._completion(todo[i], finished)
                    if self.journal:
                        self.journal.add_text(keys[i], requests[i], text)
                    self._keep(requests[i], todo[i], text)
                    kept += len(finished.generation.tokens)
                if self.journal and batch:
                    self.journal.journal.sync()
                bar.set_postfix_str(f"{kept / (time.perf_counter() - started):.1f} tok/s", refresh=False)
                bar.update(len(batch))
        self.statistics.seconds += time.perf_counter() - started
        return [texts[i] for i in range(len(requests))]

    def get_model_info(self) -> dict[str, Any]:
        """Return lm_eval's facts about the model, with the decoding's settings and run-level statistics."""
        info = self.writer_facts()
        info["decoding"] = {
            "method": self.method,
            "model": self._asked_name,
            "settings": self.describe(),
            "settings_by_task": self._by_task,
            "device": "cpu" if self.device.type == "cpu" else str(self.device),  # accelerate numbers its ranks there
            "threads": threads.chosen() | {"torch": torch.get_num_threads()},
            "seed": self.seed,
            "seed_from": self._seed_from,
            "loglikelihood": self.likelihood_settings(),
            "engine_self_check": self.engine_difference,
            "truncated_prompts": self._gathered_truncated,
            "notes": self.notes,
            **self._gathered.as_dict(),
        }
        return info

    def prompt_tokens(self, context: str) -> list[int]:
        """Tokenize a prompt as lm_eval's ``hf`` does when it writes."""
        ids = encode_prompt(self.tokenizer, context, self.add_bos_token, bool(getattr(self, "truncation", False)))
        return ids or [self.prefix_token_id]

    def _prepare(self, requests: Sequence[Instance]) -> list[Request]:
        """Tokenize, truncate as lm_eval does (from the left, to leave room for max_gen_toks), and merge settings."""
        seen: dict[Hashable, int] = {}
        eos = self.source_ids()
        todo = []
        before = self._truncated
        for instance in requests:
            context, gen_kwargs = instance.args
            given, limit, until = self._generation(gen_kwargs)
            room = self.max_length - limit
            if room < 1:
                raise UserError(
                    f"max_gen_toks={limit} must be at least 1 and leave room for a prompt in the context of "
                    f"{self.max_length} tokens: set --gen_kwargs max_gen_toks=N"
                )
            prompt = self.prompt_tokens(context)
            if len(prompt) > room:
                self._truncated += 1
                prompt = prompt[-room:]
            where = (instance.task_name, document_of(instance), instance.idx)
            repeat = seen[where] = seen.get(where, -1) + 1
            values = self.sampled({**self.settings, **given})
            self._by_task.setdefault(str(instance.task_name), {**self.plain(values), "max_gen_toks": limit})
            reasoning = reasoning_of(self.think_end_token, self.tokenizer, context)
            stopping = Stopping(limit, eos, tuple(until), self._decode_text, reasoning, self.new_recorder())
            seeds = (self.seed, *where, repeat)
            todo.append(Request(context, prompt, sampling_of(values), stopping, values, seeds))
        if self._truncated > before:
            log.warning(
                "%d of %d prompts were longer than the context (%d tokens) less max_gen_toks and lost their beginning",
                self._truncated - before,
                len(todo),
                self.max_length,
            )
        return todo

    def new_recorder(self) -> Recorder | None:
        """Return what keeps the scores of one text's tokens, None without ``record=``."""
        return Recorder(self.record, max(self.tokenizer.get_vocab().values()) + 1) if self.record else None

    def identity(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return all that a text and its trace depend on."""
        return super().identity(values) | ({"record": self.record} if self.record else {})

    def _completion(self, request: Request, finished: Finished) -> Completion:
        generation = request.stopping.with_recorded(finished.generation)
        answer = answer_of(request.stopping, generation)
        trace = Trace(
            tokens=generation.tokens,
            segments=generation.segments,
            finish=generation.finish,
            prompt_tokens=len(request.prompt),
            dropped=generation.dropped,
            cost=finished.cost,
            seconds_to_first=round(finished.seconds_to_first, 4),
            seconds=round(finished.seconds, 4),
            extra=generation.extra,
        )
        return Completion(answer, trace)

    def _keep(self, instance: Instance, request: Request, text: Completion, fresh: bool = True) -> Completion:
        if self.trace_file:
            pieces = pieces_of(request.stopping.text(text.trace.tokens), text.trace, self._decode_text)
            repeat = int(str(request.seeds[-1]))
            self.trace_file.write(instance.task_name, document_of(instance), repeat, request.context, text, pieces)
        self.statistics.add(text, fresh)
        self.cache_hook.add_partial("generate_until", instance.args, text)
        return text

    def _decode_text(self, tokens: Iterable[int]) -> str:
        text: str = self.tokenizer.decode(list(tokens), skip_special_tokens=True)
        return text

    def _rows(self) -> int:
        if isinstance(self.batch_size, int):
            return self.batch_size
        return 16 if self.device.type == "cpu" else 64

    def _gather(self) -> None:
        """Bring the statistics of all ranks together on rank 0 (every rank calls this the same number of times)."""
        total, truncated = RunStatistics(), 0
        for statistics, more in self.gather_object((self.statistics, self._truncated)) or []:
            total.merge(statistics)
            truncated += more
        self._gathered, self._gathered_truncated = total, truncated


def chosen_seed(given: Any) -> tuple[int, str]:
    """Return the seed of all sampling, and where it comes from."""
    if given is not None:
        return read_int("seed", given, least=0), FROM_ARGUMENT
    flag = asked().seed
    return (DEFAULT_SEED, FROM_DEFAULT) if flag is None else (read_int("--seed", flag, least=0), FROM_FLAG)
