"""What can be known of models before their weights are loaded, so that a mistake is found before hours of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue, families
from lmx_models.zoo.from_files import config_from, quiet_loading
from lmx_models.zoo.loading import same_tokenizer
from lmx_models.zoo.resolved import Resolved
from lmx_probes import models
from lmx_probes.entropy.encode import Encoded, context_of, encode, first_of
from lmx_probes.entropy.generate import prompt_ids
from lmx_probes.entropy.inputs import Item
from lmx_probes.entropy.measure import Scored


@dataclass(frozen=True)
class Known:
    """A model whose weights are not loaded.

    Attributes:
        name: as the user named it. vocabulary: a hash of its tokenizer's tokens and ids.
        context: most tokens that it reads. rows: of its output, one an id. None where its configuration says nothing.
    """

    name: str
    resolved: Resolved
    tokenizer: Any
    vocabulary: str
    context: int | None
    rows: int | None

    @property
    def ids(self) -> int:
        """Number of ids that stand for a token and have a row."""
        size = models.vocabulary_of(self.tokenizer)
        return size if self.rows is None else min(size, self.rows)


def known(name: str) -> Known:
    """Look a model up.

    Raises:
        UserError: there is none of that name, or its configuration or tokenizer cannot be read.
    """
    resolved = catalogue.resolve(name)
    tokenizer = models.tokenizer_of(name)
    with quiet_loading(name):
        of_family = families.read(resolved.pretrained, resolved.revision)
        config = of_family[1] if of_family else config_from(resolved.pretrained, resolved.revision)
    config = config.get_text_config()
    rows = getattr(config, "vocab_size", None)
    return Known(
        name, resolved, tokenizer, models.vocabulary_hash(tokenizer), context_of(config), int(rows) if rows else None
    )


def check_same(found: Sequence[Known]) -> list[str]:
    """Check that models can be compared token by token; return what a reader should know.

    Raises:
        UserError: their vocabularies differ, or one lacks rows of its output that another has.
    """
    first, notes = found[0], []
    advice = "Measure each by itself, or let each write with --mode generate and compare bits per byte"
    for each in found[1:]:
        if each.vocabulary != first.vocabulary:
            sizes = " and ".join(f"{models.vocabulary_of(one.tokenizer):,}" for one in (first, each))
            count, token = _differing(first.tokenizer, each.tokenizer)
            raise UserError(
                f"{first.name} and {each.name} have other vocabularies ({sizes} ids; {count:,} tokens differ, "
                f"the first is {token!r}), so they cannot be compared token by token. {advice}"
            )
        if each.ids != first.ids:
            raise UserError(
                f"{first.name} gives probabilities to {first.ids:,} tokens of the vocabulary and {each.name} to "
                f"{each.ids:,} (rows of their outputs), so they cannot be compared token by token. {advice}"
            )
        if first_of(first.tokenizer) != first_of(each.tokenizer) or not same_tokenizer(first.tokenizer, each.tokenizer):
            notes.append(
                f"{each.name} would begin or cut texts otherwise than {first.name} does: both read the tokens of "
                f"{first.name}"
            )
    return notes


def _differing(a: Any, b: Any) -> tuple[int, str]:
    """Return how many tokens have another id or none in one of two vocabularies, and the one of the lowest id."""
    first, second = a.get_vocab(), b.get_vocab()
    differ = {token for token in {*first, *second} if first.get(token) != second.get(token)}
    return len(differ), min(differ, key=lambda token: (first.get(token, second.get(token)), token))


def encode_all(items: Sequence[Item], found: Sequence[Known], notes: list[str]) -> Scored:
    """Return all texts as the first model's tokenizer reads them; what a reader should know is added to `notes`.

    Raises:
        UserError: a text is too long for one of the models, or has a token that one has no output for.
    """
    longest = min((each.context for each in found if each.context is not None), default=None)
    encoded = [encode(item, found[0].tokenizer, longest) for item in items]
    again = sum(each.again for each in encoded)
    if any(item.tokens is not None for item in items) and again:
        notes.append(
            f"{again} of {len(encoded)} texts are not these ids in this tokenizer, or have none: encoded again"
        )
    if cut := sum(bool(each.dropped) for each in encoded):
        notes.append(
            f"{cut} prompts were longer than the {longest} tokens that the models read and lost their beginning"
        )
    for each in found:
        _check_ids(each, items, encoded)
    return Scored(items, encoded)


def _check_ids(model: Known, items: Sequence[Item], encoded: Sequence[Encoded]) -> None:
    if model.rows is None:
        return
    for item, each in zip(items, encoded, strict=True):
        if (highest := max(each.tokens)) >= model.rows:
            raise UserError(
                f"{item.where}: it holds {model.tokenizer.decode([highest])!r}, id {highest} of the tokenizer, and "
                f"{model.name} has {model.rows:,} rows of output: it knows no such token. Leave the text out"
            )


def check_prompts(items: Sequence[Item], found: Sequence[Known]) -> None:
    """Check that every model has room to write behind every prompt.

    Raises:
        UserError: one has not.
    """
    for each in found:
        prompts = prompt_ids(items, each.tokenizer, each.name, each.context)
        _check_ids(each, items, [Encoded(ids, 1) for ids in prompts])
