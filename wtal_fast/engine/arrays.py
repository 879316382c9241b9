"""Training and localization on arrays in memory: no folders needed."""

from __future__ import annotations

from typing import Any

import torch

from wtal_fast.config import Config
from wtal_fast.data.dataset import from_arrays
from wtal_fast.engine.checkpoint import TrainedModel
from wtal_fast.engine.experiment import check_clicks, check_width
from wtal_fast.engine.infer import detect
from wtal_fast.engine.methods import configure
from wtal_fast.engine.train import fit
from wtal_fast.structures import Detections


def train(features, labels, clicks=None, preset: str = "basnet/streams/recommended", *, class_names=None,
          durations=None, device: str = "cpu", show: bool = True, **overrides: Any) -> TrainedModel:
    """A model trained on arrays in memory.

    features: V arrays [L, D], one a video. labels: class names of each video, or multi-hot [V, C] with class_names.
    clicks: for each video a list of (second, class name or "background"), for methods that use them.
    durations: seconds [V]; by default the number of snippets times the preset's stride / fps.
    overrides: settings as train={"iterations": 100} or **{"train.iterations": 100}.
    """
    flat = flatten_overrides(overrides)
    flat.setdefault("model.feature_dim", int(features[0].shape[1]))
    if clicks is not None:
        flat.setdefault("data.click_kinds", "both")
    config = configure(preset, flat)
    dataset = from_arrays(features, labels, clicks=clicks, class_names=class_names, durations=durations,
                          config=config.data)
    check_width(config, dataset)
    check_clicks(config, dataset)
    return fit(config, dataset, None, device, show=show).trained


def localize(model: TrainedModel, features, *, video_ids=None, durations=None, device: str = "cpu", show: bool = False,
             **overrides: Any) -> Detections:
    """Detections of the videos whose features [L, D] are given; times in seconds.

    overrides: settings of the model's localization, for example localization={"class_threshold": 0.1}.
    """
    config = override(model.config, flatten_overrides(overrides))
    dataset = from_arrays(features, None, class_names=model.class_names, video_ids=video_ids, durations=durations,
                          config=config.data)
    check_width(config, dataset)
    return detect(model.model.to(torch.device(device)), dataset, config, device, show)


def override(config: Config, flat: dict[str, Any]) -> Config:
    """The recorded configuration with settings that do not change the weights laid over it."""
    from wtal_fast.engine.methods import restore_config

    values = config.model_dump(mode="json")
    for key, value in flat.items():
        section, _, name = key.partition(".")
        values.setdefault(section, {})[name] = value
    return restore_config(values, "overrides")


def flatten_overrides(overrides: dict[str, Any]) -> dict[str, Any]:
    """{"train": {"seed": 1}} as {"train.seed": 1}; dotted keys stay."""
    flat: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            flat[key] = value
    return flat
