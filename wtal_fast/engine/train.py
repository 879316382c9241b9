"""The training loop of every method."""

from __future__ import annotations

import signal
import threading
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from wtal_fast import __version__
from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.engine.checkpoint import TrainedModel, load_tensors, model_metadata
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.feed import placed
from wtal_fast.engine.infer import detect, score
from wtal_fast.engine.methods import build_model
from wtal_fast.engine.profiling import StepProfile
from wtal_fast.engine.progress import progress
from wtal_fast.engine.run_folder import RunFolder
from wtal_fast.engine.trainer import Trainer
from wtal_fast.errors import InputError
from wtal_fast.evaluation import DetectionMetrics


class Stopped(Exception):
    """Training was interrupted after the checkpoint of `step` was saved."""

    def __init__(self, step: int):
        super().__init__(f"stopped after step {step}")
        self.step = step


@dataclass
class Fitted:
    """The selected model of a finished training and how it was selected."""

    trained: TrainedModel
    selection: str  # as metrics.json says it, for example "best on test (official protocol), step 120"


def fit(config: Config, train: Dataset, test: Dataset | None, device, processes: Processes = Processes(),  # noqa: B008
        run: RunFolder | None = None, resume: bool = False, show: bool = True, profile: bool = False) -> Fitted:
    """Trains on `train` and returns the model that `train.selection` selects, in eval mode.

    test: scored every train.eval_every steps, where that is set and nothing is held out. run: where checkpoints and
    metrics go; the first process writes it, the others read it to resume. profile: write a StepProfile there.
    Ctrl-C and SIGTERM end the step, save and raise Stopped.
    """
    selection, device = config.train.selection, torch.device(device)
    train = placed(train, device, config.data.resident)
    test = None if test is None else placed(test, device, config.data.resident)
    held_out = test if selection == "best_on_test" else None
    if selection == "best_on_holdout":
        train, held_out = train.split_holdout(config.data.holdout, config.train.seed)
    if selection != "last" and (held_out is None or held_out.annotations is None):
        raise InputError(f"train.selection={selection}", expected="annotated segments to score on", found="none",
                         fix="train.selection=last")
    if selection != "last" and config.train.eval_every is None:
        raise InputError(f"train.selection={selection}", "train.eval_every", expected="the steps between two scores",
                         found="nothing", fix="train.eval_every=N")
    trainer = Trainer(config, train, device, processes, may_record=not profile)
    best, total = _Best(config, train.class_names), trainer.total_steps
    if resume and run is not None and run.checkpoints.path("last") is not None:
        _resume(trainer, run, processes)
        best.load(run)
    if resume and run is not None and processes.is_first:
        run.forget_after(trainer.step)
    writes = run if processes.is_first else None
    if writes is not None:
        writes.open(config)
        classes = len(train.class_names)
        writes.log(f"{config.preset} on {train.source or 'arrays'}: {len(train)} videos, {classes} classes")
        writes.log(f"wtal_fast {__version__}, torch {torch.__version__}, {processes.count} processes, {device}")
    every = config.train.eval_every
    watched = test if held_out is None and every else held_out
    advance = trainer.advance
    if profile and writes is not None:
        scored = watched if watched is not None else test
        evaluate = None if scored is None or scored.annotations is None else partial(_metrics, trainer, scored)
        advance = StepProfile(trainer, run.folder, evaluate).advance
    unread, started = [], time.perf_counter()
    with stop_signals() as trainer.stop, progress("train", total, show and processes.is_first) as bar:
        while trainer.step < total:
            unread.append(advance())
            last = trainer.step == total
            due = last or every is not None and trainer.step % every == 0
            saves = last or trainer.step % config.train.save_every == 0
            asked = processes.count == 1 and trainer.stop.is_set()
            if not (due or saves or asked or len(unread) == trainer.reads_every):
                continue
            rows = trainer.read(unread)
            seconds = round((time.perf_counter() - started) / len(rows), 4)
            for step, terms in enumerate(rows, trainer.step - len(rows) + 1):
                if writes is not None:
                    writes.record({"step": step, **terms, "seconds": seconds})
            bar.update(trainer.step, f"loss {rows[-1]['total']:.4f}")
            if due and watched is not None and watched.annotations is not None:
                _evaluate(trainer, watched, best if held_out is not None else None, writes)
            stopping = asked or trainer.stopping
            if writes is not None and (saves or stopping):
                _save(trainer, writes, best, ("last",))
            if stopping and not last:
                raise Stopped(trainer.step)
            unread, started = [], time.perf_counter()
    processes.wait()
    if held_out is not None:
        return Fitted(best.trained(), f"{SELECTION_NAMES[selection]}, step {best.step}")
    if trainer.average is not None:
        trainer.model.load_state_dict(trainer.average.weights)
    trained = TrainedModel(trainer.model.eval(), config, train.class_names, trainer.step)
    return Fitted(trained, f"{SELECTION_NAMES[selection]}, step {trainer.step}")


def _resume(trainer: Trainer, run: RunFolder, processes: Processes) -> None:
    """Continues from the last checkpoint, or from the one before it where the last is damaged."""
    last, previous = run.checkpoints.path("last"), run.checkpoints.path("previous")
    try:
        trainer.load(last)
    except InputError as damage:
        if previous is None or previous == last:
            raise
        trainer.load(previous)
        warnings.warn(f"{damage}; training continues from the checkpoint before it, step {trainer.step}", stacklevel=3)
        processes.wait()
        if processes.is_first:
            run.checkpoints.fall_back()


SELECTION_NAMES = {
    "last": "last state",
    "best_on_holdout": "best on held-out training videos",
    "best_on_test": "best on the test set (optimistic; the released code's protocol)",
}


def _evaluate(trainer: Trainer, dataset: Dataset, best: _Best | None, run: RunFolder | None) -> None:
    """Scores the model as it is, records the result, and saves it where it is the best so far."""
    with trainer.averaged():
        metrics = _metrics(trainer, dataset)
        improved = best is not None and best.consider(metrics, trainer)
    if run is None:
        return
    name = _name_of_scored(trainer.config)
    row = {"step": trainer.step, "evaluated": name, "average_map": metrics.average_map, "map": list(metrics.map)}
    run.record(row | ({} if best is None else {"best": improved}))
    note = ", the best so far" if improved else ""
    run.log(f"step {trainer.step}: average mAP {metrics.average_map:.4f} on {name} videos{note}")
    if improved:
        _save(trainer, run, best, ("last", "best"))


def _metrics(trainer: Trainer, dataset: Dataset) -> DetectionMetrics:
    config = trainer.config
    return score(detect(trainer.model, dataset, config, trainer.device), dataset, config, _name_of_scored(config))


def _name_of_scored(config: Config) -> str:
    return "held-out" if config.train.selection == "best_on_holdout" else "test"


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
    weights = trainer.model.state_dict() if trainer.average is None else trainer.average.weights
    run.checkpoints.save(trainer.step, {"model.safetensors": (weights, metadata),
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
