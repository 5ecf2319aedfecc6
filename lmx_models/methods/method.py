"""What a way of decoding is, told once: `--model NAME`, hybrid, iterative, journals and results all read it here."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_models.core.base import Decoding
from lmx_models.core.sampling import Sampling
from lmx_models.engine import flash_attention
from lmx_models.methods.weights import Weights
from lmx_models.records.fingerprint import plugin_code
from lmx_models.records.traces import RunStatistics
from lmx_models.settings.arguments import build, fields_of, refuse_unknown
from lmx_models.settings.requests import Request, sampling_of
from lmx_models.zoo.loading import same_tokenizer

Start = Callable[..., Decoding]  # of a `Request` and its `Weights` by role
Chosen = Callable[[Any], "tuple[str, str | None] | None"]
EXACT, BOUND = "ar", "mc"


@dataclass(frozen=True, eq=False)
class Method:
    """A way of decoding.

    Attributes:
        name: what ``--model`` and ``method:`` call it.
        start: makes the decoder of a request, given the weights by role; the request's values are named as fields.
        roles: the names under which the decoder feeds its models; the first is the model that writes the text
            (``pretrained``), each other one becomes an argument of its name. Left out: one, called as the method.
        settings: dataclasses of what a request may set, besides `Sampling`.
        run_settings: dataclasses of what holds for a whole run under ``--model NAME``.
        models: the model of a role that the user does not name. A further role without one must be named. That of a
            further role may be a function from the writing model, as it was named, to a name and what is to be said of
            the choice; None: it must be named.
        likelihood: `EXACT`: the autoregressive likelihood of the writing model means something; `BOUND`: the class
            estimates one; None: there is none.
        names: what users call a field, where that is not its name.
        of_model: settings that follow the model's family or config unless they are given.
        defaults: returns those settings for a loaded writing model.
        check: raises a `UserError` for settings that do not go together.
        fit: raises a `UserError` for loaded models that the method cannot use with these settings.
        one_tokenizer: all its models must have the tokenizer of the first.
        identity: returns what else a text depends on with these settings, as JSON-serialisable data for a journal: the
            content of the files that they name.
        notes: returns what the results are to say of these settings.
        counts: returns what to count of a text, from its trace's `extra`: summed over the texts of a run, or by stage.
        summary: returns what the results tell of these sums and the others of a run.
        flash: flash-attention may compute its attention (`engine.flash_attention`): then ``attn`` is an argument.
    """

    name: str
    start: Start
    roles: tuple[str, ...] = ()
    settings: tuple[type, ...] = ()
    run_settings: tuple[type, ...] = ()
    models: Mapping[str, str | Chosen] = field(default_factory=dict)
    likelihood: str | None = EXACT
    names: Mapping[str, str] = field(default_factory=dict)
    of_model: tuple[str, ...] = ()
    defaults: Callable[[Weights], Mapping[str, Any]] | None = None
    check: Callable[[Mapping[str, Any]], None] | None = None
    fit: Callable[[Mapping[str, Weights], Mapping[str, Any]], None] | None = None
    one_tokenizer: bool = True
    identity: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    notes: Callable[[Mapping[str, Any]], Sequence[str]] | None = None
    counts: Callable[[Mapping[str, Any]], Mapping[str, int]] | None = None
    summary: Callable[[RunStatistics], Mapping[str, Any]] | None = None
    flash: bool = False

    def __post_init__(self) -> None:
        if not self.roles:
            object.__setattr__(self, "roles", (self.name,))

    @property
    def others(self) -> tuple[str, ...]:
        """The roles beside the model that writes: arguments of the same names."""
        return self.roles[1:]

    def fields(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings under the names of the fields."""
        return {self.names.get(name, name): value for name, value in values.items()}

    def as_written(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings under the names that users write, as JSON-serialisable data."""
        users = {field: name for name, field in self.names.items()}
        return {users.get(name, name): "inf" if one == float("inf") else one for name, one in settings.items()}

    def of(self, writer: Weights | None) -> dict[str, Any]:
        """Return the settings that follow the writing model; none of one that is on a server."""
        return dict(self.defaults(writer)) if self.defaults and writer else {}

    def decoder(self, request: Request, weights: Mapping[str, Weights], **more: Any) -> Decoding:
        """Return the decoder of a request, whose values are named as fields; `more` is what `start` takes besides."""
        values = {**self.of(weights.get(self.roles[0])), **request.values}
        return self.start(dataclasses.replace(request, values=values), weights, **more)

    def depends_on(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a text depends on besides its models and the settings `values`, as users write them."""
        return dict(self.identity(self.fields(values))) if self.identity else {}

    def note(self, values: Mapping[str, Any], notes: list[str]) -> None:
        """Add to `notes` what is to be said of settings, as users write them, each once."""
        said = self.notes(self.fields(values)) if self.notes else ()
        notes += [one for one in said if one not in notes]

    def counted(self, extra: Mapping[str, Any]) -> Mapping[str, int]:
        """Return what is to be counted of a text, from its trace's `extra`."""
        return self.counts(extra) if self.counts else {}

    def code(self) -> str | None:
        """Return a hash of the plugin's code that the method comes from; None for lmx's own."""
        return plugin_code((self.start,))


@dataclass(frozen=True)
class AttentionConfig:
    """`attn`: ``sdpa`` (PyTorch's kernels), ``flash`` (the package flash-attn; CUDA, 16 bits), or ``auto``."""

    attn: str = "auto"

    def __post_init__(self) -> None:
        if self.attn not in flash_attention.CHOICES:
            raise unknown("attn", self.attn, flash_attention.CHOICES)


def setting_types(method: Method) -> dict[str, Any]:
    """Return the names of all settings of a method as users write them, sampling included, with their types."""
    hints = fields_of(Sampling, *method.settings, *method.run_settings)
    return {**method.as_written(hints), "do_sample": bool}


def check_settings(method: Method, settings: Mapping[str, Any], where: str) -> None:
    """Raise a `UserError` for a setting that the method does not have or whose value it does not take."""
    refuse_unknown(map(str, settings), setting_types(method), f"setting of {where}:")
    try:
        plain_settings(method, settings)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def plain_settings(method: Method, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return all settings that `values` stand for, defaults included, as JSON-serialisable data.

    None stands for what the model's own files say.
    """
    values = method.fields(values)
    if method.check is not None:
        method.check(values)
    configs = [sampling_of(values), *(build(config, values) for config in (*method.settings, *method.run_settings))]
    settings = method.as_written({name: one for config in configs for name, one in dataclasses.asdict(config).items()})
    return settings | {name: None for name in method.of_model if values.get(name) is None}


def check_fit(method: Method, weights: Mapping[str, Weights], values: Mapping[str, Any], where: str = "") -> None:
    """Raise a `UserError` if a method cannot use the loaded models; `where` begins it."""
    try:
        if method.one_tokenizer:
            _refuse_other_tokenizers(method, weights)
        if method.fit is not None:
            method.fit(weights, method.fields(values))
    except UserError as error:
        if not where:
            raise
        raise UserError(f"{where}: {error}") from error


def _refuse_other_tokenizers(method: Method, weights: Mapping[str, Weights]) -> None:
    writer = weights[method.roles[0]]
    for role in method.others:
        if not same_tokenizer(writer.tokenizer, weights[role].tokenizer):
            raise UserError(
                f"{role}={weights[role].name} has another tokenizer than {writer.name}, and {method.name} needs one "
                "for all its models: name two models of one family"
            )
