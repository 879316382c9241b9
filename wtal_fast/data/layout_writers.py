"""Writing the files of a video in each layout; every file is written whole or not at all."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

from wtal_fast.data.layouts import VideoFacts
from wtal_fast.errors import InputError
from wtal_fast.files import atomic_path, save_json, save_text
from wtal_fast.structures import NO_CLICK


@dataclass(frozen=True)
class Video:
    """What is written of one video: its id, the folder of its part, streams [L, D_i], and what else is known."""

    id: str
    part: str
    streams: tuple[np.ndarray, ...]
    facts: VideoFacts = VideoFacts()

    @property
    def joined(self) -> np.ndarray:
        """The streams side by side, [L, D]."""
        return self.streams[0] if len(self.streams) == 1 else np.concatenate(self.streams, axis=1)


class LayoutWriter(ABC):
    """Writes one layout into `root`. needs_streams: RGB and flow must be kept apart."""

    needs_streams = False
    truth_name = "gt.json"

    def __init__(self, root: Path):
        self.root = root

    @abstractmethod
    def files(self, video: str, part: str) -> tuple[Path, ...]:
        """The files that `add` writes for a video."""

    def has(self, video: str, part: str) -> bool:
        """Whether an earlier conversion has written the video."""
        return all(path.is_file() for path in self.files(video, part))

    @abstractmethod
    def add(self, video: Video) -> None:
        """Writes the features of a video."""

    def finish(self, content: dict, splits: dict[str, Sequence[str]], settings: dict) -> None:
        """Writes ground truth and what lists the videos of each part."""
        save_json(self.root / self.truth_name, content)

    def close(self) -> None:  # noqa: B027 (most have nothing to close)
        """Called at the end, also where writing stops before `finish`."""


class BasnetWriter(LayoutWriter):
    """features/<part>/{rgb,flow}/<id>.npy, split_<part>.txt, gt.json; features/<part>/<id>.npy for joined streams."""

    streams = ("rgb", "flow")

    def __init__(self, root: Path, joined: bool = False):
        super().__init__(root)
        self.joined = joined

    def files(self, video: str, part: str) -> tuple[Path, ...]:
        folder = self.root / "features" / part
        if self.joined:
            return (folder / f"{video}.npy",)
        return tuple(folder / stream / f"{video}.npy" for stream in self.streams)

    def add(self, video: Video) -> None:
        arrays = (video.joined,) if self.joined else video.streams
        for path, array in zip(self.files(video.id, video.part), arrays, strict=True):
            save_array(path, array)

    def finish(self, content: dict, splits: dict[str, Sequence[str]], settings: dict) -> None:
        super().finish(content, splits, settings)
        for part, videos in splits.items():
            save_text(self.root / f"split_{part}.txt", "".join(f"{video}\n" for video in videos))


class FlatWriter(LayoutWriter):
    """<folder>/<id>.npy or .npz with one key, annotations/gt.json; `prefix` before every id."""

    truth_name = "annotations/gt.json"

    def __init__(self, root: Path, folder: str, key: str | None = None, prefix: str = ""):
        super().__init__(root)
        self.folder, self.key, self.prefix = folder, key, prefix

    def files(self, video: str, part: str) -> tuple[Path, ...]:
        name = video if video.startswith(self.prefix) else self.prefix + video
        return (self.root / self.folder / f"{name}{'.npy' if self.key is None else '.npz'}",)

    def add(self, video: Video) -> None:
        path, = self.files(video.id, video.part)
        if self.key is None:
            save_array(path, video.joined)
        else:
            save_arrays(path, {self.key: video.joined})


class OwnWriter(FlatWriter):
    """features/<id>.npy, gt.json and a dataset.yaml."""

    truth_name = "gt.json"

    def finish(self, content: dict, splits: dict[str, Sequence[str]], settings: dict) -> None:
        super().finish(content, splits, settings)
        known = {"fps": settings.get("data.fps"), "stride": settings.get("data.snippet_stride")}
        description = {"features": self.folder, "labels": self.truth_name}
        description |= {key: value for key, value in known.items() if value is not None}
        save_text(self.root / "dataset.yaml", yaml.safe_dump(description, sort_keys=False))


class PairWriter(LayoutWriter):
    """features/<id>-{rgb,flow}.npz with one crop [1, L, D], as CMCS."""

    needs_streams = True

    def files(self, video: str, part: str) -> tuple[Path, ...]:
        return tuple(self.root / "features" / f"{video}-{stream}.npz" for stream in BasnetWriter.streams)

    def add(self, video: Video) -> None:
        for path, array in zip(self.files(video.id, video.part), video.streams, strict=True):
            save_arrays(path, {"feature": array[None], "frame_cnt": np.array(video.facts.frame_count),
                               "video_name": np.array(video.id)})


class BacktalWriter(LayoutWriter):
    """<part>/<id>.npz, channels first, every video rescaled to `snippets`; clicks inside the files."""

    needs_streams = True

    def __init__(self, root: Path, snippets: int | None):
        super().__init__(root)
        self.snippets = snippets

    def files(self, video: str, part: str) -> tuple[Path, ...]:
        return (self.root / part / f"{video}.npz",)

    def add(self, video: Video) -> None:
        if np.isnan(video.facts.duration):
            raise InputError(f"video '{video.id}'", "duration", expected="seconds: this layout needs them",
                             found="none", fix="name a ground truth that has them: --durations FILE")
        rgb, flow = (np.ascontiguousarray(rescaled(array, self.snippets).T) for array in video.streams)
        arrays = {"feat_spa": rgb, "feat_tem": flow, "vid_name": np.array(video.id),
                  "frame_num": np.array(video.facts.frame_count or len(video.streams[0])),
                  "fps": np.array(video.facts.fps), "duration": np.array(video.facts.duration)}
        if video.facts.clicks is not None:
            arrays["point_label"] = video.facts.clicks
        save_arrays(self.files(video.id, video.part)[0], arrays)


def rescaled(array: np.ndarray, snippets: int | None) -> np.ndarray:
    """[T, D] of [L, D], linear between snippets with half-pixel centres; itself where T is L or None."""
    if snippets is None or snippets == len(array):
        return array
    import torch

    from wtal_fast.data.sampling import linear

    left, weight = linear(torch.tensor([len(array)]), snippets)
    left, weight = left[0].numpy(), weight[0].numpy()[:, None]
    values = array.astype(np.float32, copy=False)
    right = values[np.minimum(left + 1, len(array) - 1)]
    return (values[left] + (right - values[left]) * weight).astype(array.dtype)


def clicked_positions(seconds: np.ndarray, classes: np.ndarray, duration: float, snippets: int) -> np.ndarray:
    """Clicks of one video on T positions, in BackTAL's numbers."""
    positions = np.full(snippets, np.iinfo(np.int64).max)
    index = np.clip(np.floor(seconds / duration * snippets), 0, snippets - 1).astype(np.int64)
    np.minimum.at(positions, index, classes)
    return np.where(positions == np.iinfo(np.int64).max, NO_CLICK, positions)


def save_array(path: Path, array: np.ndarray) -> None:
    """Writes an .npy file, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.save(file, array)


def save_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes an .npz file, not compressed, whole or not at all."""
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)
