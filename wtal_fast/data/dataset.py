"""Videos of one subset with all that is known about them, and the batches a network reads."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wtal_fast.config import DataConfig
from wtal_fast.data import sampling
from wtal_fast.data.annotations import canonical_subset, read_annotations, select_subset, select_videos, video_labels
from wtal_fast.data.arrays import listed_clicks, multi_hot_labels, per_video
from wtal_fast.data.clicks import (
    Clicks,
    click_positions,
    join_clicks,
    read_clicks,
    simulate_action_clicks,
    simulate_background_clicks,
)
from wtal_fast.data.features import FeatureSet, MappedFeatureSet, features_from_arrays, features_from_folder
from wtal_fast.data.layout import Layout, find_layout, read_split
from wtal_fast.data.problems import ProblemList
from wtal_fast.data.sampling import random_draws
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations, FeatureBatch


@dataclass(frozen=True, eq=False)
class Dataset:
    """V videos. labels [V, C] multi-hot float32 or None; durations [V] float64 seconds; frame_counts [V] int64, samples
    the CAS is resized to where a preset resizes to frames; annotations: true boundaries, for scoring only, or None;
    clicks: only those that may reach the loss, or None. annotations and clicks hold the same videos in the same order.
    source: the folder or argument the features come from, for messages.
    """

    features: FeatureSet | MappedFeatureSet
    video_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    durations: Tensor
    frame_counts: Tensor
    labels: Tensor | None = None
    annotations: Annotations | None = None
    clicks: Clicks | None = None
    source: str = "features"
    _click_tables: dict[int, Tensor] = field(default_factory=dict, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def feature_dim(self) -> int:
        return self.features.feature_dim

    @property
    def raw_lengths(self) -> Tensor:
        """Stored snippets of each video, [V] int64."""
        return self.features.lengths

    def batch(self, index: Tensor | Sequence[int], num_snippets: int, sampling: str,
              generator: torch.Generator | None = None, resize: str = "half_pixel") -> FeatureBatch:
        """The videos `index` [B] sampled to T = num_snippets.

        sampling: "stratified" (random, draws from generator), "uniform", "uniform_keep_short" (videos up to T snippets
        keep every snippet once; shorter rows are padded with zeros, lengths tells) or "linear" (whole video rescaled,
        resize as in sampling.linear). Clicks are placed on the T positions; None with "uniform_keep_short".
        """
        index = torch.as_tensor(index, dtype=torch.int64)
        draws = None
        if sampling == "stratified":
            draws = random_draws(len(index), num_snippets, generator).to(self.durations.device)
        batch = self.sample(index.to(self.durations.device), num_snippets, sampling, draws, resize)
        return replace(batch, video_ids=tuple(self.video_ids[i] for i in index.tolist()))

    def sample(self, index: Tensor, num_snippets: int, sampling: str, draws: Tensor | None = None,
               resize: str = "half_pixel", out: Tensor | None = None) -> FeatureBatch:
        """As batch, without video ids and, but for "uniform_keep_short", without a read by the host.

        index [B] and draws [B, T], uniform in 0..1, of "stratified", lie on the device of the data set.
        out: memory [B, T, D] for the features, which the next batch may then overwrite.
        """
        features, lengths = _sample(self.features, index, num_snippets, sampling, draws, resize, out)
        with_clicks = self.clicks is not None and sampling != "uniform_keep_short"
        return FeatureBatch(
            features=features, lengths=lengths,
            labels=None if self.labels is None else self.labels[index],
            clicks=self.click_table(num_snippets)[index] if with_clicks else None,
            durations=self.durations[index], raw_lengths=self.features.lengths[index],
            frame_counts=self.frame_counts[index])

    def take(self, index: Tensor | Sequence[int]) -> Dataset:
        """The videos `index`, in that order; features are shared, not copied."""
        index = torch.as_tensor(index, dtype=torch.int64)
        ids = tuple(self.video_ids[i] for i in index.tolist())
        index = index.to(self.durations.device)
        return Dataset(
            features=self.features.take(index), video_ids=ids, class_names=self.class_names,
            durations=self.durations[index], frame_counts=self.frame_counts[index],
            labels=None if self.labels is None else self.labels[index],
            annotations=None if self.annotations is None else select_videos(self.annotations, ids),
            clicks=None if self.clicks is None else self.clicks.of_videos(ids), source=self.source)

    def to(self, device) -> Dataset:
        """The same videos with every tensor on `device`, where batches are then sampled too; annotations and clicks
        stay NumPy. Features left on disk stay there, and the data set with them."""
        if not isinstance(self.features, FeatureSet):
            return self
        return replace(self, features=self.features.to(device), durations=self.durations.to(device),
                       frame_counts=self.frame_counts.to(device),
                       labels=None if self.labels is None else self.labels.to(device))

    def split_holdout(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """(train, holdout): about `fraction` of the videos held out at random, every class with two or more videos in
        both parts where that is possible. Each part keeps the order of the videos."""
        if len(self) < 2:
            raise InputError("data.holdout", expected="at least two training videos", found=f"{len(self)}")
        labels = np.zeros((len(self), 0)) if self.labels is None else self.labels.cpu().numpy() > 0
        held = _stratified_choice(labels, fraction, np.random.default_rng(seed))
        return self.take(torch.from_numpy(np.flatnonzero(~held))), self.take(torch.from_numpy(np.flatnonzero(held)))

    def click_table(self, num_snippets: int) -> Tensor:
        """What was clicked at each of T positions of each video, int64 [V, T] as in FeatureBatch.clicks."""
        if num_snippets not in self._click_tables:
            positions = click_positions(self.clicks, self.durations.cpu().numpy(), num_snippets)
            self._click_tables[num_snippets] = torch.from_numpy(positions).to(self.durations.device)
        return self._click_tables[num_snippets]


def load_folder(root: str | os.PathLike, config: DataConfig, subset: str, *, class_names: Sequence[str] | None = None,
                need_annotations: bool = True, feature_dim: int | None = None,
                progress: Callable[[int], None] | None = None) -> Dataset:
    """The videos of one subset of a folder (layout.find_layout says which layouts are read), in the order of its split
    file, else of the ground truth, else of the sorted feature files.

    subset: "train" and "test" mean config.train_subset and config.test_subset, any other name a subset of the ground
    truth. class_names: the order to number classes in, else the ground truth's. need_annotations=False gives a Dataset
    without labels, for which the folder needs no ground truth but class_names are to be given.
    feature_dim: checked if given. Features stay on disk where config.resident says so (residency.stays_on_disk).
    progress: called with the videos read so far.
    Durations are L * snippet_stride / fps with config.time_base "features", else the annotated ones (config.durations
    or the ground truth), with the former where a video has none. The clicks of "train" are read from config.clicks
    (files joined by "+", "simulated" being one) where config.click_kinds lets any reach the loss.
    Annotations without times are labels of the whole video; a subset that has any gives a Dataset without annotations,
    which can be trained on but not scored.
    """
    if class_names is None and not need_annotations:
        raise ValueError("load_folder: without annotations class_names must be given")
    role = subset if subset in ("train", "test") else None
    subset = {"train": config.train_subset, "test": config.test_subset}.get(subset, subset)
    layout = find_layout(root, subset, role)
    annotations = _annotations(layout, class_names, need_annotations)
    videos = _listed_videos(layout, annotations, subset, need_annotations)
    features = features_from_folder(layout.features, videos, config.modality, feature_dim, config.resident,
                                    progress)
    if annotations is not None:
        known = need_annotations or set(videos) <= set(annotations.video_ids)
        annotations = select_videos(annotations, videos) if known else None
    durations = _durations(layout, config, features.lengths, annotations, videos)
    if not need_annotations:
        return Dataset(features=features, video_ids=tuple(videos), class_names=tuple(class_names),
                       durations=torch.from_numpy(durations), frame_counts=features.lengths, source=str(layout.root))
    labels = video_labels(annotations, videos)
    if role == "train" and not labels.any(axis=1).all():
        unlabelled = np.flatnonzero(~labels.any(axis=1))
        warnings.warn(f"{layout.ground_truth}: {len(unlabelled)} training videos have no label, such as "
                      f"'{videos[unlabelled[0]]}'", stacklevel=2)
    clicks = training_clicks(config, annotations, durations, layout.root) if role == "train" else None
    return Dataset(
        features=features, video_ids=tuple(videos), class_names=annotations.class_names,
        durations=torch.from_numpy(durations), frame_counts=features.lengths, labels=torch.from_numpy(labels),
        annotations=annotations if _is_located(annotations) else None, clicks=clicks, source=str(layout.root))


def from_arrays(features: Mapping[str, object] | Sequence, labels=None, *, annotations: Annotations | None = None,
                clicks: Clicks | Mapping | Sequence | None = None, class_names: Sequence[str] | None = None,
                video_ids: Sequence[str] | None = None, durations=None, frame_counts=None,
                config: DataConfig | None = None) -> Dataset:
    """A Dataset from arrays in memory.

    features: [L, D] arrays or tensors, as a list or by video id. labels: [V, C] multi-hot, or the class names of each
    video (a list of lists, or by video id); taken from annotations where not given. clicks: Clicks, or (seconds, class
    name or "background") pairs of each video (a list of lists, or by video id); those of config.click_kinds where
    config is given. durations [V] seconds, by default L * snippet_stride / fps of config. frame_counts [V], by default
    L.
    """
    kinds, config = "both" if config is None else config.click_kinds, config or DataConfig()
    if video_ids is None:
        video_ids = list(features) if isinstance(features, Mapping) else [f"video_{i}" for i in range(len(features))]
    feature_set, ids = features_from_arrays(features, video_ids), tuple(video_ids)
    if annotations is not None:
        annotations = select_videos(annotations, ids)
        if class_names is not None and tuple(class_names) != annotations.class_names:
            raise InputError("class_names", expected=f"those of the annotations, {annotations.class_names}",
                             found=str(tuple(class_names)), fix="leave class_names out")
        class_names = annotations.class_names
        labels = video_labels(annotations, ids) if labels is None else labels
    multi_hot, names = multi_hot_labels(labels, ids, class_names)
    lengths = feature_set.lengths
    seconds = lengths.double() * (config.snippet_stride / config.fps)
    seconds = seconds if durations is None else per_video("durations", durations, ids)
    counts = lengths if frame_counts is None else per_video("frame_counts", frame_counts, ids).long()
    if clicks is not None:
        clicks = clicks.of_videos(ids) if isinstance(clicks, Clicks) else listed_clicks(clicks, names, ids, seconds)
        clicks = None if kinds == "none" else clicks.of_kind(kinds)
    return Dataset(features=feature_set, video_ids=ids, class_names=names, durations=seconds, frame_counts=counts,
                   labels=multi_hot, annotations=annotations, clicks=clicks)


def training_clicks(config: DataConfig, annotations: Annotations, durations: np.ndarray,
                    root: str | os.PathLike = ".") -> Clicks | None:
    """The clicks that config.clicks names, of the kinds that config.click_kinds lets through; None where it lets none.

    config.clicks: a file, seen from the working folder or from root, "simulated", or several joined by "+".
    """
    if config.clicks is None or config.click_kinds == "none":
        return None
    parts, tolerance = [], 2 * config.snippet_stride / config.fps
    for name in map(str.strip, config.clicks.split("+")):
        if name != "simulated":
            parts.append(read_clicks(_near(name, Path(root)), annotations.class_names, annotations.video_ids,
                                     durations, tolerance=tolerance))
        elif not _is_located(annotations):
            raise InputError(root, expected="annotations with times, to simulate clicks from",
                             found="labels without times", fix="name a click file in data.clicks")
        else:
            parts.append(simulate_background_clicks(annotations, durations))
            parts.append(simulate_action_clicks(annotations, durations))
    return join_clicks(parts).of_kind(config.click_kinds)


def _sample(features, videos: Tensor, num_snippets: int, kind: str, draws: Tensor | None, resize: str,
            out: Tensor | None) -> tuple[Tensor, Tensor]:
    """(features [B, T, D], lengths [B])."""
    raw_lengths = features.lengths[videos]
    if kind == "uniform_keep_short":
        index, lengths = sampling.uniform_keep_short(raw_lengths, num_snippets)
        outside = torch.arange(index.shape[1], device=index.device) >= lengths[:, None]  # [B, T']
        return features.gather(videos, index).masked_fill_(outside[:, :, None], 0), lengths
    lengths = torch.full_like(raw_lengths, num_snippets)
    if kind == "stratified":
        return features.gather(videos, sampling.perturbed(raw_lengths, num_snippets, draws), out), lengths
    if kind == "uniform":
        return features.gather(videos, sampling.uniform(raw_lengths, num_snippets), out), lengths
    if kind == "linear":
        left, weight = sampling.linear(raw_lengths, num_snippets, resize)
        right = (left + 1).minimum(raw_lengths[:, None] - 1)
        return features.gather(videos, left, out).lerp_(features.gather(videos, right), weight[:, :, None]), lengths
    raise ValueError(f"batch: sampling must be stratified, uniform, uniform_keep_short or linear, got {kind!r}")


def _stratified_choice(labels: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Mask [V] of held-out videos. Classes are served from the rarest on; a video is never held out if that would leave
    one of its classes without a training video."""
    order = random.permutation(len(labels))
    held = np.zeros(len(labels), dtype=bool)
    remaining = labels.sum(0)
    wanted_videos = min(max(1, round(len(labels) * fraction)), len(labels) - 1)

    def hold_out(candidates, count: int) -> None:
        for video in candidates:
            if count <= 0:
                return
            if not held[video] and (remaining[labels[video] > 0] > 1).all():
                held[video] = True
                remaining[labels[video] > 0] -= 1
                count -= 1

    for number in np.argsort(remaining, kind="stable"):
        members = order[labels[order, number] > 0]
        target = max(1, round(len(members) * fraction)) if len(members) > 1 else 0
        hold_out(members, target - held[members].sum())
    hold_out(order, wanted_videos - held.sum())
    return held


