"""The training loop of every method."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from wtal_fast import __version__
from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.engine.checkpoint import TrainedModel, load_tensors, model_metadata
from wtal_fast.engine.distributed import Processes, share_of
from wtal_fast.engine.infer import autocast, detect, given_lengths, score
from wtal_fast.engine.methods import build_loss, build_model
from wtal_fast.engine.progress import progress
from wtal_fast.engine.run_folder import RunFolder
from wtal_fast.engine.sampler import BatchPlan, derived_seed, generator
from wtal_fast.errors import InputError
from wtal_fast.evaluation import DetectionMetrics


class Stopped(Exception):
    """Training was interrupted after the checkpoint of `step` was saved."""

    def __init__(self, step: int):
        super().__init__(f"stopped after step {step}")
        self.step = step


@dataclass
class Trainer:
    """Model, loss and optimizer of one run. Every random number of step s is drawn from generators seeded by (seed, s),
    so a resumed run and a run of several processes repeat the uninterrupted single one."""

    config: Config
    dataset: Dataset
    device: torch.device
    processes: Processes

    def __post_init__(self):
        settings = self.config.train
        torch.manual_seed(derived_seed(settings.seed, 0, "model"))
        self.model = build_model(self.config, len(self.dataset.class_names)).to(self.device).train()
        self.loss = build_loss(self.config)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=settings.learning_rate, betas=settings.betas,
                                          eps=settings.eps, weight_decay=settings.weight_decay, fused=True)
        self.stop, self.stopping = threading.Event(), False
        self.videos = hashlib.sha256("\n".join(self.dataset.video_ids).encode()).hexdigest()
        self.plan = BatchPlan(len(self.dataset), settings.batch_size, settings.seed, settings.sampler)
        self.step = 0
        smallest = len(self.dataset) % settings.batch_size or settings.batch_size
        if smallest < self.processes.count:
            raise InputError("train.batch_size", expected="a video for each process in every batch, "
                             f"{self.processes.count} of them", found=f"a batch of {smallest}", fix="fewer processes")

    @property
    def total_steps(self) -> int:
        settings = self.config.train
        if settings.iterations is None and settings.epochs is None:
            raise InputError(f"preset {self.config.preset}", "train.iterations, train.epochs",
                             expected="one of the two", found="neither", fix="train.iterations=N or train.epochs=N")
        return settings.iterations or settings.epochs * self.plan.steps_per_epoch

    def advance(self) -> dict[str, float]:
        """One optimizer step; returns its loss terms."""
        data, seed = self.config.data, self.config.train.seed
        index = self.plan.indices(self.step)
        batch = self.dataset.batch(index, data.num_snippets, data.train_sampling, resize=data.resize,
                                   generator=generator(seed, self.step, "snippets"))
        rows = self.processes.rows(len(index))
        self._shard_dropout(rows, len(index))
        torch.manual_seed(derived_seed(seed, self.step, "dropout"))
        if self.processes.count > 1:
            batch = share_of(batch, rows)
        self.optimizer.zero_grad()
        values = self._agree(self._backward(batch))
        if not all(value == value and abs(value) != float("inf") for value in values.values()):
            raise InputError("training", f"step {self.step + 1}", expected="finite losses", found=str(values),
                             fix="lower train.learning_rate or check the features; videos: "
                                 + ", ".join(self.dataset.video_ids[i] for i in index.tolist()))
        self.optimizer.step()
        self.step += 1
        return values

    def _backward(self, batch) -> dict[str, torch.Tensor]:
        lengths = given_lengths(batch)
        batch = batch.to(self.device)
        with autocast(self.device, self.config.train.precision):
            output = self.model(batch.features, None if lengths is None else lengths.to(self.device))
        terms = self.loss(output, batch)
        terms["total"].backward()
        return {name: term.detach() for name, term in terms.items()}

    def _shard_dropout(self, rows: slice, total: int) -> None:
        for module in self.model.modules():
            if hasattr(module, "shard"):
                module.shard = None if self.processes.count == 1 else (rows.start, total)

    def _agree(self, terms: dict[str, torch.Tensor]) -> dict[str, float]:
        names = sorted(terms)
        stopping = torch.tensor(float(self.stop.is_set()), dtype=torch.float64)
        values = torch.stack([*(terms[name].double().cpu() for name in names), stopping])
        self.processes.sum_([parameter.grad for parameter in self.model.parameters() if parameter.grad is not None])
        self.processes.sum_([values])
        self.stopping = bool(values[-1] > 0)  # any process was asked to stop: all do, at the same step
        return dict(zip(names, values[:-1].tolist(), strict=True))

    def state(self) -> tuple[dict[str, torch.Tensor], dict]:
        """What resuming needs besides the model: the optimizer's moments."""
        tensors = {}
        for name, parameter in self.model.named_parameters():
            moments = self.optimizer.state.get(parameter, {})
            tensors |= {f"{kind}/{name}": torch.as_tensor(value) for kind, value in moments.items()}
        return tensors, {"step": self.step}

    def load(self, folder) -> None:
        """Continues from the checkpoint in `folder`."""
        weights, about = load_tensors(folder / "model.safetensors")
        if (about["class_names"], about["videos"]) != (list(self.dataset.class_names), self.videos):
            raise InputError(folder, expected="the classes and videos the run was started with", found="other ones",
                             fix="resume with the same data, or start a new --output")
        tensors, header = load_tensors(folder / "trainer.safetensors")
        self.model.load_state_dict(weights)
        for name, parameter in self.model.named_parameters():
            moments = {key.split("/", 1)[0]: value for key, value in tensors.items() if key.split("/", 1)[1] == name}
            self.optimizer.state[parameter] = {
                kind: value if kind == "step" else value.to(self.device) for kind, value in moments.items()}
        self.step = header["step"]


