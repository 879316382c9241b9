"""What every layout gives: the parts of a data set, the arrays of a video, and where the ground truth is."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from wtal_fast.data.formats import ArrayRef
from wtal_fast.data.fps_table import with_frame_rates
from wtal_fast.data.ground_truth import ground_truth_content
from wtal_fast.data.splits import read_ids
from wtal_fast.errors import InputError

FEATURE_ENDINGS = (".npy", ".npz", ".pt", ".pth", ".csv", ".pkl", ".h5", ".hdf5")
BLOCK_LIST = "missing_files.txt"
TRUTH_NAMES = ("gt.json", "gt_full.json", "annotations.json")
_ABOVE_KEY_SEARCH = 512 * 2**20


@dataclass(frozen=True)
class VideoFacts:
    """What a layout knows of a video besides its features: duration in seconds, frames a second (NaN: not known),
    number of frames (0: not known), and the clicks [T] stored with the features, in BackTAL's numbers."""

    duration: float = float("nan")
    fps: float = float("nan")
    frame_count: int = 0
    clicks: np.ndarray | None = None


@dataclass(frozen=True)
class Part:
    """The videos of one part of a data set as they lie on disk.

    folder: where they are. streams: what stands side by side, ("rgb", "flow") or ("features",). files: of each id as it
    is stored, the path of each stream (None: missing). listing: the ids in order where the layout itself says which
    videos are the part; listed_in: the file or folder that says so. pattern: name of a file, with {video} and {stream}.
    """

    folder: Path
    streams: tuple[str, ...]
    files: Mapping[str, tuple[Path | None, ...]]
    listing: tuple[str, ...] | None = None
    listed_in: Path | None = None
    pattern: str = "{video}.npy"

    def stored_id(self, video: str) -> str | None:
        """The id under which `video` is stored, with or without ActivityNet's "v_", or None."""
        names = (video, f"v_{video}", video.removeprefix("v_"))
        return next((name for name in names if name in self.files), None)


@dataclass(frozen=True, eq=False)
class DataFolder:
    """A data set on disk. One subclass a layout.

    ground_truth: its file (or folder of arrays), None where there is none. clicks: click files found beside it.
    blocked: ids that the layout itself lists as unusable.
    """

    layout: ClassVar[str]
    about: ClassVar[str]  # how it is recognised, in words
    rescaled: ClassVar[bool] = False  # the snippets of a video say nothing about its length

    root: Path
    ground_truth: Path | None = None
    clicks: tuple[Path, ...] = ()
    blocked: tuple[str, ...] = ()
    _parts: dict[tuple, Part] = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def recognise(cls, root: Path) -> DataFolder | None:
        """The data set at `root` if it has this layout."""
        raise NotImplementedError

    @cached_property
    def content(self) -> dict:
        """What the ground truth holds, in ActivityNet's form, with the frame rates of an fps_dict.json beside it. Only
        where there is a ground truth."""
        return with_frame_rates(ground_truth_content(self.ground_truth), self.root)

    def settings(self) -> dict[str, object]:
        """Settings of a run that the data set itself says, such as data.fps."""
        return {}

    def part_names(self) -> tuple[str, ...]:
        """What the layout calls its parts; () where all videos lie together and the ground truth tells them apart."""
        return ()

    def part(self, subset: str, role: str | None = None) -> Part:
        """The videos of `subset`, as the ground truth names it. role: "train", "test" or None, tried as the name where
        nothing is named after the subset. The features may hold more videos than the part."""
        raise NotImplementedError

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        """The streams of a stored video, each [L, D]. InputError for what cannot be read."""
        raise NotImplementedError

    def facts(self, part: Part, video: str) -> VideoFacts:
        """What is known of a stored video besides its features."""
        return VideoFacts()


@dataclass(frozen=True)
class Turned(ArrayRef):
    """Another array, its axes put in order or reduced when it is read."""

    source: ArrayRef
    turn: Callable[[np.ndarray], np.ndarray]

    def read(self) -> np.ndarray:
        return self.turn(self.source.read())

    def map(self) -> np.ndarray:
        return self.turn(self.source.map())

    @property
    def mappable(self) -> bool:
        return self.source.mappable


