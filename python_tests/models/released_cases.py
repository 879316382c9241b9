"""Networks, inputs and outputs of the released code, as the reference folder holds them."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from wtal_fast.models import BackTAL, BaSNet, UncertaintyModel
from wtal_fast.structures import NO_CLICK, FeatureBatch

MODELS = {"basnet": BaSNet, "uncertainty": UncertaintyModel, "backtal": BackTAL}
FILES = {"basnet": ("basnet.npz", "basnet_official_state_dict.pth"),
         "uncertainty": ("um.npz", "um_official_state_dict.pth"),
         "backtal": ("backtal.npz", "backtal_official_checkpoint.pth")}
NO_DROPOUT = {"basnet": {"dropout": 0.0}, "backtal": {"dropout": 0.0},
              "uncertainty": {"dropout": 0.0, "selection_dropout": 0.0}}


@dataclass
class ReleasedCase:
    """A freshly loaded model without dropout, the batch it ran on, and the arrays the released code gave for it."""

    model: torch.nn.Module
    batch: FeatureBatch
    arrays: dict[str, np.ndarray]

    def by_time(self, name: str) -> torch.Tensor:
        """A stored sequence as [B, T, C]; BackTAL's are stored as [B, C, T]."""
        array = self.arrays[name]
        return torch.from_numpy(array.transpose(0, 2, 1) if isinstance(self.model, BackTAL) else array)


def released_state(shared: Path, method: str) -> dict[str, torch.Tensor]:
    content = torch.load(shared / "golden/official" / FILES[method][1], weights_only=True)
    return content.get("state_dict", content)


def released_case(shared: Path, method: str) -> ReleasedCase:
    state = released_state(shared, method)
    widths = MODELS[method].widths_of({name: tuple(tensor.shape) for name, tensor in state.items()})
    model = MODELS[method](**widths, **NO_DROPOUT[method])
    model.load_state_dict(state)
    with np.load(shared / "golden/official" / FILES[method][0]) as file:
        arrays = dict(file)
    features = torch.from_numpy(arrays["in/x"])
    clicks = torch.from_numpy(arrays["in/click"]) if "in/click" in arrays else None
    lengths = torch.full((len(features),), features.shape[1])
    return ReleasedCase(model, FeatureBatch(features, lengths, torch.from_numpy(arrays["in/y"]), clicks), arrays)


@cache
def toy_vectors(shared: Path) -> dict:
    return json.loads((shared / "golden/toy_vectors.json").read_text())


def sine(shape: tuple[int, ...], rate: float, phase: float, scale: float = 1.0) -> torch.Tensor:
    """scale * sin(rate * i + phase) at flat index i, the inputs and parameters of the toy vectors."""
    index = torch.arange(int(np.prod(shape)), dtype=torch.float64)
    return (scale * torch.sin(rate * index + phase)).view(shape)


def toy_model(method: str, expected: dict) -> torch.nn.Module:
    """The toy vectors' float64 network in train mode, without dropout; parameters in the stored order."""
    widths = {"basnet": {"filter_dim": 512, "hidden_dim": 2048}, "uncertainty": {"hidden_dim": 2048},
              "backtal": {"filter_dim": 512, "hidden_dim": 2048, "embedding_hidden_dim": 512, "embedding_dim": 32}}
    model = MODELS[method](feature_dim=8, num_classes=3, **widths[method], **NO_DROPOUT[method]).double()
    assert [name for name, _ in model.named_parameters()] == expected["param_order"]
    with torch.no_grad():
        for number, parameter in enumerate(model.parameters()):
            parameter.copy_(sine(tuple(parameter.shape), 0.7390851 + 0.01 * number, 0.2 + 0.1 * number, 0.05))
    return model


def toy_batch(clicks: dict[str, list[int]] | None = None) -> FeatureBatch:
    features = sine((2, 40, 8), 0.37, 0.1)
    clicked = None
    if clicks is not None:
        clicked = torch.full((2, 40), NO_CLICK)
        for video, positions in enumerate(clicks.values()):
            clicked[video, positions] = 3
    labels = torch.tensor([[1.0, 0, 0], [0, 1, 1]], dtype=torch.float64)
    return FeatureBatch(features, torch.tensor([40, 40]), labels, clicked)
