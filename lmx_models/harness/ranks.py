"""Several processes under `accelerate launch`: each writes its share, rank 0 sees what all have to say."""

from __future__ import annotations

from typing import Any

import torch


def use_accelerate_ranks(lm: Any) -> None:
    """Give lm_eval's ``hf`` its rank and number of processes from accelerate.

    lm_eval shards documents over processes only where it sees several GPUs; on CPUs it would run them all twice.
    """
    accelerator = getattr(lm, "accelerator", None)
    if accelerator is not None and accelerator.num_processes > 1 and lm.world_size == 1:
        lm._rank, lm._world_size = accelerator.process_index, accelerator.num_processes


def gather(lm: Any, obj: Any, dst: int) -> list[Any] | None:
    """Gather `obj` from all ranks on rank `dst`; None elsewhere."""
    if lm.world_size <= 1:
        return [obj]
    result: list[Any] | None = [None] * lm.world_size if lm.rank == dst else None
    torch.distributed.gather_object(obj=obj, object_gather_list=result, dst=dst)
    return result
