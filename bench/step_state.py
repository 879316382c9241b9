"""A training step's weights and Adam's moments on disk, so that a measurement that was cut short goes on from there."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.training import Step
from wtal_fast.files import atomic_path


class StepState:
    """The states of one side of a measurement in `folder`, one file for each number of steps done.

    Of two processes that ran unequally far when they were stopped the one ahead still has the other's number: a state
    is deleted only when its second successor is written.
    """

    def __init__(self, folder: Path, side: str):
        self.folder, self.side = folder, side

    def _path(self, done: int) -> Path:
        return self.folder / f"{self.side}-{done}.safetensors"

    def save(self, step: Step, done: int) -> None:
        """Writes the state after `done` steps."""
        with atomic_path(self._path(done)) as path:
            save_file(_tensors(step), path)
        self._path(done - 2).unlink(missing_ok=True)

    def load(self, step: Step, done: int) -> None:
        """Puts `step` where save(step, done) left it; as it is for 0 steps."""
        if done == 0:
            return
        loaded = load_file(self._path(done))
        with torch.no_grad():
            for name, parameter in step.model.named_parameters():
                parameter.copy_(loaded[f"weights/{name}"])
                step.optimizer.state[parameter] = {
                    key: loaded[f"{key}/{name}"] for key in ("step", "exp_avg", "exp_avg_sq")}



def _tensors(step: Step) -> dict[str, Tensor]:
    found = {}
    for name, parameter in step.model.named_parameters():
        found[f"weights/{name}"] = parameter.detach()
        found |= {f"{key}/{name}": value for key, value in step.optimizer.state[parameter].items()}
    return {name: tensor.contiguous() for name, tensor in found.items()}
