"""What flows between the folders: FeatureBatch -> CASOutput -> Detections -> mAP, and the Annotations scored against.

B videos, T snippets, D feature channels, C action classes (background, where a model has one, is index C), N segments.
Torch is not imported here: FeatureBatch and CASOutput hold tensors, Annotations, Proposals and Detections numpy arrays.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

NO_CLICK = -100  # the value BackTAL's files use for a snippet nobody clicked


@dataclass(frozen=True)
class BatchTotals:
    """Denominators of batch-wide means, counted over the whole optimizer batch.

    A process, or one of several backward passes, that holds only its share of the batch divides by these, so that
    summed gradients equal those of the whole batch. Counts are numbers or 0-dim tensors.
    """

    videos: int
    clicks: int | Tensor
    clicked_videos: int | Tensor


@dataclass(frozen=True)
class FeatureBatch:
    """Snippet features of B videos with what is known about them.

    features [B, T, D] float; lengths [B] int64, valid snippets of each row (the rest is zero padding).
    labels [B, C] multi-hot float or None. clicks [B, T] int64 or None: NO_CLICK, 0..C-1 an action, C background.
    durations [B] float64, seconds. raw_lengths [B] int64, snippets stored before sampling to T.
    frame_counts [B] int64 or None: samples the CAS is resized to where a preset resizes to frames.
    totals: set by the engine when the batch is one process's share of a larger one.
    """

    features: Tensor
    lengths: Tensor
    labels: Tensor | None = None
    clicks: Tensor | None = None
    video_ids: tuple[str, ...] = ()
    durations: Tensor | None = None
    raw_lengths: Tensor | None = None
    frame_counts: Tensor | None = None
    totals: BatchTotals | None = None

    def to(self, device) -> FeatureBatch:
        """The same batch with every tensor on `device`."""
        tensors = {name: value for name, value in vars(self).items() if hasattr(value, "to")}
        return replace(self, **{name: tensor.to(device, non_blocking=True) for name, tensor in tensors.items()})


@dataclass(frozen=True)
class CASOutput:
    """What every model returns: class activation sequences and what the losses and the localization read besides.

    cas_logits [B, T, C] or [B, T, C+1] with background last; of the suppression branch where there are two.
    video_logits [B, C(+1)]: MIL-pooled cas_logits. base_*: the same of the unsuppressed branch, or None.
    foreground [B, T] in 0..1, class-agnostic. embedding [B, T, E] unit vectors. magnitude [B, T] >= 0, feature norm.
    features [B, T, H] hidden features the magnitude is taken of.
    selection_mask [B, T] >= 0 or None: random drop of snippets from UM's selection of action and background (training).
    """

    cas_logits: Tensor
    video_logits: Tensor
    base_cas_logits: Tensor | None = None
    base_video_logits: Tensor | None = None
    foreground: Tensor | None = None
    embedding: Tensor | None = None
    magnitude: Tensor | None = None
    features: Tensor | None = None
    selection_mask: Tensor | None = None


@dataclass(frozen=True)
class Proposals:
    """Scored segments before NMS. segments [N, 2] float64 seconds; scores [N] float64; classes [N] and video_index [N]
    int64 into class_names and video_ids."""

    segments: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    video_index: np.ndarray
    class_names: tuple[str, ...]
    video_ids: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, index: np.ndarray) -> Proposals:
        """The rows `index` (integers or a mask), in that order."""
        return replace(self, segments=self.segments[index], scores=self.scores[index], classes=self.classes[index],
                       video_index=self.video_index[index])


@dataclass(frozen=True)
class Detections(Proposals):
    """Scored segments after NMS: the result of localization. Fields as in Proposals."""


@dataclass(frozen=True)
class Annotations:
    """Ground truth: M labelled instances in V videos.

    segments [M, 2] float64 seconds; classes [M] and video_index [M] int64 into class_names and video_ids.
    subsets: one name a video. durations [V] float64 seconds and fps [V] float64, NaN where the file has none.
    """

    segments: np.ndarray
    classes: np.ndarray
    video_index: np.ndarray
    class_names: tuple[str, ...]
    video_ids: tuple[str, ...]
    subsets: tuple[str, ...]
    durations: np.ndarray
    fps: np.ndarray

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Number of each video id."""
        return {video: index for index, video in enumerate(self.video_ids)}


def join_detections(parts: list[Detections]) -> Detections:
    """The detections of several batches of different videos as one, in order; the parts share class_names."""
    offsets = np.cumsum([0] + [len(part.video_ids) for part in parts])
    return Detections(
        segments=np.concatenate([part.segments for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        classes=np.concatenate([part.classes for part in parts]),
        video_index=np.concatenate([part.video_index + offset for part, offset in zip(parts, offsets, strict=False)]),
        class_names=parts[0].class_names,
        video_ids=tuple(video for part in parts for video in part.video_ids),
    )
