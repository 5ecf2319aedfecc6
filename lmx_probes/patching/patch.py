"""Runs in which activations are replaced at one place: layer, component, positions.

Every patch comes down to a change of what one layer hands on at some positions: attention and MLP act at a position on
what earlier positions and layers hold, which a patch leaves as it was. So the patched layer is computed for the patched
tokens alone, and the rest, from the first patched position on and from the next layer up, as `suffix.py` does.
Patched runs are batched as rows. Hooks of their own read back, at every patch, what the model was handed: the new value
at the patched place, and the base's, bit for bit, at all others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from lmx_probes.patching.capture import Run, capture
from lmx_probes.patching.components import Sites, sites_of
from lmx_probes.patching.hooks import first, hooked, removing
from lmx_probes.patching.suffix import Row, Suffixes

Tensor = torch.Tensor
TOKENS = 1024
"""Tokens of one forward of patched rows: enough to keep a CPU's cores busy, few enough for its caches."""


@dataclass(frozen=True, eq=False)
class Patch:
    """One patched run.

    Attributes:
        base: the run that is patched. positions: of its tokens, rising.
        values: what stands there instead, ``[positions, width]``; of a head, its own columns.
    """

    base: Run
    component: str
    layer: int
    positions: tuple[int, ...]
    values: Tensor
    head: int | None = None


class PatchError(RuntimeError):
    """A patch did not land: a fault of the program or a model that computes otherwise than its class says."""


def patch_from(
    sites: Sites, base: Run, source: Run, component: str, layer: int, positions: Sequence[int], head: int | None = None
) -> Patch:
    """Return the patch that puts the activations of `source` into `base`, at the same positions."""
    sites.check(component, layer, head)
    values = source.at(component, layer, positions, sites.columns(head))
    return Patch(base, component, layer, tuple(positions), values, head)


