"""Exponential moving average of a model's weights."""

from __future__ import annotations

from contextlib import contextmanager

import torch


class WeightAverage:
    """After optimizer step s (from 0): average += (1 - d) * (weights - average), d = min(decay, (1 + s) / (10 + s)).

    The rising d lets the average forget the initial weights however short the training is. It starts as a copy of the
    weights. Buffers that are no floating-point numbers are copied.
    """

    def __init__(self, model: torch.nn.Module, decay: float):
        self.decay, self.model = decay, model
        self.weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        self._share = torch.zeros((), device=next(model.parameters()).device)

    def prepare(self, step: int) -> None:
        """Sets d for the update of optimizer step `step`; what a CUDA graph must not record."""
        self._share.fill_(1 - min(self.decay, (1 + step) / (10 + step)))

    @torch.no_grad()
    def update(self, skipped: torch.Tensor) -> None:
        """Moves towards the model's weights; not at all where `skipped`, a 0-dim float, is 1."""
        share = self._share * (1 - skipped)
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point():
                self.weights[name].lerp_(tensor, share.to(tensor.dtype))
            else:
                self.weights[name].copy_(tensor)

    @contextmanager
    def applied(self):
        """Within the block the model holds the average. Values are swapped, not storage: a CUDA graph that reads the
        weights stays valid."""
        own = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}
        self.model.load_state_dict(self.weights)
        try:
            yield
        finally:
            self.model.load_state_dict(own)
