"""A data folder of any layout as a Dataset."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch

from wtal_fast.config import DataConfig
from wtal_fast.data.annotations import canonical_subset, select_subset, select_videos, video_labels
from wtal_fast.data.clicks import Clicks, clicks_of_rows
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.fps_table import read_fps_table
from wtal_fast.data.ground_truth import read_ground_truth
from wtal_fast.data.layouts import DataFolder, Part, VideoFacts, open_folder
from wtal_fast.data.parts import subset_on_disk
from wtal_fast.data.problems import ProblemList
from wtal_fast.data.stored_features import features_of_part, has_features
from wtal_fast.data.training_clicks import is_located, near, training_clicks
from wtal_fast.errors import InputError
from wtal_fast.structures import NO_CLICK, Annotations


def load_folder(root: str | os.PathLike, config: DataConfig, subset: str, *, class_names: Sequence[str] | None = None,
                need_annotations: bool = True, feature_dim: int | None = None,
                progress: Callable[[int], None] | None = None) -> Dataset:
    """The videos of one subset of a folder of any layout (wtal_fast.data.layouts), in the order of its split file or
    listing, else of the ground truth, else of the sorted feature files.

    subset: "train" and "test" mean config.train_subset and config.test_subset, or what the layout calls these parts of
    the data set; any other name a subset of the ground truth. class_names: the order to number classes in, else the
    ground truth's. need_annotations=False gives a Dataset without labels, for which the folder needs no ground truth
    but class_names are to be given.
    feature_dim: checked if given. Features stay on disk where config.resident says so (residency.stays_on_disk).
    progress: called with the videos read so far.
    Videos in config.exclude and those the layout lists as unusable are left out, with config.missing "drop" also those
    without features.
    Durations are L * snippet_stride / fps with config.time_base "features", else the annotated ones (config.durations
    or the ground truth), with the former where a video has none. fps is config.fps, or each video's own where
    config.video_fps says so. Where a snippet sees more frames (config.snippet_window) than lie between two, the first
    one stands for frames from (snippet_window - snippet_stride) / 2 on, so that its middle is the window's.
    The clicks of "train" are read from config.clicks (files joined by "+", "simulated" being one) where
    config.click_kinds lets any reach the loss. A training video without labels has those of its action clicks.
    Annotations without times are labels of the whole video; a subset that has any gives a Dataset without annotations,
    which can be trained on but not scored.
    """
    if class_names is None and not need_annotations:
        raise ValueError("load_folder: without annotations class_names must be given")
    role = subset if subset in ("train", "test") else None
    subset = {"train": config.train_subset, "test": config.test_subset}.get(subset, subset)
    layout = open_data(root, config)
    annotations = _annotations(layout, class_names, need_annotations)
    subset = subset_on_disk(subset, role, annotations)
    part = layout.part(subset, role)
    videos = _usable(layout, part, _listed_videos(layout, part, annotations, subset, need_annotations), config)
    features = features_of_part(layout, part, videos, config.modality, feature_dim, config.resident, progress)
    if annotations is not None:
        known = need_annotations or set(videos) <= set(annotations.video_ids)
        annotations = select_videos(annotations, videos) if known else None
    facts = [layout.facts(part, part.stored_id(video)) for video in videos]
    rates = _feature_rates(layout, config, annotations, videos)
    durations = _durations(layout, config, features.lengths.numpy(), annotations, facts, videos, rates)
    starts = _starts(layout, config, rates)
    counts = torch.tensor([fact.frame_count for fact in facts], dtype=torch.int64)
    counts = torch.where(counts > 0, counts, features.lengths)
    if not need_annotations:
        return Dataset(features=features, video_ids=tuple(videos), class_names=tuple(class_names),
                       durations=torch.from_numpy(durations), frame_counts=counts, source=str(layout.root),
                       starts=starts)
    labels = video_labels(annotations, videos)
    clicks = None
    if role == "train":
        stored = _stored_clicks(facts, annotations, durations)
        ends = durations if starts is None else durations + 2 * starts.numpy()
        clicks = training_clicks(config, annotations, ends, layout.root, stored)
        _label_by_clicks(labels, clicks)
        if not labels.any(axis=1).all():
            unlabelled = np.flatnonzero(~labels.any(axis=1))
            warnings.warn(f"{layout.ground_truth}: {len(unlabelled)} training videos have no label, such as "
                          f"'{videos[unlabelled[0]]}'", stacklevel=2)
    return Dataset(
        features=features, video_ids=tuple(videos), class_names=annotations.class_names,
        durations=torch.from_numpy(durations), frame_counts=counts, labels=torch.from_numpy(labels),
        annotations=annotations if is_located(annotations) else None, clicks=clicks, source=str(layout.root),
        starts=starts)


def open_data(root: str | os.PathLike, config: DataConfig) -> DataFolder:
    """The data set at `root` with the ground truth that config.ground_truth names, or its own."""
    layout = open_folder(root)
    return layout if config.ground_truth is None else replace(layout, ground_truth=near(config.ground_truth, root))


def _annotations(layout: DataFolder, class_names, needed: bool) -> Annotations | None:
    if layout.ground_truth is None:
        if needed:
            raise InputError(layout.root, expected="a ground truth file gt.json", found="none",
                             fix="add it, or name one with data.ground_truth=FILE")
        return None
    return read_ground_truth(layout.ground_truth, class_names if needed else None, layout.content)


def _listed_videos(layout: DataFolder, part: Part, annotations: Annotations | None, subset: str,
                   checked: bool) -> list[str]:
    """Ids that the layout lists, where `checked` each to be annotated in `subset`; else all annotated ids of the
    subset, else all feature files."""
    if part.listing is not None and not checked:
        return [_annotated_id(video, annotations) for video in part.listing]
    if annotations is None:
        if not part.files:
            raise InputError(part.folder, expected="feature files <id>.npy", found="none")
        return list(part.files)
    if part.listing is None:
        return list(select_subset(annotations, subset).video_ids)
    videos = [_annotated_id(video, annotations) for video in part.listing]
    problems = ProblemList(part.listed_in)
    subsets = dict(zip(annotations.video_ids, annotations.subsets, strict=True))
    for video in videos:
        if video not in subsets:
            problems.add(f"video '{ascii(video)[1:-1]}'", expected=f"a video of {layout.ground_truth.name}",
                         found="no entry", fix="annotate it or drop it from the split")
        elif canonical_subset(subsets[video]) != canonical_subset(subset):
            problems.add(f"video '{video}'", expected=f"subset '{subset}' in {layout.ground_truth.name}",
                         found=f"'{subsets[video]}'", fix="set data.train_subset and data.test_subset to its names")
    problems.raise_any()
    return videos


def _annotated_id(video: str, annotations: Annotations | None) -> str:
    """`video` as the ground truth writes it, with or without ActivityNet's "v_"."""
    names = (video, video.removeprefix("v_"), f"v_{video}")
    known = () if annotations is None else annotations.positions
    return next((name for name in names if name in known), video)


