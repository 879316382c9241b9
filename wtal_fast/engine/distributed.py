"""Several processes under torchrun that together compute exactly what one process would on the same batch."""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from wtal_fast.structures import NO_CLICK, BatchTotals

LONGEST_WAIT = timedelta(days=1)  # the others wait while the first process localizes and scores


@dataclass(frozen=True)
class Processes:
    """This process's rank among `count`. One process needs no communication."""

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rows(self, batch_size: int) -> slice:
        """The rows of a batch this process computes: contiguous, sizes differing by one at most."""
        return slice(batch_size * self.rank // self.count, batch_size * (self.rank + 1) // self.count)

    def sum_(self, tensors: list[torch.Tensor]) -> None:
        """Replaces each tensor by its sum over all processes, in one message."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(flat)
        for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(total.view_as(tensor))

    def wait(self) -> None:
        if self.count > 1:
            dist.barrier()


def join_processes(device: torch.device) -> Processes:
    """Joins the group torchrun started, or returns the single process."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return Processes()
    if not dist.is_initialized():
        if device.type == "cuda":
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=LONGEST_WAIT)
        atexit.register(dist.destroy_process_group)
    return Processes(dist.get_rank(), dist.get_world_size())


def count_totals(clicks: torch.Tensor | None, num_classes: int, num_videos: int) -> BatchTotals:
    """What a part of a batch divides its means by; clicks [B, T] of the whole batch. Counts are 0-dim tensors on the
    device of the clicks, which no host needs to read."""
    if clicks is None:
        return BatchTotals(num_videos, 0, 0)
    return BatchTotals(num_videos, (clicks != NO_CLICK).sum(), (clicks == num_classes).any(1).sum())
