"""Training steps of ours and of the released code on equal weights and batches: forward, loss, backward, Adam."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bench.released import backtal, backtal_loss, basnet, uncertainty
from wtal_fast.engine.infer import autocast
from wtal_fast.engine.methods import build_loss, build_model, configure
from wtal_fast.structures import NO_CLICK, FeatureBatch

METHODS = ("basnet", "uncertainty", "backtal")
NAMES = {"basnet": "BaS-Net", "uncertainty": "UM", "backtal": "BackTAL"}
CLASSES = 20
CLICKS_A_VIDEO = 11  # 2,264 clicks on 200 videos of THUMOS'14
RELEASED = {"basnet": (basnet.BaSNet, basnet.loss), "uncertainty": (uncertainty.UncertaintyModel, uncertainty.loss),
            "backtal": (backtal.BackTAL, backtal_loss.loss)}
WIDTHS = {"basnet": ("hidden_dim", "filter_dim"), "uncertainty": ("hidden_dim",),
          "backtal": ("hidden_dim", "filter_dim", "embedding_hidden_dim", "embedding_dim")}


@dataclass(frozen=True)
class Shape:
    """Batch and widths of a step; the defaults are THUMOS'14 at the released widths."""

    videos: int = 16
    snippets: int = 750
    features: int = 2048
    hidden: int = 2048
    classes: int = CLASSES
    kernel_size: int = 3  # BackTAL's h; the released code knows 3 only

    def __str__(self) -> str:
        width = f"{self.features}" if self.features == self.hidden else f"{self.features}->{self.hidden}"
        taps = "" if self.kernel_size == 3 else f", h={self.kernel_size}"
        return f"B={self.videos}, T={self.snippets}, {width} wide, C={self.classes}{taps}"


def settings(method: str, shape: Shape, dropout: bool) -> dict[str, object]:
    """Overrides of the official THUMOS'14 preset; the narrow layers keep their share of the width."""
    values = {"model.feature_dim": shape.features, "model.hidden_dim": shape.hidden}
    if method != "uncertainty":
        values["model.filter_dim"] = max(8, shape.features // 4)
    if method == "backtal":
        values |= {"model.embedding_hidden_dim": max(8, shape.features // 4),
                   "model.kernel_size": shape.kernel_size}
    if not dropout:
        values |= {"model.dropout": 0.0} | ({"model.selection_dropout": 0.0} if method == "uncertainty" else {})
    return values


def random_batch(shape: Shape, device: str = "cpu", dtype: torch.dtype = torch.float32, seed: int = 0) -> FeatureBatch:
    """Features like those after a ReLU; one video in eight has two labels; background clicks on every video."""
    draw = torch.Generator().manual_seed(seed)
    features = torch.randn(shape.videos, shape.snippets, shape.features, generator=draw).abs_().mul_(0.5)
    labels = torch.zeros(shape.videos, shape.classes)
    clicks = torch.full((shape.videos, shape.snippets), NO_CLICK)
    for video in range(shape.videos):
        labels[video, torch.randperm(shape.classes, generator=draw)[: 1 + (video % 8 == 7)]] = 1
        clicks[video, torch.randperm(shape.snippets, generator=draw)[:CLICKS_A_VIDEO]] = shape.classes
    lengths = torch.full((shape.videos,), shape.snippets)
    return FeatureBatch(features.to(dtype), lengths, labels.to(dtype), clicks).to(device)


@dataclass
class Step:
    """One training step a call, on the same batch; returns the loss before the update."""

    model: nn.Module
    forward: Callable[[FeatureBatch], object]
    loss: Callable[[object, FeatureBatch], Tensor]
    optimizer: torch.optim.Optimizer
    batch: FeatureBatch

    def __call__(self) -> Tensor:
        self.optimizer.zero_grad()
        total = self.loss(self.forward(self.batch), self.batch)
        total.backward()
        self.optimizer.step()
        return total.detach()

    def without_dropout(self) -> list[Tensor]:
        """One step without dropout: the loss, and the norm of every parameter's gradient."""
        layers = {module: module.p for module in self.model.modules() if hasattr(module, "p")}
        for module in layers:
            module.p = 0.0
        total = self()
        for module, p in layers.items():
            module.p = p
        return [total, *(parameter.grad.norm() for _, parameter in sorted(self.model.named_parameters()))]


def our_step(method: str, batch: FeatureBatch, shape: Shape, dropout: bool = True, precision: str = "fp32",
             seed: int = 0) -> Step:
    """The step of the engine with the official preset, in the dtype of the batch's features."""
    config = configure(f"{method}/thumos14/official", settings(method, shape, dropout))
    torch.manual_seed(seed)
    model = build_model(config, shape.classes).to(batch.features.device, batch.features.dtype).train()
    loss = build_loss(config)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.train.learning_rate,
                                 weight_decay=config.train.weight_decay, fused=True)

    def forward(batch: FeatureBatch):
        with autocast(batch.features.device, precision):
            return model(batch.features, None)

    return Step(model, forward, lambda output, batch: loss(output, batch)["total"], optimizer, batch)


def released_step(method: str, ours: Step) -> Step:
    """The restated step of the released code from the weights that `ours` has now, on its batch."""
    weights = {name: tensor.detach().clone() for name, tensor in ours.model.state_dict().items()}
    network, loss = RELEASED[method]
    model = network(**arguments(method, ours.model), num_classes=ours.model.num_classes)
    model.to(ours.batch.features.device, ours.batch.features.dtype).load_state_dict(weights)
    defaults = ours.optimizer.defaults
    optimizer = torch.optim.Adam(model.parameters(), lr=defaults["lr"], weight_decay=defaults["weight_decay"])
    return Step(model.train(), lambda batch: model(batch.features), loss, optimizer, ours.batch)


def arguments(method: str, model: nn.Module) -> dict[str, object]:
    """Widths and dropout of one of our models, as the restated one takes them."""
    found = type(model).widths_of({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})
    values = {"feature_dim": found["feature_dim"], **{name: found[name] for name in WIDTHS[method]}}
    dropouts = [module.p for module in model.modules() if hasattr(module, "p")]
    if method == "uncertainty":
        return values | dict(zip(("dropout", "selection_dropout"), dropouts, strict=True))
    return values | {"dropout": dropouts[0]}
