"""Model, loss and optimizer of one run, its steps and its state."""

from __future__ import annotations

import hashlib
import threading
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.engine.average import WeightAverage
from wtal_fast.engine.checkpoint import load_tensors
from wtal_fast.engine.cuda_graph import RecordedStep, records_graph
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.feed import training_feed
from wtal_fast.engine.methods import build_loss, build_model
from wtal_fast.engine.sampler import BatchPlan, derived_seed
from wtal_fast.engine.step import TrainingStep
from wtal_fast.errors import InputError

UNREAD_STEPS = 16  # a GPU is given so many steps ahead before the host waits for their losses


@dataclass
class Trainer:
    """Every random number of step s is drawn from generators seeded by (seed, s), so a resumed run and a run of several
    processes repeat the uninterrupted single one. average: of the weights, where train.ema_decay is set.
    reads_every: steps after which `read` must be called. may_record: a CUDA graph hides the parts of a step from a
    profile."""

    config: Config
    dataset: Dataset
    device: torch.device
    processes: Processes
    may_record: bool = True

    def __post_init__(self):
        settings = self.config.train
        torch.manual_seed(derived_seed(settings.seed, 0, "model"))
        self.model = build_model(self.config, len(self.dataset.class_names)).to(self.device).train()
        self.loss = build_loss(self.config)
        on_cuda = self.device.type == "cuda"
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, betas=settings.betas,
                                          eps=settings.eps, weight_decay=settings.weight_decay, fused=True,
                                          capturable=on_cuda)
        self.average = None if settings.ema_decay is None else WeightAverage(self.model, settings.ema_decay)
        self.stop, self.stopping, self.step = threading.Event(), False, 0
        self.videos = hashlib.sha256("\n".join(self.dataset.video_ids).encode()).hexdigest()
        self.plan = BatchPlan(len(self.dataset), settings.batch_size, settings.seed, settings.sampler)
        self._check()
        feed = training_feed(self.config, self.dataset, self.plan, self.device, self.processes)
        step = TrainingStep(self.config, self.model, self.loss, self.optimizer, self.average, feed, self.processes)
        self._feed = feed
        records = records_graph(self.config, self.device, self.processes) and self.may_record
        self._step, self._run = step, RecordedStep(step) if records else step
        self.reads_every = UNREAD_STEPS if on_cuda and self.processes.count == 1 else 1

    def _check(self) -> None:
        settings, count = self.config.train, self.processes.count
        smallest = len(self.dataset) % settings.batch_size or settings.batch_size
        if smallest < count:
            raise InputError("train.batch_size", expected="a video for each process in every batch, "
                             f"{count} of them", found=f"a batch of {smallest}", fix="fewer processes")
        if getattr(self.loss, "needs_whole_batch", False) and max(count, settings.accumulate) > 1:
            raise InputError("loss.mined_background", expected="one process and train.accumulate=1: it ranks the "
                             "snippets of the whole batch against each other",
                             found=f"{count} processes, train.accumulate={settings.accumulate}",
                             fix="one process, or loss.mined_background=0")

    @property
    def total_steps(self) -> int:
        settings = self.config.train
        if settings.iterations is None and settings.epochs is None:
            raise InputError(f"preset {self.config.preset}", "train.iterations, train.epochs",
                             expected="one of the two", found="neither", fix="train.iterations=N or train.epochs=N")
        return settings.iterations or settings.epochs * self.plan.steps_per_epoch

    def advance(self) -> Tensor:
        """One optimizer step; returns its loss terms for `read`."""
        with self._step.region("data"):
            inputs = self._feed.inputs(self.step, is_last=self.step + 1 == self.total_steps)
            if self.processes.count > 1:
                asked = float(self.stop.is_set())
                inputs["stop"] = torch.full((1,), asked, dtype=torch.float64, device=self.device)
        if self.average is not None:
            self.average.prepare(self.step)
        values = self._run(inputs, derived_seed(self.config.train.seed, self.step, "dropout"))
        self.step += 1
        return values

    def set_region(self, region) -> None:
        """Makes the parts of a step run in blocks region(name): data, forward, loss, backward and optimizer."""
        self._step.region = region

    def read(self, unread: list[Tensor]) -> list[dict[str, float]]:
        """The loss terms by name that the last len(unread) calls of advance returned. Raises InputError where one is
        not finite; the weights are then those of the step before."""
        rows, names = torch.stack(unread).tolist(), self._run.names
        for number, row in enumerate(rows, self.step - len(rows)):
            terms = dict(zip(names, row, strict=False))
            if not all(value == value and abs(value) != float("inf") for value in row):
                videos = ", ".join(self.dataset.video_ids[i] for i in self.plan.indices(number).tolist())
                raise InputError("training", f"step {number + 1}", expected="finite losses", found=str(terms),
                                 fix=f"lower train.learning_rate or check the features; videos: {videos}")
        self.stopping = self.processes.count > 1 and rows[-1][-1] > 0  # any was asked to stop: all do, at the same step
        return [dict(zip(names, row, strict=False)) for row in rows]

    def averaged(self):
        """A block in which the model holds the weights that are scored and saved: their average, where it is kept."""
        return nullcontext() if self.average is None else self.average.applied()

    def state(self) -> tuple[dict[str, Tensor], dict]:
        """What resuming needs besides the saved model: the optimizer's moments and, where the model was saved averaged,
        the weights themselves."""
        tensors = {}
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"{kind}/{name}": torch.as_tensor(value) for kind, value in moments.items()}
        if self.average is not None:
            tensors |= {f"weight/{name}": tensor for name, tensor in self.model.state_dict().items()}
        return tensors, {"step": self.step}

    def load(self, folder) -> None:
        """Continues from the checkpoint in `folder`."""
        weights, about = load_tensors(folder / "model.safetensors")
        if (about["class_names"], about["videos"]) != (list(self.dataset.class_names), self.videos):
            raise InputError(folder, expected="the classes and videos the run was started with", found="other ones",
                             fix="resume with the same data, or start a new --output")
        tensors, header = load_tensors(folder / "trainer.safetensors")
        kinds: dict[str, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            kind, _, name = key.partition("/")
            kinds.setdefault(kind, {})[name] = value
        own = kinds.pop("weight", weights)
        if self.average is not None:
            self.average.weights = {name: tensor.to(self.device) for name, tensor in weights.items()}
        self.model.load_state_dict(own)
        on_cuda = self.device.type == "cuda"
        for name, parameter in self.model.named_parameters():
            self.optimizer.state[parameter] = {
                kind: values[name].to(self.device) if on_cuda or kind != "step" else values[name]
                for kind, values in kinds.items() if name in values}
        self.step = header["step"]