def _usable(layout: DataFolder, part: Part, videos: list[str], config: DataConfig) -> list[str]:
    left_out = {*config.exclude, *layout.blocked}
    kept = [video for video in videos if video not in left_out]
    if config.missing == "drop":
        stored = [video for video in kept if has_features(part, video, config.modality)]
        if len(stored) < len(kept):
            held = set(stored)
            absent = next(video for video in kept if video not in held)
            warnings.warn(f"{part.folder}: {len(kept) - len(stored)} of {len(kept)} videos have no features and are "
                          f"left out, such as '{absent}'", stacklevel=3)
        kept = stored
    if not kept:
        raise InputError(part.folder, expected="at least one video", found="none", fix="check data.exclude, "
                         "data.missing and the subset names")
    return kept


def _durations(layout: DataFolder, config: DataConfig, lengths: np.ndarray, annotations: Annotations | None,
               facts: Sequence[VideoFacts], videos: Sequence[str], rates: np.ndarray) -> np.ndarray:
    """Seconds of each video [V] float64, by the rule of load_folder."""
    snippet_seconds = config.snippet_stride / rates
    of_features = lengths * snippet_seconds
    annotated = np.full(len(videos), np.nan) if annotations is None else annotations.durations
    if config.durations is not None:
        annotated = select_videos(read_ground_truth(near(config.durations, layout.root)), videos).durations
    if layout.rescaled:  # the number of snippets is the same for every video
        annotated = np.where(np.isfinite(annotated), annotated, [fact.duration for fact in facts])
        if not np.isfinite(annotated).all():
            video = videos[int(np.flatnonzero(~np.isfinite(annotated))[0])]
            raise InputError(layout.root, f"video '{video}'", expected="a duration: the features are rescaled",
                             found="none", fix="name a ground truth with durations: data.durations=FILE")
        return annotated
    if config.time_base == "features":
        return of_features
    known = np.isfinite(annotated)
    far = known & (np.abs(annotated - of_features) > 2 * snippet_seconds)
    if far.any():
        worst = int(np.argmax(np.where(far, np.abs(annotated - of_features), 0)))
        warnings.warn(f"{layout.root}: features and annotated duration of {far.sum()} videos differ by more than two "
                      f"snippets; '{videos[worst]}' has {of_features[worst]:g} s of features and "
                      f"{annotated[worst]:g} s of video", stacklevel=3)
    return np.where(known, annotated, of_features)


