"""Where a folder of features keeps its ground truth, its splits and its features."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wtal_fast.data.annotations import canonical_subset
from wtal_fast.errors import InputError

GROUND_TRUTH_NAMES = ("gt.json", "gt_full.json", "annotations.json")
_LONG_NAMES = {"train": "training", "val": "validation", "test": "testing"}


@dataclass(frozen=True)
class Layout:
    """Paths of one subset. ground_truth and split are None where there is no such file."""

    root: Path
    ground_truth: Path | None
    split: Path | None
    features: Path


def find_layout(root: str | os.PathLike, subset: str, role: str | None = None) -> Layout:
    """The paths of `subset` under `root`, in the layout of BaS-Net, UM and their relatives:

        <root>/gt.json   split_<subset>.txt   features/<subset>/{rgb,flow}/<id>.npy or features/<subset>/<id>.npy

    The same is accepted one folder deeper (<root>/THUMOS14/gt.json), without features/ (<root>/<subset>/...), and in
    upper or lower case. role: "train" or "test", the folder name to try where nothing is named after the subset itself
    (files that call the tested part "validation" keep it in split_test.txt).
    Raises InputError where no feature folder is found or several data sets are.
    """
    root = _data_root(Path(root))
    short = canonical_subset(subset)
    names = list(dict.fromkeys(name for name in (subset.lower(), short, _LONG_NAMES.get(short), role) if name))
    entries = _entries(root)
    splits = [entries[f"split_{name}.txt"] for name in names if f"split_{name}.txt" in entries]
    inner = _entries(entries["features"]) if "features" in entries else {}
    folders = [folder[name] for name in names for folder in (inner, entries) if name in folder]
    folders = [folder for folder in folders if folder.is_dir()]
    if not folders:
        present = [*(f"features/{name}" for name in inner), *(name for name in entries if entries[name].is_dir())]
        found = ", ".join(present) or "no folder"
        raise InputError(root, f"subset '{subset}'", expected=f"a folder features/{names[0]}", found=found[:300],
                         fix="put the features there, or name another subset")
    truth = next((entries[name] for name in GROUND_TRUTH_NAMES if name in entries), None)
    return Layout(root, truth, splits[0] if splits else None, folders[0])


def read_split(path: str | os.PathLike) -> list[str]:
    """Video ids of a split file, one a line; blank lines are skipped."""
    path = Path(path)
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason) from None
    videos = [line.strip() for line in lines if line.strip()]
    if not videos:
        raise InputError(path, expected="one video id a line", found="no ids")
    return videos


def _data_root(root: Path) -> Path:
    """`root` itself where it holds data, else its only subfolder that does."""
    if not root.is_dir():
        raise InputError(root, expected="a folder of features", found="a file" if root.exists() else "nothing there",
                         fix="check the path")
    if _holds_data(root):
        return root
    inside = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and _holds_data(folder)]
    if len(inside) > 1:
        raise InputError(root, expected="one data set", found=", ".join(folder.name for folder in inside),
                         fix="name the folder of one of them")
    return inside[0] if inside else root


def _holds_data(folder: Path) -> bool:
    names = _entries(folder)
    return "features" in names or any(name in names for name in GROUND_TRUTH_NAMES)


def _entries(folder: Path) -> dict[str, Path]:
    return {entry.name.lower(): entry for entry in sorted(folder.iterdir())}
