"""Several processes under `accelerate launch`: each writes its share, rank 0 sees what all have to say."""

from __future__ import annotations

from typing import Any

import torch


class Ranks:
    """What `HFLM` lacks to run over several processes on CPUs. Mix in before it."""

    rank: int
    world_size: int

    def use_accelerate_ranks(self) -> None:
        """Take rank and number of processes from accelerate.

        lm_eval shards documents over processes only where it sees several GPUs; on CPUs it would run them all twice.
        """
        accelerator = getattr(self, "accelerator", None)
        if accelerator is not None and accelerator.num_processes > 1 and self.world_size == 1:
            self._rank, self._world_size = accelerator.process_index, accelerator.num_processes

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        """Gather `obj` from all ranks on rank `dst`; None elsewhere."""
        if self.world_size <= 1:
            return [obj]
        result: list[Any] | None = [None] * self.world_size if self.rank == dst else None
        torch.distributed.gather_object(obj=obj, object_gather_list=result, dst=dst)
        return result