def _feature_rates(layout: DataFolder, config: DataConfig, annotations: Annotations | None,
                   videos: Sequence[str]) -> np.ndarray:
    """Frames a second [V] at which the features of each video were extracted."""
    if config.video_fps is None:
        return np.full(len(videos), config.fps)
    if config.video_fps == "ground_truth":
        rates = np.full(len(videos), np.nan) if annotations is None else annotations.fps
        if not np.isfinite(rates).any():
            raise InputError(layout.ground_truth or layout.root, "fps", expected="frame rates of the videos",
                             found="none", fix="data.video_fps=FILE with {id: rate}, or data.fps alone")
    else:
        table = read_fps_table(near(config.video_fps, layout.root))
        rates = np.array([table.get(video, table.get(video.removeprefix("v_"), np.nan)) for video in videos])
        if not np.isfinite(rates).any():
            raise InputError(config.video_fps, expected="frame rates of the videos", found=f"none of '{videos[0]}' and "
                             "the others", fix="write the ids as the ground truth does")
    return np.where(np.isfinite(rates), rates, config.fps)


def _starts(layout: DataFolder, config: DataConfig, rates: np.ndarray) -> torch.Tensor | None:
    """Seconds [V] where the first snippet begins, None where it is 0; rescaled features and annotated durations count
    from the start of the video."""
    if config.snippet_window is None or layout.rescaled or config.time_base == "duration":
        return None
    return torch.from_numpy((config.snippet_window - config.snippet_stride) / 2 / rates)


def _stored_clicks(facts: Sequence[VideoFacts], annotations: Annotations, durations: np.ndarray) -> Clicks | None:
    """The clicks inside the feature files, each in the middle of its snippet; None where no file has any."""
    rows = []
    for video, fact in enumerate(facts):
        if fact.clicks is not None:
            for index in np.flatnonzero(fact.clicks != NO_CLICK):
                number = int(fact.clicks[index])
                if not 0 <= number <= len(annotations.class_names):
                    raise InputError(f"video '{annotations.video_ids[video]}'", "point_label",
                                     expected=f"{NO_CLICK} or a class number up to {len(annotations.class_names)}",
                                     found=str(number), fix="check the class list of the preset")
                rows.append(((index + 0.5) / len(fact.clicks) * durations[video], number, video))
    if all(fact.clicks is None for fact in facts):
        return None
    return clicks_of_rows(rows, annotations.class_names, annotations.video_ids)


def _label_by_clicks(labels: np.ndarray, clicks: Clicks | None) -> None:
    """Gives videos without labels those of their action clicks."""
    if clicks is None:
        return
    unlabelled = ~labels.any(axis=1)
    actions = clicks.of_kind("action")
    rows = unlabelled[actions.video_index]
    labels[actions.video_index[rows], actions.classes[rows]] = 1
