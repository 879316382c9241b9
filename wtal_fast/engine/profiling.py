"""Where the time of a training step goes: a trace for a viewer and a table in words."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path

import torch
from torch.autograd.profiler import record_function
from torch.profiler import ProfilerActivity

from wtal_fast.engine.trainer import Trainer
from wtal_fast.files import atomic_path, save_text

PROFILED_STEPS = 10
WARM_UP = 3  # steps before: libraries set themselves up, memory is taken
PARTS = ("data", "forward", "loss", "backward", "optimizer")
_PRODUCT = re.compile(r"aten::(addmm|mm|bmm|baddbmm|mv|_mkl_linear|(mkldnn|cudnn|slow)_?conv\w*|mkldnn_linear\w*|"
                      r"convolution_backward)$|mkldnn::\w+$|gemm|cutlass|xmma|nvjet|implicit_convolve", re.IGNORECASE)


class StepProfile:
    """Call `advance` instead of the trainer's. Of the steps after the warm-up it waits for the device around each part,
    then writes folder/profile_trace.json (Chrome's trace format) and folder/profile.txt, the table.

    evaluate: called once after the profiled steps and timed, or None. Nothing it does changes the training.
    """

    def __init__(self, trainer: Trainer, folder: Path, evaluate: Callable[[], object] | None = None,
                 steps: int = PROFILED_STEPS):
        self.trainer, self.folder, self.evaluate = trainer, folder, evaluate
        left = trainer.total_steps - trainer.step
        self.first = trainer.step + min(WARM_UP, max(0, left - 1))
        self.count = min(steps, trainer.step + left - self.first)
        self.seconds: dict[str, float] = defaultdict(float)
        self._profiler = None

    def advance(self) -> torch.Tensor:
        """trainer.advance()"""
        if self.trainer.step == self.first and self.count:
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if self._on_cuda else [])]
            self._profiler = torch.profiler.profile(activities=activities)
            self._profiler.start()
            self.trainer.set_region(self.region)
        if self._profiler is None:
            return self.trainer.advance()
        with self.region("step"):
            values = self.trainer.advance()
        if self.trainer.step == self.first + self.count:
            self._finish()
        return values

    @contextmanager
    def region(self, name: str):
        """A block whose time, the device's included, counts as `name`."""
        self._wait()
        started = time.perf_counter()
        with record_function(name):
            yield
            self._wait()
        self.seconds[name] += time.perf_counter() - started

    @property
    def _on_cuda(self) -> bool:
        return self.trainer.device.type == "cuda"

    def _wait(self) -> None:
        if self._on_cuda:
            torch.cuda.synchronize(self.trainer.device)

    def _finish(self) -> None:
        self.trainer.set_region(record_function)
        profiler, self._profiler = self._profiler, None
        profiler.stop()
        products = self._product_seconds(profiler)
        if self.evaluate is not None:
            with self.region("evaluation"):
                self.evaluate()
        self.folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(self.folder / "profile_trace.json") as temporary:
            profiler.export_chrome_trace(str(temporary))
        save_text(self.folder / "profile.txt", self.table(products))

    def _product_seconds(self, profiler) -> float:
        """Time in matrix products and convolutions: of kernels on a GPU, of ops on a CPU."""
        own = "self_device_time_total" if self._on_cuda else "self_cpu_time_total"
        return sum(getattr(row, own) for row in profiler.key_averages() if _PRODUCT.search(row.key)) / 1e6

    def table(self, products: float) -> str:
        """A line for each part: milliseconds a step and share of the step."""
        config, whole = self.trainer.config, self.seconds["step"]
        parts = {name: self.seconds[name] for name in PARTS}
        rows = [*parts.items(), ("rest", whole - sum(parts.values())), ("step", whole),
                ("matrix products", products)]
        lines = [f"{config.preset}, batches of {config.train.batch_size}, {config.train.precision}, "
                 f"{self.trainer.device}: steps {self.first + 1} to {self.first + self.count}, without CUDA graph",
                 f"{'':<16} {'ms a step':>10} {'share':>7}"]
        lines += [f"{name:<16} {1e3 * seconds / self.count:>10.2f} {seconds / whole:>7.1%}" for name, seconds in rows]
        if self.evaluate is not None:
            lines.append(f"{'one evaluation':<16} {1e3 * self.seconds['evaluation']:>10.2f}")
        return "\n".join(lines) + "\n"