@dataclass
class Fitted:
    """The selected model of a finished training and how it was selected."""

    trained: TrainedModel
    selection: str  # as metrics.json says it, for example "best on test (official protocol), step 120"


def fit(config: Config, train: Dataset, test: Dataset | None, device, processes: Processes = Processes(),  # noqa: B008
        run: RunFolder | None = None, resume: bool = False, show: bool = True) -> Fitted:
    """Trains on `train` and returns the model that `train.selection` selects, in eval mode.

    test: scored every train.eval_every steps, where that is set and nothing is held out. run: where checkpoints and
    metrics go; the first process writes it, the others read it to resume.
    Ctrl-C and SIGTERM end the step, save and raise Stopped.
    """
    selection = config.train.selection
    held_out = test if selection == "best_on_test" else None
    if selection == "best_on_holdout":
        train, held_out = train.split_holdout(config.data.holdout, config.train.seed)
    if selection != "last" and (held_out is None or held_out.annotations is None):
        raise InputError(f"train.selection={selection}", expected="annotated segments to score on", found="none",
                         fix="train.selection=last")
    if selection != "last" and config.train.eval_every is None:
        raise InputError(f"train.selection={selection}", "train.eval_every", expected="the steps between two scores",
                         found="nothing", fix="train.eval_every=N")
    trainer = Trainer(config, train, torch.device(device), processes)
    best, total = _Best(config, train.class_names), trainer.total_steps
    if resume and run is not None and run.checkpoints.path("last") is not None:
        trainer.load(run.checkpoints.path("last"))
        best.load(run)
        if processes.is_first:
            run.forget_after(trainer.step)
    writes = run if processes.is_first else None
    if writes is not None:
        writes.open(config)
        classes = len(train.class_names)
        writes.log(f"{config.preset} on {train.source or 'arrays'}: {len(train)} videos, {classes} classes")
        writes.log(f"wtal_fast {__version__}, torch {torch.__version__}, {processes.count} processes, {device}")
    every = config.train.eval_every
    watched = test if held_out is None and every else held_out
    with stop_signals() as trainer.stop, progress("train", total, show and processes.is_first) as bar:
        while trainer.step < total:
            started = time.perf_counter()
            terms = trainer.advance()
            last = trainer.step == total
            if writes is not None:
                writes.record({"step": trainer.step, **terms, "seconds": round(time.perf_counter() - started, 4)})
            bar.update(trainer.step, f"loss {terms['total']:.4f}")
            due = last or every is not None and trainer.step % every == 0
            if due and watched is not None and watched.annotations is not None:
                _evaluate(trainer, watched, best if held_out is not None else None, writes)
            stopping = trainer.stopping if processes.count > 1 else trainer.stop.is_set()
            if writes is not None and (last or stopping or trainer.step % config.train.save_every == 0):
                _save(trainer, writes, best, ("last",))
            if stopping and not last:
                raise Stopped(trainer.step)
    processes.wait()
    if held_out is not None:
        return Fitted(best.trained(), f"{SELECTION_NAMES[selection]}, step {best.step}")
    trained = TrainedModel(trainer.model.eval(), config, train.class_names, trainer.step)
    return Fitted(trained, f"{SELECTION_NAMES[selection]}, step {trainer.step}")


