"""Which videos make batch number `step`: a pure function of seed and step, so resuming needs no sampler state."""

from __future__ import annotations

from dataclasses import dataclass

import torch

STREAMS = {"model": 0, "order": 1, "snippets": 2, "dropout": 3}


def derived_seed(seed: int, step: int, stream: str) -> int:
    """The seed of one kind of random number at one step."""
    return ((seed + 1) * 0x9E3779B1 + step * 8 + STREAMS[stream]) % 2**63


def generator(seed: int, step: int, stream: str) -> torch.Generator:
    """A CPU generator that depends on nothing but its arguments, so that a resumed run draws the same."""
    return torch.Generator().manual_seed(derived_seed(seed, step, stream))


@dataclass(frozen=True)
class BatchPlan:
    """Batches over `num_videos`, shuffled anew each epoch, the last batch of an epoch possibly smaller.

    sampler "epoch_then_random" is the released BaS-Net's: one epoch, then every step an independent draw of batch_size
    distinct videos.
    """

    num_videos: int
    batch_size: int
    seed: int
    sampler: str = "epochs"

    @property
    def steps_per_epoch(self) -> int:
        return -(-self.num_videos // self.batch_size)

    def indices(self, step: int) -> torch.Tensor:
        """int64 indices of the videos of optimizer step `step` (from 0)."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if self.sampler == "epoch_then_random" and epoch > 0:
            return torch.randperm(self.num_videos, generator=generator(self.seed, step, "order"))[: self.batch_size]
        order = torch.randperm(self.num_videos, generator=generator(self.seed, epoch * self.steps_per_epoch, "order"))
        return order[position * self.batch_size : (position + 1) * self.batch_size]
