"""Layouts of data sets on disk, one file a family; `open_folder` finds out which one a folder has.

A layout is a subclass of folder.DataFolder: `recognise` says whether a folder has it. To add one, write its file and
put the class into LAYOUTS; the first that recognises a folder reads it.
"""

from __future__ import annotations

import os
from pathlib import Path

from wtal_fast.data.layouts.backtal import BackTAL
from wtal_fast.data.layouts.flat import FlatFolder
from wtal_fast.data.layouts.folder import DataFolder, Part, VideoFacts
from wtal_fast.data.layouts.object_arrays import ObjectArrays
from wtal_fast.data.layouts.own import OwnData
from wtal_fast.data.layouts.packed import Packed
from wtal_fast.data.layouts.stream_pairs import StreamPairs
from wtal_fast.data.layouts.subset_folders import SubsetFolders
from wtal_fast.errors import InputError

LAYOUTS: tuple[type[DataFolder], ...] = (Packed, OwnData, ObjectArrays, StreamPairs, BackTAL, SubsetFolders, FlatFolder)

__all__ = ["LAYOUTS", "DataFolder", "Part", "VideoFacts", "open_folder", "recognise"]


def open_folder(root: str | os.PathLike) -> DataFolder:
    """The data set at `root`, or in its only subfolder that has one (<root>/THUMOS14/gt.json).

    Raises InputError where there is none, or several.
    """
    root = Path(root)
    if not root.is_dir():
        raise InputError(root, expected="a folder of features", found="a file" if root.exists() else "nothing there",
                         fix="check the path")
    found = recognise(root)
    if found is not None:
        return found
    below = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and not folder.name.startswith(".")]
    inside = [folder for folder in map(recognise, below) if folder is not None]
    if len(inside) > 1:
        raise InputError(root, expected="one data set", found=", ".join(folder.root.name for folder in inside),
                         fix="name the folder of one of them")
    if not inside:
        names = ", ".join(path.name for path in sorted(root.iterdir()))[:200] or "an empty folder"
        known = ", ".join(kind.layout for kind in LAYOUTS)
        raise InputError(root, expected=f"a data set of one of the layouts {known}", found=names,
                         fix="docs/data.md shows each; a dataset.yaml describes a folder of your own")
    return inside[0]


def recognise(root: Path) -> DataFolder | None:
    """The data set that lies directly at `root`, or None."""
    return next((found for layout in LAYOUTS if (found := layout.recognise(root)) is not None), None)