SELECTION_NAMES = {
    "last": "last state",
    "best_on_holdout": "best on held-out training videos",
    "best_on_test": "best on the test set (optimistic; the released code's protocol)",
}


def _evaluate(trainer: Trainer, dataset: Dataset, best: _Best | None, run: RunFolder | None) -> None:
    """Scores the model as it is, records the result, and saves it where it is the best so far."""
    config = trainer.config
    name = "held-out" if config.train.selection == "best_on_holdout" else "test"
    metrics = score(detect(trainer.model, dataset, config, trainer.device), dataset, config, name)
    improved = best is not None and best.consider(metrics, trainer)
    if run is None:
        return
    row = {"step": trainer.step, "evaluated": name, "average_map": metrics.average_map, "map": list(metrics.map)}
    run.record(row | ({} if best is None else {"best": improved}))
    note = ", the best so far" if improved else ""
    run.log(f"step {trainer.step}: average mAP {metrics.average_map:.4f} on {name} videos{note}")
    if improved:
        _save(trainer, run, best, ("last", "best"))


class _Best:
    """The weights with the highest metric so far; the earlier of equal ones."""

    def __init__(self, config: Config, class_names: tuple[str, ...]):
        self.config, self.class_names = config, class_names
        self.value, self.step, self.weights = float("-inf"), 0, None

    def consider(self, metrics: DetectionMetrics, trainer: Trainer) -> bool:
        value = self._value(metrics)
        if value <= self.value:
            return False
        self.value, self.step = value, trainer.step
        self.weights = {name: tensor.detach().cpu().clone() for name, tensor in trainer.model.state_dict().items()}
        return True

    def _value(self, metrics: DetectionMetrics) -> float:
        wanted = self.config.train.selection_metric
        if wanted == "average":
            return float(metrics.average_map)
        for tiou, value in zip(metrics.tiou, metrics.map, strict=True):
            if abs(float(tiou) - float(wanted)) < 1e-9:
                return float(value)
        raise InputError("train.selection_metric", expected="average or one of evaluation.tiou", found=wanted)

    def load(self, run: RunFolder) -> None:
        folder = run.checkpoints.path("best")
        if folder is not None:
            self.weights, header = load_tensors(folder / "model.safetensors")
            self.step, self.value = header["step"], header["best_value"]

    def trained(self) -> TrainedModel:
        model = build_model(self.config, len(self.class_names))
        model.load_state_dict(self.weights)
        return TrainedModel(model.eval(), self.config, self.class_names, self.step)


def _save(trainer: Trainer, run: RunFolder, best: _Best, names: tuple[str, ...]) -> None:
    metadata = model_metadata(trainer.config, trainer.dataset.class_names, trainer.step)
    metadata["videos"] = trainer.videos
    metadata["best_value"] = None if best.weights is None else best.value
    run.checkpoints.save(trainer.step, {"model.safetensors": (trainer.model.state_dict(), metadata),
                                        "trainer.safetensors": trainer.state()}, names)


@contextmanager
def stop_signals():
    """An event set by the first Ctrl-C or SIGTERM; a second one ends the process at once. Main thread only."""
    event = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def handle(number, frame):
        event.set()
        signal.signal(number, signal.SIG_DFL)

    for number in previous:
        signal.signal(number, handle)
    try:
        yield event
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
