"""The layout of CMCS and ActionFormer's source features: <id>-rgb.npz and <id>-flow.npz of crops [A, L, D].

Key `feature`; UntrimmedNet's files have [L, A, D, 1, 1]. Several crops are averaged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wtal_fast.data.formats import ArrayRef, one_array
from wtal_fast.data.layouts.folder import (
    DataFolder,
    Part,
    blocked_ids,
    click_files,
    entries,
    feature_files,
    find_ground_truth,
    one_crop,
)

STREAMS = ("rgb", "flow")


@dataclass(frozen=True, eq=False)
class StreamPairs(DataFolder):
    """All videos in one folder, a file for each stream: <id>-rgb.npz, <id>-flow.npz."""

    layout = "cmcs"
    about = "one folder with <id>-rgb.npz and <id>-flow.npz of every video"

    @classmethod
    def recognise(cls, root: Path) -> StreamPairs | None:
        folder = _folder(root)
        if folder is None:
            return None
        annotations = [path for name, path in entries(root).items() if name == "annotations"]
        return cls(root, find_ground_truth(root, *annotations, folder), click_files(root), blocked_ids(root, folder))

    def part(self, subset: str, role: str | None = None) -> Part:
        if () not in self._parts:
            found = feature_files(_folder(self.root))
            ids = dict.fromkeys(name.rsplit("-", 1)[0] for name in found if name.rsplit("-", 1)[-1] in STREAMS)
            files = {video: tuple(found.get(f"{video}-{stream}") for stream in STREAMS) for video in ids}
            self._parts[()] = Part(_folder(self.root), STREAMS, files, pattern="{video}-{stream}.npz")
        return self._parts[()]

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        return tuple(one_crop(one_array(path, ("feature",))) for path in part.files[video])


def _folder(root: Path) -> Path | None:
    """`root` or the folder in it that holds the pairs."""
    for folder in (root, *(path for path in entries(root).values() if path.is_dir())):
        if next(folder.glob("*-rgb.np?"), None) is not None and next(folder.glob("*-flow.np?"), None) is not None:
            return folder
    return None