def _annotations(layout: Layout, class_names, needed: bool) -> Annotations | None:
    if layout.ground_truth is None:
        if needed:
            raise InputError(layout.root, expected="a ground truth file gt.json", found="none", fix="add it")
        return None
    return read_annotations(layout.ground_truth, class_names if needed else None, unlocated=True)


def _listed_videos(layout: Layout, annotations: Annotations | None, subset: str, checked: bool) -> list[str]:
    """Ids of the split file, where `checked` each to be annotated in `subset`; else all annotated ids of the subset,
    else all feature files."""
    if layout.split is not None and not checked:
        return read_split(layout.split)
    if annotations is None:
        files = next((layout.features / name for name in ("rgb", "flow") if (layout.features / name).is_dir()),
                     layout.features)
        videos = sorted(path.stem for path in files.glob("*.npy"))
        if not videos:
            raise InputError(layout.features, expected="feature files <id>.npy", found="none")
        return videos
    if layout.split is None:
        return list(select_subset(annotations, subset).video_ids)
    videos, problems = read_split(layout.split), ProblemList(layout.split)
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


def _durations(layout: Layout, config: DataConfig, lengths: Tensor, annotations: Annotations | None,
               videos: Sequence[str]) -> np.ndarray:
    """Seconds of each video [V] float64, by the rule of load_folder."""
    snippet_seconds = config.snippet_stride / config.fps
    of_features = lengths.numpy() * snippet_seconds
    annotated = annotations
    if config.durations is not None:
        annotated = select_videos(read_annotations(_near(config.durations, layout.root), unlocated=True), videos)
    if config.time_base == "features" or annotated is None:
        return of_features
    known = np.isfinite(annotated.durations)
    far = known & (np.abs(annotated.durations - of_features) > 2 * snippet_seconds)
    if far.any():
        worst = int(np.argmax(np.where(far, np.abs(annotated.durations - of_features), 0)))
        warnings.warn(f"{layout.root}: features and annotated duration of {far.sum()} videos differ by more than two "
                      f"snippets; '{annotated.video_ids[worst]}' has {of_features[worst]:g} s of features and "
                      f"{annotated.durations[worst]:g} s of video", stacklevel=3)
    return np.where(known, annotated.durations, of_features)


def _is_located(annotations: Annotations) -> bool:
    return bool(np.isfinite(annotations.segments).all())


def _near(name: str, root: Path) -> Path:
    """A file named in the settings: seen from the working folder, else from the data folder."""
    return Path(name) if Path(name).exists() or not (root / name).exists() else root / name