class Patcher:
    """Runs patched texts through one model.

    Attributes:
        landed: patches that were read back and found in place, so far. unchanged: patches that equal what they replace.

    Raises:
        UserError: the model is not shaped as `sites_of` needs it.
    """

    def __init__(self, model: Any, narrow: bool = True, tokens: int = TOKENS) -> None:
        self.model = model
        self.sites = sites_of(model)
        self.suffixes = Suffixes(model, self.sites, narrow)
        self.tokens = tokens
        self.landed = self.unchanged = 0

    def capture(
        self, texts: Sequence[Sequence[int]], components: Sequence[str] = ("residual",), bases: Sequence[Run] = ()
    ) -> list[Run]:
        """Run whole texts and keep what patching these components needs.

        Args:
            bases: for each text a run of the same components that begins alike; see `capture`.
        """
        needed = {*components, "head"} if set(components) - {"residual"} else set(components)
        return capture(self.suffixes, texts, needed, bases)

    @torch.inference_mode()
    def run(self, patches: Sequence[Patch], identical: bool = False, columns: Tensor | None = None) -> Tensor:
        """Return the logits after the last token of each patched run, fp32 ``[patches, vocabulary]``.

        A patch that equals what it replaces, bit for bit, leaves the base's own run; so does one of the last layer at
        other positions than the last, which nothing reads. Both are not run again.

        Args:
            identical: run the first kind all the same, to see how far rounding carries.
            columns: return the logits of these tokens only, ``[patches, columns]``.

        Raises:
            PatchError: a patch did not land.
        """
        if not patches:
            vocabulary = self.model.get_output_embeddings().weight
            return vocabulary.new_zeros((0, len(vocabulary) if columns is None else len(columns)), dtype=torch.float32)
        wanted = slice(None) if columns is None else columns
        logits: list[Tensor] = [patch.base.logits[wanted] for patch in patches]
        by_layer: dict[int, list[int]] = {}
        for i, patch in enumerate(patches):
            self.sites.check(patch.component, patch.layer, patch.head)
            by_layer.setdefault(patch.layer, []).append(i)
        for layer, chosen in sorted(by_layer.items()):
            hidden = self._handed_on(layer, [patches[i] for i in chosen])
            todo = []
            for i, value in zip(chosen, hidden, strict=True):
                patch = patches[i]
                same = torch.equal(value, patch.base.at("residual", layer, patch.positions))
                self.unchanged += same
                unread = layer == self.sites.layers - 1 and len(patch.base.tokens) - 1 not in patch.positions
                if (identical or not same) and not unread:
                    todo.append((i, value))
            for batch in self._batches(patches, todo, layer):
                found = self._forward(layer, [(patches[i], value) for i, value in batch], identical)
                for (i, _), row in zip(batch, found, strict=True):
                    logits[i] = row[wanted]
        return torch.stack(logits)

    def _start(self, patch: Patch, layer: int) -> int:
        """Return the first position to compute: of the last layer only the last is read."""
        return len(patch.base.tokens) - 1 if layer == self.sites.layers - 1 else patch.positions[0]

    def _batches(
        self, patches: Sequence[Patch], todo: list[tuple[int, Tensor]], layer: int
    ) -> Iterator[list[tuple[int, Tensor]]]:
        """Yield runs that fit one forward, those of the same start and length together."""
        bases: dict[int, int] = {}  # rows of one base follow each other, for attention reads its keys once
        for i, _ in todo:
            bases.setdefault(id(patches[i].base), len(bases))

        def place(each: tuple[int, Tensor]) -> tuple[int, int, int, int]:
            patch = patches[each[0]]
            return self._start(patch, layer), len(patch.base.tokens), bases[id(patch.base)], each[0]

        todo.sort(key=place)
        batch: list[tuple[int, Tensor]] = []
        total = 0
        for each in todo:
            n = len(patches[each[0]].base.tokens) - self._start(patches[each[0]], layer)
            if batch and total + n > self.tokens:
                yield batch
                batch, total = [], 0
            batch.append(each)
            total += n
        if batch:
            yield batch

    def _forward(self, layer: int, batch: Sequence[tuple[Patch, Tensor]], identical: bool) -> Tensor:
        """Run from layer + 1 up with the patched values handed on by `layer`; check that they were."""
        rows, hidden, changed = [], [], []
        begin = 0
        for patch, value in batch:
            start = self._start(patch, layer)
            base = patch.base
            rows.append(Row(base.tokens[start:], start, base.keys, base.values))
            own = base.activations["residual"][layer][start:].clone()
            kept = [k for k, p in enumerate(patch.positions) if p >= start]
            places = [patch.positions[k] - start for k in kept]
            own[places] = value[kept]
            hidden.append(own)
            changed.append(([begin + place for place in places], value[kept]))
            begin += len(own)
        seen: list[Tensor] = []
        block = self.sites.blocks[layer].layer
        with removing(block.register_forward_hook(lambda _m, _a, output: seen.append(first(output)[0].clone()))):
            logits, _, _ = self.suffixes.forward(rows, first=layer + 1, hidden=torch.cat(hidden))
        base_values = torch.cat([p.base.activations["residual"][layer][self._start(p, layer) :] for p, _ in batch])
        self._check(seen, base_values, changed, f"layer {layer}", identical)
        return logits

    def _check(
        self, seen: list[Tensor], base: Tensor, changed: Sequence[tuple[list[int], Tensor]], where: str, same: bool
    ) -> None:
        if len(seen) != 1:
            raise PatchError(f"the patch at {where} did not land: the layer ran {len(seen)} times, not once")
        equal = (seen[0] == base).all(dim=-1)
        for places, value in changed:
            if not torch.equal(seen[0][places], value):
                raise PatchError(f"the patch at {where} did not land: the model was handed other values")
            if bool(equal[places].all()) and not same:
                raise PatchError(f"the patch at {where} changed nothing")
        rest = torch.ones(len(base), dtype=torch.bool, device=base.device)
        rest[[place for places, _ in changed for place in places]] = False
        if not bool(equal[rest].all()):
            raise PatchError(f"the patch at {where} changed activations beside it")
        self.landed += len(changed)

    def _handed_on(self, layer: int, patches: Sequence[Patch]) -> list[Tensor]:
        """Return what `layer` hands on at the patched positions, ``[positions, width]`` for each patch."""
        found: list[Tensor] = [patch.values for patch in patches]
        inner = [i for i, patch in enumerate(patches) if patch.component != "residual"]
        step = max(1, self.tokens // max([len(patches[i].positions) for i in inner], default=1))
        for start in range(0, len(inner), step):
            chosen = inner[start : start + step]
            for i, value in zip(chosen, self._layer_alone(layer, [patches[i] for i in chosen]), strict=True):
                same = torch.equal(patches[i].values, self._replaced(patches[i]))
                found[i] = patches[i].base.at("residual", layer, patches[i].positions) if same else value
        return found

    def _replaced(self, patch: Patch) -> Tensor:
        return patch.base.at(patch.component, patch.layer, patch.positions, self.sites.columns(patch.head))

    def _layer_alone(self, layer: int, patches: Sequence[Patch]) -> list[Tensor]:
        """Run one layer for the patched tokens alone: its attention's part is known from the base, or patched."""
        rows: list[Row] = []
        inputs: list[Tensor] = []
        heads: list[Tensor] = []
        want: dict[str, list[tuple[int, int, Patch]]] = {"attention": [], "mlp": [], "head": []}
        for patch in patches:
            base, begin = patch.base, len(rows)
            rows += [Row((base.tokens[p],), p) for p in patch.positions]
            own = base.at("head", layer, patch.positions)
            if patch.component == "head":
                own[:, self.sites.columns(patch.head)] = patch.values
            heads.append(own)
            if layer:
                inputs.append(base.at("residual", layer - 1, patch.positions))
            want[patch.component].append((begin, len(rows), patch))
        read: dict[str, list[Tensor]] = {"attention": [], "mlp": [], "head": [], "residual": []}
        block = self.sites.blocks[layer]
        with contextlib.ExitStack() as stack:
            inner = torch.cat(heads).unsqueeze(0)
            for name, values in read.items():
                replace = (lambda _: inner) if name == "head" else partial(_replaced_rows, want.get(name, []))
                stack.enter_context(hooked(block, name, replace))
                stack.enter_context(hooked(block, name, partial(_kept, values)))  # reads what the one before left
            self.suffixes.forward(rows, first=layer, hidden=torch.cat(inputs) if layer else None, only=layer)
        for name, members in want.items():
            for begin, end, patch in members:
                self._check_inside(read[name], slice(begin, end), patch, layer)
        ends = [end for members in want.values() for _, end, _ in members]
        begins = [begin for members in want.values() for begin, _, _ in members]
        handed = read["residual"][0]
        return [handed[begin:end] for begin, end in sorted(zip(begins, ends, strict=True))]

    def _check_inside(self, read: list[Tensor], part: slice, patch: Patch, layer: int) -> None:
        where = f"layer {layer}, {patch.component}" + ("" if patch.head is None else f" {patch.head}")
        if len(read) != 1:
            raise PatchError(f"the patch at {where} did not land: the module ran {len(read)} times, not once")
        columns = self.sites.columns(patch.head)
        if not torch.equal(read[0][part][:, columns], patch.values):
            raise PatchError(f"the patch at {where} did not land: the model was handed other values")
        if patch.head is not None:
            rest = torch.ones(read[0].shape[1], dtype=torch.bool)
            rest[columns] = False
            if not torch.equal(read[0][part][:, rest], patch.base.at("head", layer, patch.positions)[:, rest]):
                raise PatchError(f"the patch at {where} changed other heads")


def _replaced_rows(parts: Sequence[tuple[int, int, Patch]], found: Tensor) -> Tensor | None:
    """Return a module's output ``[1, rows, width]`` with some rows replaced."""
    if not parts:
        return None
    hidden = found.clone()
    for begin, end, patch in parts:
        hidden[0, begin:end] = patch.values
    return hidden


def _kept(seen: list[Tensor], found: Tensor) -> None:
    seen.append(found[0].clone())
