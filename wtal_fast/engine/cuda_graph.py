"""A training step recorded once as a CUDA graph and replayed: no launch by Python, no gap between kernels."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.config import Config
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.step import TrainingStep
from wtal_fast.errors import InputError

STEPS_BEFORE_RECORDING = 2  # ordinary ones: libraries set themselves up, the optimizer makes its moments


def records_graph(config: Config, device: torch.device, processes: Processes) -> bool:
    """The rule of train.cuda_graph. Raises InputError where "on" cannot be had."""
    settings = config.train
    obstacles = {"a CPU": device.type != "cuda", f"{processes.count} processes": processes.count > 1,
                 f"train.accumulate={settings.accumulate}": settings.accumulate > 1}
    found = [name for name, is_there in obstacles.items() if is_there]
    if settings.cuda_graph == "on" and found:
        raise InputError("train.cuda_graph=on", expected="one process on a CUDA device that computes a batch at once",
                         found=" and ".join(found), fix="train.cuda_graph=auto")
    return settings.cuda_graph != "off" and not found


class RecordedStep:
    """A TrainingStep that runs as a graph, one for each size of batch (an epoch's last one may be smaller), which share
    their memory. Recording each size as it is computes nothing that a padded batch would add, draws the dropout masks
    that an ordinary step draws and gives its results to the bit. Called as the step it holds."""

    def __init__(self, step: TrainingStep):
        self.step = step
        self._calls: dict[int, int] = {}
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, dict[str, Tensor], Tensor]] = {}
        self._pool = None
        self._stream = torch.cuda.Stream()

    @property
    def names(self) -> tuple[str, ...]:
        return self.step.names

    def __call__(self, inputs: dict[str, Tensor], seed: int | None) -> Tensor:
        size = len(inputs["videos"])
        torch.manual_seed(seed)
        if self._calls.setdefault(size, 0) < STEPS_BEFORE_RECORDING:
            self._calls[size] += 1
            return self._ordinary(inputs)
        if size not in self._graphs:
            self._record(size, inputs)
        graph, fixed, values = self._graphs[size]
        for name, tensor in fixed.items():
            tensor.copy_(inputs[name], non_blocking=True)
        graph.replay()
        return values.clone()

    def _ordinary(self, inputs: dict[str, Tensor]) -> Tensor:
        """A step on a stream of its own, as recording wants its predecessors."""
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            values = self.step(inputs, None)
        torch.cuda.current_stream().wait_stream(self._stream)
        return values

    def _record(self, size: int, inputs: dict[str, Tensor]) -> None:
        fixed = {name: tensor.clone() for name, tensor in inputs.items()}
        self.step.optimizer.zero_grad()
        graph = torch.cuda.CUDAGraph()
        # Only this thread must keep still: a StreamedFeed's reader may take pinned memory meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            values = self.step(fixed, None)
        self._pool = graph.pool()
        self._graphs[size] = graph, fixed, values
