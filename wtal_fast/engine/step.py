"""One optimizer step: forward, loss, backward, update; nothing in it is read by the host."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.autograd.profiler import record_function

from wtal_fast.config import Config
from wtal_fast.engine.average import WeightAverage
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.feed import ResidentFeed, StreamedFeed
from wtal_fast.engine.precision import autocast, matrix_mode


class TrainingStep:
    """Calling it with the inputs of a feed trains on that batch and returns the loss terms, float64 [n], unread.

    The terms are in the order of `names`, known after the first call; of several processes one number more: how many of
    them were asked to stop. A step with a term that is not finite leaves weights, moments and average as they were.
    train.accumulate parts of the batch are differentiated one after the other; dropout masks are those of the whole
    batch, drawn anew from `seed` for each part.
    """

    def __init__(self, config: Config, model: torch.nn.Module, loss, optimizer: torch.optim.Optimizer,
                 average: WeightAverage | None, feed: ResidentFeed | StreamedFeed, processes: Processes):
        self.config, self.model, self.loss, self.optimizer = config, model, loss, optimizer
        self.average, self.feed, self.processes = average, feed, processes
        self.names: tuple[str, ...] = ()
        self.region = record_function  # what the parts of a step run in

    def __call__(self, inputs: dict[str, Tensor], seed: int | None) -> Tensor:
        """seed: of the dropout masks; None where the caller has set it."""
        total = len(inputs["videos"])
        self.optimizer.zero_grad()
        with matrix_mode(self.config.train.precision):
            values = sum(self._differentiate(inputs, rows, total, seed) for rows in self._parts(total))
        if self.processes.count > 1:
            values = torch.cat([values, inputs["stop"]])
            gradients = [parameter.grad for parameter in self.model.parameters() if parameter.grad is not None]
            self.processes.sum_(gradients)
            self.processes.sum_([values])
        with self.region("optimizer"):
            is_bad = (~values.isfinite().all()).float()
            self.optimizer.found_inf = is_bad  # what a GradScaler sets: the fused update then changes nothing
            self.optimizer.step()
            if self.average is not None:
                self.average.update(is_bad)
        return values

    def _parts(self, total: int) -> Iterator[slice]:
        """The rows of this process, in train.accumulate parts whose sizes differ by one at most."""
        own, parts = self.processes.rows(total), self.config.train.accumulate
        bounds = [own.start + (own.stop - own.start) * part // parts for part in range(parts + 1)]
        return (slice(start, stop) for start, stop in zip(bounds, bounds[1:], strict=False) if stop > start)

    def _differentiate(self, inputs: dict[str, Tensor], rows: slice, total: int, seed: int | None) -> Tensor:
        for module in self.model.modules():
            if hasattr(module, "shard"):
                module.shard = None if rows == slice(0, total) else (rows.start, total)
        if seed is not None:
            torch.manual_seed(seed)
        with self.region("data"):
            batch = self.feed.part(inputs, rows)
        with self.region("forward"), autocast(batch.features.device, self.config.train.precision):
            output = self.model(batch.features, None)
        with self.region("loss"):
            terms = self.loss(output, batch)
        with self.region("backward"):
            terms["total"].backward()
        self.names = tuple(sorted(terms))
        return torch.stack([terms[name].detach().double() for name in self.names])
