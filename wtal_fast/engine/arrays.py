"""Training and localization on arrays in memory: no folders needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from wtal_fast.data.dataset import from_arrays
from wtal_fast.engine.checkpoint import TrainedModel, model_metadata, save_tensors
from wtal_fast.engine.experiment import check_clicks, check_device, check_width
from wtal_fast.engine.infer import detect
from wtal_fast.engine.methods import configure, find_method, restore_config
from wtal_fast.engine.output_paths import check_output_file
from wtal_fast.engine.train import fit
from wtal_fast.errors import InputError
from wtal_fast.files import atomic_path
from wtal_fast.preset_files import known_keys
from wtal_fast.structures import Detections


def train(features, labels, clicks=None, preset: str = "basnet/streams/recommended", *, class_names=None,
          durations=None, device: str = "cpu", show: bool = True, **overrides: Any) -> TrainedModel:
    """A model trained on arrays in memory.

    features: V arrays, tensors or nested lists [L, D], in a list or by video id.
    labels: class names of each video, or multi-hot [V, C] with class_names; in a list or by video id.
    clicks: for each video a list of (second, class name or "background"); those of the preset's data.click_kinds reach
    the loss, all where the preset itself uses none.
    durations: seconds [V]; by default the number of snippets times the preset's stride / fps.
    overrides: settings as train={"iterations": 100} or **{"train.iterations": 100}.
    Raises InputError for what is wrong with any of them.
    """
    check_device(str(device))
    features = _checked_features(features)
    _check_labels(labels)
    flat = flatten_overrides(overrides)
    config = configure(preset, flat)
    implied = {}
    if clicks is not None and config.data.click_kinds == "none":
        implied["data.click_kinds"] = "both"
    config = configure(preset, implied | flat)
    dataset = from_arrays(features, labels, clicks=clicks, class_names=class_names, durations=durations,
                          config=config.data)
    if not dataset.labels.any():
        raise InputError("labels", expected="at least one class in one of the videos", found="no label in any video")
    if "model.feature_dim" in known_keys(find_method(config.method).arguments):
        implied["model.feature_dim"] = dataset.feature_dim
    config = configure(preset, implied | flat)
    check_width(config, dataset)
    check_clicks(config, dataset)
    return fit(config, dataset, None, device, show=show).trained


def localize(model: TrainedModel, /, features, *, video_ids=None, durations=None, device: str = "cpu",
             show: bool = False, **overrides: Any) -> Detections:
    """Detections of the videos whose features [L, D] are given in a list or by video id; times in seconds.

    overrides: settings that leave the weights as they are, for example localization={"class_threshold": 0.1}.
    Raises InputError for other settings and for what is wrong with the videos.
    """
    check_device(str(device))
    features = _checked_features(features)
    if video_ids is not None:
        video_ids = _checked_ids(video_ids)
    model = with_settings(model, flatten_overrides(overrides))
    dataset = from_arrays(features, None, class_names=model.class_names, video_ids=video_ids, durations=durations,
                          config=model.config.data)
    check_width(model.config, dataset)
    return detect(model.model.to(torch.device(device)), dataset, model.config, device, show)


def save_checkpoint(model: TrainedModel, path: str | os.PathLike) -> None:
    """Writes weights, configuration and class names of `model` to one .safetensors file, whole or not at all;
    load_checkpoint reads it. Raises InputError for a path with another ending or where nothing can be written."""
    path = check_output_file(path)
    if path.suffix != ".safetensors":
        raise InputError(path, expected="a file name that ends with .safetensors", found=f"'{path.name}'")
    with atomic_path(path) as temporary:
        save_tensors(temporary, model.model.state_dict(),
                     model_metadata(model.config, model.class_names, model.step, model.named))


def with_settings(trained: TrainedModel, flat: dict[str, Any]) -> TrainedModel:
    """The same weights with data.*, localization.* and train.precision laid over the recorded configuration.

    data.class_names names the classes of a model without names; of one with names it must repeat them.
    Raises InputError for every other key: it would not change the weights that are there.
    """
    values = trained.config.model_dump(mode="json")
    for key, value in flat.items():
        section, _, name = key.partition(".")
        if section not in ("data", "localization") and key != "train.precision":
            raise InputError(f"setting {key}", expected="data.*, localization.* or train.precision at localization",
                             found=key, fix="other settings belong to training")
        values[section][name] = value
    config = restore_config(values, "overrides")
    if flat.get("data.class_names") is None:
        return replace(trained, config=config)
    names = config.data.class_names
    if len(names) != len(trained.class_names):
        raise InputError("setting data.class_names", expected=f"{len(trained.class_names)} names, one for each class "
                         "of the model", found=f"{len(names)}")
    if trained.named and names != trained.class_names:
        raise InputError("setting data.class_names", expected="the order the model was trained with, "
                         + ", ".join(trained.class_names), found=", ".join(names), fix="leave data.class_names out")
    return replace(trained, config=config, class_names=names, named=True)


def flatten_overrides(overrides: dict[str, Any]) -> dict[str, Any]:
    """{"train": {"seed": 1}} as {"train.seed": 1}; dotted keys stay."""
    flat: dict[str, Any] = {}
    for key, value in overrides.items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": item for name, item in value.items()}
        else:
            flat[key] = value
    return flat


def _checked_features(features) -> dict | list:
    """Features by id or in a list, every entry an array or tensor. Raises InputError where there is no video or one is
    a ragged list; shapes and values are checked by from_arrays."""
    if isinstance(features, Mapping):
        named = dict(zip(_checked_ids(features), features.values(), strict=True))
    elif isinstance(features, Sequence) and not isinstance(features, str) or getattr(features, "ndim", 0):
        named = dict(enumerate(features))
    else:
        raise InputError("features", expected="a list of arrays [snippets, channels], or a table of them by video id",
                         found=type(features).__name__)
    if not named:
        raise InputError("features", expected="at least one video", found="none")
    for name, array in named.items():
        if not isinstance(array, torch.Tensor):
            try:
                named[name] = np.asarray(array)
            except (ValueError, TypeError):
                where = f"video '{name}'" if isinstance(features, Mapping) else f"video {name}"
                raise InputError("features", where, expected="rows of equal length [snippets, channels]",
                                 found="rows of different lengths or no numbers") from None
    return named if isinstance(features, Mapping) else list(named.values())


def _checked_ids(video_ids) -> list[str]:
    ids = list(video_ids)
    for video, count in Counter(ids).items():
        if not isinstance(video, str) or not video:
            raise InputError("video_ids", expected="names, one for each video", found=repr(video))
        if count > 1:
            raise InputError("video_ids", f"video '{video}'", expected="each id once", found=f"the id {count} times",
                             fix="rename all but one")
    return ids


def _check_labels(labels) -> None:
    """Raises InputError unless there is a row of class names or of numbers for each video."""
    expected = "a list of class names for each video, or [V, C] zeros and ones"
    if not isinstance(labels, (Mapping, Sequence, np.ndarray, torch.Tensor)) or isinstance(labels, str):
        raise InputError("labels", expected=expected, found=type(labels).__name__)
    for number, row in enumerate(labels.values() if isinstance(labels, Mapping) else labels):
        is_row = isinstance(row, (str, Sequence)) or getattr(row, "ndim", 0) == 1
        if not is_row or len({isinstance(label, str) for label in row}) > 1:
            raise InputError("labels", f"video {number}", expected=expected, found=repr(row)[:80])
