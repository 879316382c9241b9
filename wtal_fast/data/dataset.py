"""Videos of one subset with all that is known about them, and the batches a network reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from wtal_fast.config import DataConfig
from wtal_fast.data import sampling
from wtal_fast.data.annotations import select_videos, video_labels
from wtal_fast.data.arrays import listed_clicks, multi_hot_labels, per_video
from wtal_fast.data.clicks import Clicks, click_positions
from wtal_fast.data.features import FeatureSet, MappedFeatureSet, features_from_arrays
from wtal_fast.data.holdout import stratified_choice
from wtal_fast.data.packed import PackedFeatureSet
from wtal_fast.data.sampling import random_draws
from wtal_fast.errors import InputError
from wtal_fast.structures import Annotations, FeatureBatch


@dataclass(frozen=True, eq=False)
class Dataset:
    """V videos. labels [V, C] multi-hot float32 or None; durations [V] float64 seconds that the snippets cover; starts
    [V] float64 seconds where the first one begins (None: 0); frame_counts [V] int64, samples the CAS is resized to
    where a preset resizes to frames; annotations: true boundaries, for scoring only, or None; clicks: only those that
    may reach the loss, or None. annotations and clicks hold the same videos in the same order.
    source: the folder or argument the features come from, for messages.
    """

    features: FeatureSet | MappedFeatureSet | PackedFeatureSet
    video_ids: tuple[str, ...]
    class_names: tuple[str, ...]
    durations: Tensor
    frame_counts: Tensor
    labels: Tensor | None = None
    annotations: Annotations | None = None
    clicks: Clicks | None = None
    source: str = "features"
    starts: Tensor | None = None
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
            clicks=None if self.clicks is None else self.clicks.of_videos(ids), source=self.source,
            starts=None if self.starts is None else self.starts[index])

    def to(self, device) -> Dataset:
        """The same videos with every tensor on `device`, where batches are then sampled too; annotations and clicks
        stay NumPy. Features left on disk stay there, and the data set with them."""
        if not isinstance(self.features, FeatureSet):
            return self
        return replace(self, features=self.features.to(device), durations=self.durations.to(device),
                       frame_counts=self.frame_counts.to(device),
                       labels=None if self.labels is None else self.labels.to(device),
                       starts=None if self.starts is None else self.starts.to(device))

    def split_holdout(self, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
        """(train, holdout): about `fraction` of the videos held out at random, every class with two or more videos in
        both parts where that is possible. Each part keeps the order of the videos."""
        if len(self) < 2:
            raise InputError("data.holdout", expected="at least two training videos", found=f"{len(self)}")
        labels = np.zeros((len(self), 0)) if self.labels is None else self.labels.cpu().numpy() > 0
        held = stratified_choice(labels, fraction, np.random.default_rng(seed))
        return self.take(torch.from_numpy(np.flatnonzero(~held))), self.take(torch.from_numpy(np.flatnonzero(held)))

    def click_table(self, num_snippets: int) -> Tensor:
        """What was clicked at each of T positions of each video, int64 [V, T] as in FeatureBatch.clicks."""
        if num_snippets not in self._click_tables:
            starts = None if self.starts is None else self.starts.cpu().numpy()
            positions = click_positions(self.clicks, self.durations.cpu().numpy(), num_snippets, starts)
            self._click_tables[num_snippets] = torch.from_numpy(positions).to(self.durations.device)
        return self._click_tables[num_snippets]


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
        first, second = features.gather(videos, left, out), features.gather(videos, right)
        return first.lerp_(second, weight[:, :, None].to(first.dtype)), lengths
    raise ValueError(f"batch: sampling must be stratified, uniform, uniform_keep_short or linear, got {kind!r}")
