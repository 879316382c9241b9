"""Writing the layout of the W-TALC family: one object array of all features, annotation arrays beside it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wtal_fast.data.layout_writers import LayoutWriter, Video, save_array
from wtal_fast.data.object_array_file import ObjectArrayFile

NAME = "Converted"


class WtalcWriter(LayoutWriter):
    """<NAME>-I3D-JOINTFeatures.npy and <NAME>-Annotations/. videos: the ids in the order in which they are added; what
    an interrupted conversion wrote of them is kept."""

    def __init__(self, root: Path, videos: Sequence[str]):
        super().__init__(root)
        self.videos = list(videos)
        path, = self.files("", "")
        self._features = None if path.is_file() else ObjectArrayFile(path, len(self.videos))
        self._stored = set(self.videos if self._features is None else self.videos[: self._features.written])

    def files(self, video: str, part: str) -> tuple[Path, ...]:
        return (self.root / f"{NAME}-I3D-JOINTFeatures.npy",)

    def has(self, video: str, part: str) -> bool:
        return video in self._stored

    def add(self, video: Video) -> None:
        self._features.append(video.joined)

    def close(self) -> None:
        if self._features is not None:
            self._features.close()

    def finish(self, content: dict, splits: dict[str, Sequence[str]], settings: dict) -> None:
        if self._features is not None:
            self._features.finish()
        entries = [content["database"][video] for video in self.videos]
        instances = [[one for one in entry["annotations"] if one.get("segment") is not None] for entry in entries]
        whole = [entry.get("labels_all", sorted({one["label"] for one in entry["annotations"]})) for entry in entries]
        names = content.get("activity_list") or sorted({label for row in whole for label in row})
        arrays = {"videoname": np.array(self.videos, dtype="S"), "classlist": np.array(names, dtype="S"),
                  "subset": np.array([entry["subset"] for entry in entries], dtype="S10")}
        for key, name in (("duration", "duration"), ("fps", "original_fps")):
            if all(entry.get(key) is not None for entry in entries):
                arrays[name] = np.array([[float(entry[key])] for entry in entries])
        lists = {"labels": [[one["label"] for one in rows] for rows in instances], "labels_all": whole,
                 "segments": [[list(map(float, one["segment"])) for one in rows] for rows in instances]}
        folder = self.root / f"{NAME}-Annotations"
        for name, array in arrays.items():
            save_array(folder / f"{name}.npy", array)
        for name, rows in lists.items():
            file = ObjectArrayFile(folder / f"{name}.npy", len(rows))
            for row in rows:
                file.append(row)
            file.finish()
