"""The layout of BackTAL: <root>/<subset>/<id>.npz, features channels first and already rescaled to T.

Keys: feat_spa [D, T] RGB, feat_tem [D, T] flow; in training files point_label [T], in test files frame_num, fps and
duration. The files of a folder are its split.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from wtal_fast.data.formats import ArrayRef, open_arrays
from wtal_fast.data.layouts.folder import (
    DataFolder,
    Part,
    VideoFacts,
    channels_last,
    click_files,
    entries,
    feature_files,
    find_ground_truth,
)
from wtal_fast.data.splits import SUBSET_WORDS, names_of_subset
from wtal_fast.errors import InputError

KEYS = {"rgb": "feat_spa", "flow": "feat_tem"}


@dataclass(frozen=True, eq=False)
class BackTAL(DataFolder):
    """One .npz a video with feat_spa and feat_tem, a folder for each subset."""

    layout = "backtal"
    about = "a folder for each subset with one .npz a video that holds feat_spa and feat_tem"
    rescaled = True

    @classmethod
    def recognise(cls, root: Path) -> BackTAL | None:
        folders = _folders(root)
        first = next((path for folder in folders.values() for path in sorted(folder.glob("*.npz"))), None)
        if first is None or not set(KEYS.values()) <= open_arrays(first).keys():
            return None
        annotations = [path for name, path in entries(root).items() if name == "annotations"]
        return cls(root, find_ground_truth(root, *annotations, root.parent), click_files(root))

    def part_names(self) -> tuple[str, ...]:
        return tuple(_folders(self.root))

    def part(self, subset: str, role: str | None = None) -> Part:
        if (subset, role) not in self._parts:
            folders = _folders(self.root)
            folder = next((folders[name] for name in names_of_subset(subset, role) if name in folders), None)
            if folder is None:
                raise InputError(self.root, f"subset '{subset}'", expected=f"a folder {subset}",
                                 found=", ".join(folders) or "no folder", fix="name another subset")
            files = {video: (path, path) for video, path in feature_files(folder).items() if path.suffix == ".npz"}
            self._parts[subset, role] = Part(folder, tuple(KEYS), files, tuple(files), folder,
                                              "{video}.npz")
        return self._parts[subset, role]

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        path = part.files[video][0]
        found = open_arrays(path)
        if absent := [key for key in KEYS.values() if key not in found]:
            raise InputError(path, ", ".join(absent), expected="feat_spa and feat_tem",
                             found=", ".join(found) or "none")
        return tuple(channels_last(found[key]) for key in KEYS.values())

    def facts(self, part: Part, video: str) -> VideoFacts:
        found = open_arrays(part.files[video][0])
        clicks = found["point_label"].read() if "point_label" in found else None
        count = _scalar(found, "frame_num")
        frame_count = 0 if np.isnan(count) else int(count)
        return VideoFacts(_scalar(found, "duration"), _scalar(found, "fps"), frame_count, clicks)


def _folders(root: Path) -> dict[str, Path]:
    return {name: path for name, path in entries(root).items() if path.is_dir() and name in SUBSET_WORDS}


def _scalar(found: dict[str, ArrayRef], key: str) -> float:
    if key not in found or found[key].dtype.kind not in "iuf" or found[key].shape not in ((), (1,)):
        return float("nan")
    return float(found[key].read().reshape(()))
