"""A check, at load, that the cached engine computes what the model computes."""

from __future__ import annotations

from typing import Any

import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Feed
from lmx_models.core.distributions import NotFiniteError
from lmx_models.engine.step_model import StepModel


@torch.inference_mode()
def check(model: Any, name: str) -> float:
    """Compare cached forwards with one full forward on a short random input; refuse the model if they differ.

    Two rows are fed in pieces of several sizes, with a roll-back of wrong tokens in between, as decoders do.

    Returns:
        The difference of all logits, relative to them: a ratio of Euclidean norms, each position's mean taken off. In
        16 bits rounding alone makes it some hundredths, as it does between two forwards of other shapes; a token at a
        place next to its own makes it nearly 1.

    Raises:
        UserError: the model's architecture does not work with the slot cache.
    """
    generator = torch.Generator().manual_seed(0)
    vocabulary = model.get_input_embeddings().num_embeddings
    tokens = torch.randint(0, vocabulary, (2, 14), generator=generator).tolist()
    try:
        full = model(input_ids=torch.tensor(tokens, device=model.device), use_cache=False).logits.float()
        step = StepModel(model, 2)
        for key in (0, 1):
            step.open(key)
        got: list[list[torch.Tensor]] = [[], []]
        begin = [0, 0]
        for pieces in zip((7, 1, 4, 1, 1), (3, 1, 1, 1, 8), strict=True):
            wrong = [(key, Feed("", tokens[1 - key][: key + 2], keep=0)) for key in (0, 1)]
            step.step(wrong)
            feeds = [
                (key, Feed("", tokens[key][begin[key] : begin[key] + n], at=begin[key], logits=n))
                for key, n in enumerate(pieces)
            ]
            for key, logits in enumerate(step.step(feeds)[0]):
                got[key].append(logits)
                begin[key] += pieces[key]
        cached = torch.stack([torch.cat(rows) for rows in got])
    except NotFiniteError:
        raise UserError(
            f"{name}: logits are NaN or infinite: the weights are damaged, or the numbers too large for "
            f"{str(model.dtype).removeprefix('torch.')}. Try dtype=float32 or bfloat16, or a fresh copy"
        ) from None
    except (TypeError, AttributeError, RuntimeError, ValueError, LookupError) as error:
        raise UserError(
            f"{name}: the decoding engine cannot run {type(model).__name__} ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no message'}). Use --model hf for this model"
        ) from error
    cached, full = (logits - logits.mean(-1, keepdim=True) for logits in (cached, full))
    difference = float((cached - full).norm() / full.norm())
    tolerance = 1e-3 if model.dtype == torch.float32 else 0.15
    if not difference <= tolerance:
        raise UserError(
            f"{name}: logits of cached forwards of {type(model).__name__} differ from those of a full forward by "
            f"{difference:.1e} of their size (allowed: {tolerance:g}), so its decoding would be wrong. Use --model hf "
            "for this model"
        )
    return difference
