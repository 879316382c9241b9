"""Snippet features of all videos of a subset, held in memory or left on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wtal_fast.data.formats.arrays import ArrayRef
from wtal_fast.data.problems import ProblemList


@dataclass(frozen=True)
class FeatureSet:
    """Features of V videos in one tensor: values [N, D] float32; starts [V] and lengths [V] int64.

    Video v is values[starts[v] : starts[v] + lengths[v]].
    """

    values: Tensor
    starts: Tensor
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def feature_dim(self) -> int:
        return self.values.shape[1]

    def video(self, index: int) -> Tensor:
        """Features [L, D] of one video, without a copy."""
        start = int(self.starts[index])
        return self.values[start : start + int(self.lengths[index])]

    def gather(self, videos: Tensor, snippets: Tensor, out: Tensor | None = None) -> Tensor:
        """Features [B, T, D] of snippets [B, T] of the videos [B]. Indices are trusted to be in range.

        out: contiguous memory [B, T, D] to write to; a fresh one costs the CPU several times the copy itself.
        """
        rows = (self.starts[videos][:, None] + snippets).flatten()  # [B * T]
        flat = None if out is None else out.view(-1, self.feature_dim)  # [B * T, D]
        return torch.index_select(self.values, 0, rows, out=flat).view(*snippets.shape, self.feature_dim)

    def take(self, videos: Tensor) -> FeatureSet:
        """The videos [N] in that order, sharing the same values."""
        return FeatureSet(self.values, self.starts[videos], self.lengths[videos])

    def to(self, device) -> FeatureSet:
        """The same features with every tensor on `device`."""
        return FeatureSet(self.values.to(device), self.starts.to(device), self.lengths.to(device))


@dataclass(frozen=True)
class MappedFeatureSet:
    """As FeatureSet, for sets larger than the memory: the features stay on disk and are read when gathered.

    files[v]: the streams of video v, each [>= L, D_i], that stand side by side. lengths [V] int64.
    """

    files: tuple[tuple[ArrayRef, ...], ...]
    lengths: Tensor

    def __len__(self) -> int:
        return len(self.files)

    @property
    def feature_dim(self) -> int:
        return sum(file.shape[1] for file in self.files[0]) if self.files else 0

    def video(self, index: int) -> Tensor:
        """Features [L, D] of one video, read from disk."""
        return self.gather(torch.tensor([index]), torch.arange(int(self.lengths[index]))[None])[0]

    def gather(self, videos: Tensor, snippets: Tensor, out: Tensor | None = None) -> Tensor:
        """As FeatureSet.gather."""
        out = torch.empty(*snippets.shape, self.feature_dim) if out is None else out
        for row, (video, index) in enumerate(zip(videos.tolist(), snippets.numpy(), strict=True)):
            for file, columns in columns_of(self.files[video]):
                out.numpy()[row, :, columns] = file.map()[index]
        return out

    def take(self, videos: Tensor) -> MappedFeatureSet:
        """The videos [N] in that order."""
        return MappedFeatureSet(tuple(self.files[index] for index in videos.tolist()), self.lengths[videos])


def columns_of(files: Sequence[ArrayRef]):
    """(file, the columns it fills) for the streams of one video."""
    column = 0
    for file in files:
        yield file, slice(column, column + file.shape[1])
        column += file.shape[1]


def features_from_arrays(features: Mapping[str, object] | Sequence, video_ids: Sequence[str] | None = None,
                         feature_dim: int | None = None) -> FeatureSet:
    """Features from arrays or tensors [L, D] in memory: a list, or a mapping from video id (then in the order of
    video_ids, or its own). Copied to float32.

    Raises InputError that lists every video that is missing, empty, not [L, D], of another width or not finite.
    """
    problems = ProblemList("features")
    if isinstance(features, Mapping):
        names = list(features) if video_ids is None else list(video_ids)
        for name in [name for name in names if name not in features]:
            problems.add(f"video '{name}'", expected="features", found="no such key", fix="add it or drop the video")
        problems.raise_any()
        arrays = [features[name] for name in names]
    else:
        arrays = list(features)
        names = [str(index) for index in range(len(arrays))] if video_ids is None else list(video_ids)
        if len(names) != len(arrays):
            problems.add("", expected=f"one array for each of {len(names)} video ids", found=f"{len(arrays)} arrays")
            problems.raise_any()
    converted = []
    for name, array in zip(names, arrays, strict=True):
        array = array.detach().cpu().numpy() if isinstance(array, Tensor) else np.asarray(array)
        if array.dtype.kind not in "iuf":
            problems.add(f"video '{name}'", expected="numbers", found=f"an array of {array.dtype}")
        elif shape_is_fine(array.shape, f"video '{name}'", feature_dim, problems):
            feature_dim = array.shape[1]
            converted.append((name, finite_float32(array, f"video '{name}'", problems)))
    problems.raise_any()
    return _joined([array for _, array in converted], feature_dim or 0)


def shape_is_fine(shape: tuple[int, ...], where: str, feature_dim: int | None, problems: ProblemList) -> bool:
    """Whether features of `shape` can be used: [L, D], L >= 1, D >= 1 or feature_dim; what is wrong is noted."""
    if len(shape) != 2:
        problems.add(where, expected="features [snippets, channels]", found=f"shape {list(shape)}")
    elif shape[0] == 0:
        problems.add(where, expected="at least one snippet", found="an empty video",
                     fix="drop the video from the split")
    elif shape[1] == 0 or feature_dim is not None and shape[1] != feature_dim:
        problems.add(where, expected=f"width {feature_dim or 'at least 1'}", found=f"{shape[1]}",
                     fix="extract all videos with the same network")
    else:
        return True
    return False


def finite_float32(array: np.ndarray, where: str, problems: ProblemList) -> np.ndarray:
    """`array` as C-ordered float32; numbers that are not finite there (also by overflow) are a problem."""
    with np.errstate(over="ignore"):
        array = np.ascontiguousarray(array, dtype=np.float32)
    finite = np.isfinite(array)
    if not finite.all():
        bad = np.argwhere(~finite)
        problems.add(f"{where}, snippet {bad[0, 0]}, channel {bad[0, 1]}", expected="finite features",
                     found=f"{array[tuple(bad[0])]} ({len(bad)} such values in {len(set(bad[:, 0]))} snippets)",
                     fix="extract the video again")
    return array


def _joined(arrays: list[np.ndarray], feature_dim: int) -> FeatureSet:
    lengths = torch.tensor([len(array) for array in arrays], dtype=torch.int64)
    values = np.concatenate(arrays) if arrays else np.zeros((0, feature_dim), np.float32)
    return FeatureSet(torch.from_numpy(values), lengths.cumsum(0) - lengths, lengths)
