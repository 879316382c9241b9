"""Features of a packed data set, read from its shards as they are needed: for sets larger than the memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wtal_fast.data.features import FeatureSet
from wtal_fast.data.packed_index import PackedIndex, processors
from wtal_fast.errors import InputError, nearest_name


@dataclass(frozen=True)
class PackedFeatureSet:
    """As MappedFeatureSet, of a packed data set: videos [V] are numbers of videos of `index`, columns the channels.

    A video is checked against its SHA-256 when it is first read. Values are turned into float32.
    """

    index: PackedIndex
    videos: tuple[int, ...]
    columns: slice
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.videos)

    @property
    def feature_dim(self) -> int:
        return self.columns.stop - self.columns.start

    def video(self, index: int) -> Tensor:
        """Features [L, D] of one video, read from disk."""
        return torch.from_numpy(np.array(self.index.rows(self.videos[index])[:, self.columns], dtype=np.float32))

    def gather(self, videos: Tensor, snippets: Tensor, out: Tensor | None = None) -> Tensor:
        """As FeatureSet.gather."""
        out = torch.empty(*snippets.shape, self.feature_dim) if out is None else out
        for row, (video, wanted) in enumerate(zip(videos.tolist(), snippets.numpy(), strict=True)):
            out.numpy()[row] = self.index.rows(self.videos[video])[wanted, self.columns]
        return out

    def take(self, videos: Tensor) -> PackedFeatureSet:
        """The videos [N] in that order."""
        return PackedFeatureSet(self.index, tuple(self.videos[index] for index in videos.tolist()), self.columns,
                                self.lengths[videos])

    def load(self, progress: Callable[[int], None] | None = None) -> FeatureSet:
        """All features in memory. progress is called with the number of videos read."""
        values = torch.empty(int(self.lengths.sum()), self.feature_dim)
        starts = self.lengths.cumsum(0) - self.lengths
        spans = zip(starts.tolist(), self.lengths.tolist(), strict=True)
        with ThreadPoolExecutor(processors()) as pool:  # reading means hashing, which runs beside other threads
            for number, ((start, length), rows) in enumerate(zip(spans, pool.map(self.index.rows, self.videos),
                                                                 strict=True)):
                values.numpy()[start : start + length] = rows[:, self.columns]
                if progress is not None:
                    progress(number + 1)
        return FeatureSet(values, starts, self.lengths)


def packed_features(index: PackedIndex, video_ids: Sequence[str], modality: str = "all") -> PackedFeatureSet:
    """The features of `video_ids` in that order. modality: "all" or the name of a stream, such as "rgb".
    Raises InputError for a video that was not packed."""
    known = index.position
    for video in video_ids:
        if video not in known:
            raise InputError(index.folder, f"video '{video}'", expected="a packed video", found="no such id",
                             fix=nearest_name(video, known) if len(known) < 10_000 else "check the id")
    numbers = tuple(known[video] for video in video_ids)
    return PackedFeatureSet(index, numbers, index.columns(modality), torch.from_numpy(index.lengths[list(numbers)]))