def turned(source: ArrayRef, shape: tuple[int, ...], turn: Callable[[np.ndarray], np.ndarray],
           dtype: np.dtype | None = None) -> Turned:
    """`source` as an array of `shape` that `turn` makes of it."""
    return Turned(source.path, source.name, shape, source.dtype if dtype is None else dtype, source, turn)


def channels_last(ref: ArrayRef) -> ArrayRef:
    """[D, L] as [L, D]."""
    if len(ref.shape) != 2:
        raise InputError(ref.path, ref.name, expected="features [channels, snippets]",
                         found=f"shape {list(ref.shape)}")
    return turned(ref, ref.shape[::-1], np.transpose)


def one_crop(ref: ArrayRef) -> ArrayRef:
    """[L, D] of crops [A, L, D] or, as the UntrimmedNet files have them, [L, A, D, 1, 1]: the only crop, or their mean.
    An array [L, D] is itself."""
    if len(ref.shape) == 3:
        axis, shape = 0, ref.shape[1:]
    elif len(ref.shape) == 5 and ref.shape[3:] == (1, 1):
        axis, shape = 1, (ref.shape[0], ref.shape[2])
    else:
        return ref
    crops = ref.shape[axis]
    if crops == 1:
        return turned(ref, shape, lambda values: values.reshape(shape))
    return turned(ref, shape, lambda values: values.mean(axis, dtype=np.float32).reshape(shape), np.dtype(np.float32))


def entries(folder: Path) -> dict[str, Path]:
    """What is in a folder, by name in lower case, sorted; hidden entries left out."""
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if not path.name.startswith(".")}


def feature_files(folder: Path) -> dict[str, Path]:
    """Feature files of a folder by their name without ending, sorted. Two of one name raise InputError."""
    found: dict[str, Path] = {}
    if not folder.is_dir():
        raise InputError(folder, expected="a folder of features", found="nothing there", fix="check the path")
    with os.scandir(folder) as items:
        names = sorted(item.name for item in items if not item.name.startswith(".") and item.is_file())
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending.lower() not in FEATURE_ENDINGS:
            continue
        if stem in found:
            raise InputError(folder, f"'{stem}'", expected="one feature file a video",
                             found=f"{found[stem].name} and {name}", fix="remove one of the two")
        found[stem] = folder / name
    return found


def holds_feature_files(folder: Path) -> bool:
    """Whether a file of features lies directly in `folder`."""
    if not folder.is_dir():
        return False
    with os.scandir(folder) as items:
        return any(os.path.splitext(item.name)[1].lower() in FEATURE_ENDINGS and not item.name.startswith(".")
                   for item in items)


def find_ground_truth(*folders: Path) -> Path | None:
    """The ground truth among the files of the first of `folders` that has one: a file of a usual name, else the only
    JSON file that holds a "database". Several such files raise InputError."""
    for folder in folders:
        if not folder.is_dir():
            continue
        inside = entries(folder)
        usual = next((inside[name] for name in TRUTH_NAMES if name in inside), None)
        if usual is not None:
            return usual
        found = [path for name, path in inside.items() if name.endswith(".json") and _holds_database(path)]
        if len(found) > 1:
            raise InputError(folder, expected="one ground truth", found=", ".join(path.name for path in found),
                             fix="name one with data.ground_truth=FILE")
        if found:
            return found[0]
    return None


def blocked_ids(*folders: Path) -> tuple[str, ...]:
    """Ids in the first missing_files.txt found."""
    path = next((folder / BLOCK_LIST for folder in folders if (folder / BLOCK_LIST).is_file()), None)
    return tuple(read_ids(path)) if path is not None else ()


def click_files(root: Path) -> tuple[Path, ...]:
    """Files in <root>/clicks."""
    folder = root / "clicks"
    return tuple(sorted(path for path in folder.iterdir() if path.is_file())) if folder.is_dir() else ()


def _holds_database(path: Path) -> bool:
    return path.is_file() and path.stat().st_size <= _ABOVE_KEY_SEARCH and b'"database"' in path.read_bytes()
