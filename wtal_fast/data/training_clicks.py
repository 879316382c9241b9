"""The clicks that a configuration lets reach the loss: of files, stored with the features, or simulated."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from wtal_fast.config import DataConfig
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.clicks import Clicks, join_clicks, simulate_action_clicks, simulate_background_clicks
from wtal_fast.data.known_datasets import recognise_dataset
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations


def training_clicks(config: DataConfig, annotations: Annotations, durations: np.ndarray,
                    root: str | os.PathLike = ".", stored: Clicks | None = None) -> Clicks | None:
    """The clicks that config.clicks names, of the kinds that config.click_kinds lets through; None where it lets none.

    config.clicks: a file, seen from the working folder or from root, "simulated" (with config.click_noise and
    config.click_miss), "stored", or several joined by "+"; without it those stored with the features, if any.
    """
    if config.click_kinds == "none":
        return None
    if config.clicks is None:
        return None if stored is None else stored.of_kind(config.click_kinds)
    parts, tolerance = [], 2 * config.snippet_stride / config.fps
    for name in map(str.strip, config.clicks.split("+")):
        if name == "stored":
            if stored is None:
                raise InputError(root, "data.clicks", expected="clicks stored with the features", found="none",
                                 fix="name a click file in data.clicks")
            parts.append(stored)
        elif name != "simulated":
            parts.append(read_clicks(near(name, root), annotations.class_names, annotations.video_ids, durations,
                                     tolerance=tolerance, fps=frame_rates(config, annotations)))
        elif not is_located(annotations):
            raise InputError(root, expected="annotations with times, to simulate clicks from",
                             found="labels without times", fix="name a click file in data.clicks")
        else:
            for simulate in (simulate_background_clicks, simulate_action_clicks):
                parts.append(simulate(annotations, durations, noise=config.click_noise, miss=config.click_miss))
    return join_clicks(parts).of_kind(config.click_kinds)


def frame_rates(config: DataConfig, annotations: Annotations) -> np.ndarray:
    """Frames a second of the original videos [V], that click files in frames count in: config.click_fps, else the
    ground truth's, else what is known of the data set; NaN where nothing is."""
    if config.click_fps is not None:
        return np.full(len(annotations.video_ids), config.click_fps)
    known = recognise_dataset(annotations.video_ids, len(annotations.class_names))
    rates = [None if known is None else known.frame_rate(video) for video in annotations.video_ids]
    return np.where(np.isfinite(annotations.fps), annotations.fps, np.array(rates, dtype=np.float64))


def is_located(annotations: Annotations) -> bool:
    """Whether every annotation has times."""
    return bool(np.isfinite(annotations.segments).all())


def near(name: str, root: str | os.PathLike) -> Path:
    """A file named in the settings: seen from the working folder, else from the data folder."""
    return Path(name) if Path(name).exists() or not (Path(root) / name).exists() else Path(root) / name
