"""Features of the videos of one part of a data set on disk, of whatever layout, checked and put side by side."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from wtal_fast.data.features import (
    FeatureSet,
    MappedFeatureSet,
    columns_of,
    finite_float32,
    shape_is_fine,
)
from wtal_fast.data.formats import ArrayRef
from wtal_fast.data.layouts.folder import DataFolder, Part
from wtal_fast.data.layouts.packed import Packed
from wtal_fast.data.packed import PackedFeatureSet, packed_features
from wtal_fast.data.problems import ProblemList
from wtal_fast.data.residency import stays_on_disk
from wtal_fast.data.video_ids import check_ids
from wtal_fast.errors import InputError

TWO_STREAMS = ("rgb", "flow")


def features_of_part(layout: DataFolder, part: Part, video_ids: Sequence[str], modality: str = "all",
                     feature_dim: int | None = None, resident: str = "memory",
                     progress: Callable[[int], None] | None = None) -> FeatureSet | MappedFeatureSet | PackedFeatureSet:
    """Features of `video_ids`, RGB before flow where both are kept apart.

    Files hold [L, D] of any number type. A flow file one snippet longer or shorter than its RGB file is cut to the
    shorter with a warning. modality: "all", or one of "rgb" and "flow" where they are kept apart.
    feature_dim: the expected width of the result, checked if given. resident: "mapped" leaves the features on disk, as
    "auto" does where they are large (residency.stays_on_disk); every file is still read once to be checked, but those
    of a packed data set, which are checked when they are first used. progress is called with the number of videos read.
    Raises InputError that lists every missing, unreadable, empty, wrongly wide or not finite file.
    """
    check_ids(video_ids, part.folder)
    stored = stored_videos(part, video_ids, modality)
    if isinstance(layout, Packed):
        packed = packed_features(layout.index, stored, modality)
        _check_width([layout.arrays(part, stored[0])], packed.feature_dim, part.folder, feature_dim)
        num_bytes = 4 * int(packed.lengths.sum()) * packed.feature_dim
        return packed if stays_on_disk(resident, num_bytes) else packed.load(progress)
    chosen = _chosen(part, modality)
    problems = ProblemList(part.folder)
    videos = [tuple(layout.arrays(part, video)[index] for index in chosen) for video in stored]
    lengths = torch.tensor([_length(arrays, video, part.folder, problems)
                            for arrays, video in zip(videos, stored, strict=True)], dtype=torch.int64)
    problems.raise_any()
    _check_widths(videos, part.folder, feature_dim)
    features = MappedFeatureSet(tuple(videos), lengths)
    rows, width = int(lengths.sum()), features.feature_dim
    values = None if stays_on_disk(resident, 4 * rows * width) else torch.empty(rows, width)
    starts = lengths.cumsum(0) - lengths
    for index, arrays in enumerate(videos):
        for array, columns in columns_of(arrays):
            name = array_name(array, part.folder)
            read = finite_float32(array.expect_numbers().read()[: lengths[index]], name, problems)
            if values is not None:
                values.numpy()[starts[index] : starts[index] + lengths[index], columns] = read
        if progress is not None:
            progress(index + 1)
    problems.raise_any()
    return features if values is None else FeatureSet(values, starts, lengths)


def stored_videos(part: Part, video_ids: Sequence[str], modality: str = "all") -> list[str]:
    """The ids under which the videos are stored. Raises InputError that lists every missing file."""
    problems = ProblemList(part.folder)
    chosen = _chosen(part, modality)
    stored = [part.stored_id(video) for video in video_ids]
    for video, name in zip(video_ids, stored, strict=True):
        for index in chosen:
            if name is None or part.files[name][index] is None:
                problems.add(part.pattern.format(video=video, stream=part.streams[index]), expected="a feature file",
                             found="nothing there", fix="add the file, or drop the video: data.missing=drop")
    problems.raise_any()
    return stored


def has_features(part: Part, video: str, modality: str = "all") -> bool:
    """Whether every file of `video` that `modality` needs is there."""
    name = part.stored_id(video)
    return name is not None and all(part.files[name][index] is not None for index in _chosen(part, modality))


def array_name(array: ArrayRef, folder: Path) -> str:
    """File and key of an array, for messages."""
    inside = array.path.is_relative_to(folder)
    path = str(array.path.relative_to(folder)) if inside else str(array.path)
    return f"{path}, {array.name}" if array.name else path


def _chosen(part: Part, modality: str) -> tuple[int, ...]:
    """Numbers of the streams that `modality` asks for."""
    apart = any(stream in TWO_STREAMS for stream in part.streams)
    if modality == "all" and not apart:
        return tuple(range(len(part.streams)))
    wanted = TWO_STREAMS if modality == "all" else (modality,)
    if not apart:
        raise InputError(part.folder, expected=f"features with streams {' and '.join(wanted)}",
                         found="both streams side by side", fix="data.modality=all reads them")
    for stream in wanted:
        if stream not in part.streams:
            raise InputError(part.folder, stream, expected="a subfolder of features", found="nothing there",
                             fix=f"add it or set data.modality={'flow' if stream == 'rgb' else 'rgb'}")
    return tuple(part.streams.index(stream) for stream in wanted)


def _length(arrays: Sequence[ArrayRef], video: str, folder: Path, problems: ProblemList) -> int:
    """Snippets of one video: the smaller number where its streams differ by one."""
    if not all([shape_is_fine(array.shape, array_name(array, folder), None, problems) for array in arrays]):
        return 0
    lengths = [array.shape[0] for array in arrays]
    if max(lengths) - min(lengths) > 1:
        problems.add(f"video '{video}'", expected="RGB and flow of one length, or one snippet apart",
                     found=" and ".join(f"{length} snippets" for length in lengths), fix="extract the video again")
    elif max(lengths) != min(lengths):
        warnings.warn(f"{folder}: video '{video}' has {lengths[0]} RGB and {lengths[1]} flow snippets; "
                      f"the first {min(lengths)} of both are used", stacklevel=3)
    return min(lengths)


def _check_widths(videos: Sequence[Sequence[ArrayRef]], folder: Path, feature_dim: int | None) -> None:
    """Every file of a stream must be as wide as the first, and all streams together feature_dim wide if given."""
    problems = ProblemList(folder)
    for arrays in videos[1:]:
        for array, first in zip(arrays, videos[0], strict=True):
            if array.shape[1] != first.shape[1]:
                problems.add(array_name(array, folder), found=f"{array.shape[1]}",
                             expected=f"width {first.shape[1]} as in the first video",
                             fix="extract all videos with the same network")
    problems.raise_any()
    if videos:
        _check_width(videos, sum(array.shape[1] for array in videos[0]), folder, feature_dim)


def _check_width(videos: Sequence[Sequence[ArrayRef]], width: int, folder: Path, feature_dim: int | None) -> None:
    if feature_dim is not None and width != feature_dim:
        transposed = videos[0][0].shape[0] == feature_dim
        raise InputError(folder, array_name(videos[0][0], folder), expected=f"width {feature_dim}",
                         found=" + ".join(str(array.shape[1]) for array in videos[0]),
                         fix="files must be [snippets, channels]: transpose them" if transposed
                         else f"set model.feature_dim={width}")
