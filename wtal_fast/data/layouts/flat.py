"""The layout of ActionFormer, OpenTAD and the HACS files: one folder with a file a video, whatever its part.

    <root>/<features>/<id>.{npy,npz,pt,csv,...}   [L, D]; the id with or without "v_"
    <root>/annotations/<truth>.json               beside them, or in <root>; missing_files.txt lists unusable videos
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wtal_fast.data.formats import ArrayRef, one_array
from wtal_fast.data.layouts.folder import (
    FEATURE_ENDINGS,
    DataFolder,
    Part,
    blocked_ids,
    channels_last,
    click_files,
    entries,
    feature_files,
    find_ground_truth,
    holds_feature_files,
    one_crop,
)
from wtal_fast.data.layouts.subset_folders import KEYS
from wtal_fast.data.wtalc_arrays import NEEDED
from wtal_fast.errors import InputError

_DEPTH = 2  # folders between the root and the features: features/i3d_thumos/


@dataclass(frozen=True, eq=False)
class FlatFolder(DataFolder):
    """All videos in one folder, one file a video; the ground truth tells the parts apart."""

    layout = "actionformer"
    about = "one folder with a feature file for every video of all parts"

    features: Path | None = None
    channels_first: bool = False

    @classmethod
    def recognise(cls, root: Path) -> FlatFolder | None:
        folders = _feature_folders(root, _DEPTH)
        if not folders:
            return None
        if len(folders) > 1:
            raise InputError(root, expected="one folder of features",
                             found=", ".join(str(folder.relative_to(root)) for folder in folders)[:300],
                             fix="name the folder of one, or write a dataset.yaml with `features:`")
        around = annotation_folders(root, folders[0])
        truth = find_ground_truth(*around) or _table(*around)
        return cls(root, truth, click_files(root), blocked_ids(*around), features=folders[0])

    def part(self, subset: str, role: str | None = None) -> Part:
        if () not in self._parts:
            files = {video: (path,) for video, path in feature_files(self.features).items()}
            self._parts[()] = Part(self.features, ("features",), files)
        return self._parts[()]

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        array = one_array(part.files[video][0], KEYS)
        return (channels_last(array) if self.channels_first else one_crop(array),)


def annotation_folders(root: Path, features: Path) -> tuple[Path, ...]:
    """Where the ground truth of features may be, the nearest place first."""
    return tuple(dict.fromkeys((root, root / "annotations", features, root.parent / "annotations")))


def _feature_folders(root: Path, depth: int) -> list[Path]:
    """`root` where files of features lie in it, else the nearest folders below that have some."""
    if any(path.suffix.lower() in (".npy", ".npz", ".pt", ".pth") for path in root.iterdir() if path.is_file()):
        return [root]
    below = [path for name, path in entries(root).items() if path.is_dir() and name != "annotations"]
    below = [folder for folder in below if not (folder / f"{NEEDED[0]}.npy").is_file()]  # annotations, not features
    if depth == 0 or not below:
        return []
    here = [folder for folder in below if _is_of_features(folder)]
    return here or [found for folder in below for found in _feature_folders(folder, depth - 1)]


def _is_of_features(folder: Path) -> bool:
    """Whether files of features lie in `folder`. A CSV beside other folders is a table of labels or clicks."""
    if not holds_feature_files(folder):
        return False
    inside = [path for path in folder.iterdir() if not path.name.startswith(".")]
    arrays = {path.suffix.lower() for path in inside} & set(FEATURE_ENDINGS) - {".csv"}
    return bool(arrays) or not any(path.is_dir() for path in inside)


def _table(*folders: Path) -> Path | None:
    """The only CSV of labels in the first of `folders` that has one."""
    for folder in folders:
        tables = sorted(folder.glob("*.csv")) if folder.is_dir() else []
        tables = [path for path in tables if _has_label_column(path)]
        if len(tables) > 1:
            raise InputError(folder, expected="one table of labels", found=", ".join(path.name for path in tables),
                             fix="name one with data.ground_truth=FILE")
        if tables:
            return tables[0]
    return None


def _has_label_column(path: Path) -> bool:
    with open(path, "rb") as file:
        first = file.readline(4096).decode("utf-8-sig", "replace").lower()
    return "label" in first or "class" in first
