"""The layout of BaS-Net, UM, LACP, CoLA, and in variants leftthomas/UM, HR-Pro, ACM-Net and ASM-Loc.

    <root>/gt.json   split_<subset>.txt   features/<subset>/{rgb,flow}/<id>.npy or features/<subset>/<id>.npy

Also without features/ (<root>/<subset>/...), in upper or lower case, with features_1.2/ and annotations_1.2.json beside
it (leftthomas/UM), and with files of other endings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from wtal_fast.data.formats import ArrayRef, one_array
from wtal_fast.data.layouts.folder import (
    DataFolder,
    Part,
    click_files,
    entries,
    feature_files,
    find_ground_truth,
    holds_feature_files,
)
from wtal_fast.data.splits import SUBSET_WORDS, names_of_subset, read_ids
from wtal_fast.errors import InputError

STREAMS = ("rgb", "flow")
KEYS = ("feats", "feat_sf", "features", "feature", "arr_0")  # names of the array in files that name it
_VERSIONED = re.compile(r"features_(\d\.\d)")


@dataclass(frozen=True, eq=False)
class SubsetFolders(DataFolder):
    """features/<subset>/{rgb,flow}/<id>.npy, or both streams side by side in features/<subset>/<id>.npy."""

    layout = "basnet"
    about = "a folder for each subset, in features/ or in the root, with rgb/ and flow/ or with one file a video"

    @classmethod
    def recognise(cls, root: Path) -> SubsetFolders | None:
        inside = entries(root)
        versions = [name for name, path in inside.items() if _VERSIONED.fullmatch(name) and _subset_folders(path)]
        if len(versions) > 1:
            raise InputError(root, expected="one data set", found=", ".join(versions), fix="name one of these folders")
        for name, folder in ((root.name.lower(), root.parent), *((name, root) for name in versions)):
            version = _VERSIONED.fullmatch(name)
            if version is not None and (versions or _subset_folders(root)):
                return cls(root, _versioned_truth(folder, version[1]), _clicks(root))
        holders = [path for path in (inside.get("features"), root) if path is not None and path.is_dir()]
        if not any(_holds_features(path) for holder in holders for path in _subset_folders(holder).values()):
            return None
        return cls(root, find_ground_truth(root, root / "annotations"), _clicks(root))

    def part_names(self) -> tuple[str, ...]:
        return tuple(self._folders())

    def part(self, subset: str, role: str | None = None) -> Part:
        key = (subset, role)
        if key not in self._parts:
            self._parts[key] = self._find(subset, role)
        return self._parts[key]

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        return tuple(one_array(path, KEYS) for path in part.files[video])

    def _folders(self) -> dict[str, Path]:
        inside = entries(self.root)
        versioned = next((path for name, path in inside.items() if _VERSIONED.fullmatch(name)), None)
        features = versioned or inside.get("features")
        inner = {name: path for name, path in entries(features).items() if path.is_dir()} if features else {}
        return inner | {name: path for name, path in _subset_folders(self.root).items() if name not in inner}

    def _find(self, subset: str, role: str | None) -> Part:
        names, folders, inside = names_of_subset(subset, role), self._folders(), entries(self.root)
        splits = [inside[f"split_{name}.txt"] for name in names if f"split_{name}.txt" in inside]
        folder = next((folders[name] for name in names if name in folders), None)
        if folder is None:
            present = [f"features/{name}" for name in folders]
            present += [name for name, path in inside.items() if path.is_dir() and name not in folders]
            raise InputError(self.root, f"subset '{subset}'", expected=f"a folder features/{names[0]}",
                             found=(", ".join(present) or "no folder")[:300],
                             fix="put the features there, or name another subset")
        return part_of_folder(folder, splits[0] if splits else None)


def part_of_folder(folder: Path, split: Path | None = None) -> Part:
    """The videos of `folder`/{rgb,flow}/<id>.npy, or of `folder`/<id>.npy; split: the file that lists the part."""
    streams = tuple(name for name in STREAMS if (folder / name).is_dir())
    if streams:
        listings = [feature_files(folder / stream) for stream in streams]
        ids = dict.fromkeys(video for listing in listings for video in listing)
        files = {video: tuple(listing.get(video) for listing in listings) for video in ids}
    else:
        streams, files = ("features",), {video: (path,) for video, path in feature_files(folder).items()}
    pattern = "{video}.npy" if streams == ("features",) else "{stream}/{video}.npy"
    return Part(folder, streams, files, tuple(read_ids(split)) if split else None, split, pattern)


def _subset_folders(folder: Path) -> dict[str, Path]:
    """Folders named after a subset, or that hold rgb/ or flow/."""
    return {name: path for name, path in entries(folder).items() if path.is_dir()
            and (name in SUBSET_WORDS or any((path / stream).is_dir() for stream in STREAMS))}


def _holds_features(folder: Path) -> bool:
    return any((folder / stream).is_dir() for stream in STREAMS) or holds_feature_files(folder)


def _versioned_truth(folder: Path, version: str) -> Path | None:
    path = folder / f"annotations_{version}.json"
    return path if path.is_file() else find_ground_truth(folder)


def _clicks(root: Path) -> tuple[Path, ...]:
    """LACP's and HR-Pro's point labels, and what is in clicks/."""
    found = tuple(sorted(path for pattern in ("point_*/point_labels.csv", "point_labels*/*.csv", "point_*.csv")
                         for path in root.glob(pattern)))
    return found + click_files(root)
