"""Snippet features of all videos of a subset, held in memory or left on disk, and their readers."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wtal_fast.data.formats.arrays import ArrayRef
from wtal_fast.data.formats.npy import inspect_npy
from wtal_fast.data.problems import ProblemList
from wtal_fast.data.residency import stays_on_disk
from wtal_fast.data.video_ids import check_ids

_MODALITIES = {"rgb": ("rgb",), "flow": ("flow",), "all": ("rgb", "flow")}


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
            for file, columns in _columns(self.files[video]):
                out.numpy()[row, :, columns] = file.map()[index]
        return out

    def take(self, videos: Tensor) -> MappedFeatureSet:
        """The videos [N] in that order."""
        return MappedFeatureSet(tuple(self.files[index] for index in videos.tolist()), self.lengths[videos])


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
        elif _shape_is_fine(array.shape, f"video '{name}'", feature_dim, problems):
            feature_dim = array.shape[1]
            converted.append((name, _finite(array, f"video '{name}'", problems)))
    problems.raise_any()
    return _joined([array for _, array in converted], feature_dim or 0)


def features_from_folder(folder: str | os.PathLike, video_ids: Sequence[str], modality: str = "all",
                         feature_dim: int | None = None, resident: str = "memory",
                         progress: Callable[[int], None] | None = None) -> FeatureSet | MappedFeatureSet:
    """Features of video_ids from `folder`/{rgb,flow}/<id>.npy, or `folder`/<id>.npy where already side by side.

    Files hold [L, D] of any float type. RGB comes first. A flow file one snippet longer or shorter than its RGB file is
    cut to the shorter with a warning. modality: "all", or one of "rgb" and "flow" of a split layout.
    feature_dim: the expected width of the result, checked if given. resident: "mapped" leaves the features on disk, as
    "auto" does where they are large (residency.stays_on_disk); every file is still read once to be checked.
    progress is called with the number of videos read.
    Raises InputError that lists every missing, unreadable, empty, wrongly wide or not finite file.
    """
    folder, problems = Path(folder), ProblemList(folder)
    check_ids(video_ids, folder)
    streams = _streams(folder, modality, problems)
    problems.raise_any()
    missing = [folder / stream / f"{video}.npy" for video in video_ids for stream in streams
               if not (folder / stream / f"{video}.npy").is_file()]
    for path in missing:
        problems.add(str(path.relative_to(folder)), expected="a feature file", found="nothing there",
                     fix="add the file or drop the video from the split")
    problems.raise_any()
    videos = [[inspect_npy(folder / stream / f"{video}.npy") for stream in streams] for video in video_ids]
    lengths = torch.tensor([_length(files, folder, problems) for files in videos], dtype=torch.int64)
    problems.raise_any()
    _check_widths(videos, folder, feature_dim, problems)
    problems.raise_any()
    features = MappedFeatureSet(tuple(tuple(files) for files in videos), lengths)
    rows, width = int(lengths.sum()), features.feature_dim
    values = None if stays_on_disk(resident, 4 * rows * width) else torch.empty(rows, width)
    starts = lengths.cumsum(0) - lengths
    for index, files in enumerate(videos):
        for file, columns in _columns(files):
            array = _finite(file.read()[: lengths[index]], str(file.path.relative_to(folder)), problems)
            if values is not None:
                values.numpy()[starts[index] : starts[index] + lengths[index], columns] = array
        if progress is not None:
            progress(index + 1)
    problems.raise_any()
    return features if values is None else FeatureSet(values, starts, lengths)


def _streams(folder: Path, modality: str, problems: ProblemList) -> tuple[str, ...]:
    """The subfolders whose files stand side by side; ("",) for one file a video in the folder itself."""
    wanted = _MODALITIES[modality]
    if all((folder / stream).is_dir() for stream in wanted):
        return wanted
    if not any((folder / stream).is_dir() for stream in ("rgb", "flow")):
        if folder.is_dir() and modality == "all":
            return ("",)
        problems.add("", expected=f"a folder of features with subfolders {' and '.join(wanted)}",
                     found="neither subfolder" if folder.is_dir() else "nothing there",
                     fix="data.modality=all reads files with both streams side by side" if folder.is_dir() else "")
        return ()
    for stream in wanted:
        if not (folder / stream).is_dir():
            problems.add(stream, expected="a subfolder of features", found="nothing there",
                         fix=f"add it or set data.modality={'flow' if stream == 'rgb' else 'rgb'}")
    return ()


def _length(files: Sequence[ArrayRef], folder: Path, problems: ProblemList) -> int:
    """Snippets of one video: the smaller number where its streams differ by one."""
    names = [str(file.path.relative_to(folder)) for file in files]
    if not all([_shape_is_fine(file.shape, name, None, problems) for file, name in zip(files, names, strict=True)]):
        return 0
    lengths = [file.shape[0] for file in files]
    if max(lengths) - min(lengths) > 1:
        problems.add(f"video '{files[0].path.stem}'", expected="RGB and flow of one length, or one snippet apart",
                     found=" and ".join(f"{length} snippets" for length in lengths), fix="extract the video again")
    elif max(lengths) != min(lengths):
        warnings.warn(f"{folder}: video '{files[0].path.stem}' has {lengths[0]} RGB and {lengths[1]} flow snippets; "
                      f"the first {min(lengths)} of both are used", stacklevel=3)
    return min(lengths)


def _check_widths(videos: Sequence[Sequence[ArrayRef]], folder: Path, feature_dim: int | None, problems) -> None:
    """Every file of a stream must be as wide as the first, and all streams together feature_dim wide if given."""
    for files in videos[1:]:
        for file, first in zip(files, videos[0], strict=True):
            if file.shape[1] != first.shape[1]:
                problems.add(str(file.path.relative_to(folder)), found=f"{file.shape[1]}",
                             expected=f"width {first.shape[1]} as in the first video",
                             fix="extract all videos with the same network")
    width = sum(file.shape[1] for file in videos[0]) if videos else feature_dim
    if feature_dim is not None and width != feature_dim and not problems.count:
        transposed = videos[0][0].shape[0] == feature_dim
        problems.add(f"video '{videos[0][0].path.stem}'", expected=f"width {feature_dim}",
                     found=" + ".join(str(file.shape[1]) for file in videos[0]),
                     fix="files must be [snippets, channels]: transpose them" if transposed
                     else f"set model.feature_dim={width}")


def _columns(files: Sequence[ArrayRef]):
    """(file, the columns it fills) for the streams of one video."""
    column = 0
    for file in files:
        yield file, slice(column, column + file.shape[1])
        column += file.shape[1]


def _shape_is_fine(shape: tuple[int, ...], where: str, feature_dim: int | None, problems: ProblemList) -> bool:
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


def _finite(array: np.ndarray, where: str, problems: ProblemList) -> np.ndarray:
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
