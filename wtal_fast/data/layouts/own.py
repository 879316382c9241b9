"""Own data, described by a dataset.yaml of a few lines:

    features: features          # folder with a file a video: <id>.npy, .npz, .pt, .csv of [snippets, channels]
    labels: labels.csv          # or JSON
    fps: 25                     # frames a second
    stride: 16                  # frames between snippets
    test: 0.25                  # share of the videos, a file of ids, or a list; without it the labels say `subset`

Optional: classes (their order), train (as test), clicks (a click file), channels_first: true for arrays of [channels,
snippets]. features may also name one file that holds an array for each video (.npz, .h5, .pt, .safetensors); key then
says what it is called there, "{video}" where nothing is said: key: "{video}/c3d_features".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from wtal_fast.data.formats import ArrayRef, open_arrays, read_yaml
from wtal_fast.data.ground_truth import ground_truth_content
from wtal_fast.data.holdout import stratified_choice
from wtal_fast.data.layouts.flat import FlatFolder, annotation_folders
from wtal_fast.data.layouts.folder import Part, blocked_ids, channels_last
from wtal_fast.data.splits import read_ids
from wtal_fast.errors import InputError, nearest_name

FILE_NAME = "dataset.yaml"
VIDEO = "{video}"  # in key: the id of a video
_KEYS = {"features", "labels", "fps", "stride", "classes", "train", "test", "clicks", "channels_first", "key"}
_HELP = "features, labels, fps, stride, test; optional: classes, train, clicks, channels_first, key"


@dataclass(frozen=True, eq=False)
class OwnData(FlatFolder):
    """A folder with a dataset.yaml."""

    layout = "own"
    about = "a dataset.yaml that names features and labels"

    description: dict = field(default_factory=dict)

    @classmethod
    def recognise(cls, root: Path) -> OwnData | None:
        path = root / FILE_NAME
        if not path.is_file():
            return None
        description = _read(path)
        features = _inside(path, "features", description["features"])
        clicks = (_inside(path, "clicks", description["clicks"]),) if "clicks" in description else ()
        return cls(root, _inside(path, "labels", description["labels"]), clicks,
                   blocked_ids(*annotation_folders(root, features)), features,
                   bool(description.get("channels_first", False)), description)

    @cached_property
    def stored(self) -> dict[str, ArrayRef] | None:
        """The array of each video where one file holds them all; None where each has its file."""
        if self.features.is_dir():
            return None
        first, last = self.description.get("key", VIDEO).split(VIDEO)
        return {name[len(first) : len(name) - len(last)]: array for name, array in open_arrays(self.features).items()
                if name.startswith(first) and name.endswith(last) and len(name) > len(first) + len(last)
                and len(array.shape) > 1}

    def part(self, subset: str, role: str | None = None) -> Part:
        if self.stored is None:
            return super().part(subset, role)
        if () not in self._parts:
            around = f"{self.features.name}, {self.description.get('key', VIDEO)}".split(VIDEO)
            pattern = VIDEO.join(text.replace("{", "{{").replace("}", "}}") for text in around)
            files = dict.fromkeys(self.stored, (self.features,))
            self._parts[()] = Part(self.features.parent, ("features",), files, pattern=pattern)
        return self._parts[()]

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        if self.stored is None:
            return super().arrays(part, video)
        array = self.stored[video]
        return (channels_last(array) if self.channels_first else array,)

    def settings(self) -> dict[str, object]:
        """What the description says about settings of a run: keys of the configuration."""
        keys = {"data.fps": "fps", "data.snippet_stride": "stride", "data.clicks": "clicks"}
        found = {key: self.description[name] for key, name in keys.items() if name in self.description}
        part = self.part("train")
        first = next(iter(part.files), None)
        if first is not None:
            found["model.feature_dim"] = sum(array.shape[-1] for array in self.arrays(part, first))
        return found | {"data.class_names": self.description.get("classes")}

    @cached_property
    def content(self) -> dict:
        """The ground truth, each video in the part that the description puts it into."""
        content = ground_truth_content(self.ground_truth)
        database = content.get("database")
        if isinstance(database, dict) and ("test" in self.description or "train" in self.description):
            parts = self._split(database)
            database = {video: entry | {"subset": parts.get(video, "unused")} if isinstance(entry, dict) else entry
                        for video, entry in database.items()}
        return content | {"database": database}

    def _split(self, database: dict) -> dict[str, str]:
        """{id: "train" or "test"}; with both lists given other videos are in neither."""
        part = self.part("train")
        labelled = [video for video in database if part.stored_id(video)]
        lists = {role: self._listed(role, labelled, database) for role in ("train", "test") if role in self.description}
        both = set(lists.get("train", ())) & set(lists.get("test", ()))
        if both:
            raise InputError(self.root / FILE_NAME, "train, test", expected="no video in both",
                             found=", ".join(sorted(both))[:80])
        other = "train" if "test" in lists else "test"
        chosen = {video: role for role, videos in lists.items() for video in videos}
        return chosen if len(lists) == 2 else {video: chosen.get(video, other) for video in database}

    def _listed(self, role: str, videos: list[str], database: dict) -> list[str]:
        value = self.description[role]
        where = self.root / FILE_NAME
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if not 0 < value < 1 or len(videos) < 2:
                raise InputError(where, role, expected="a share between 0 and 1 of at least two videos",
                                 found=f"{value} of {len(videos)}")
            return _share(videos, database, float(value))
        listed = read_ids(_inside(where, role, value)) if isinstance(value, str) else value
        if not isinstance(listed, list) or not all(isinstance(video, str) for video in listed):
            raise InputError(where, role, expected="a share, a file of ids or a list of ids", found=repr(value)[:80])
        unknown = [video for video in listed if video not in database]
        if unknown:
            raise InputError(where, role, expected="labelled videos", found=f"{len(unknown)} others, such as "
                             f"'{unknown[0]}'", fix=nearest_name(unknown[0], database))
        return listed


def _share(videos: list[str], database: dict, share: float) -> list[str]:
    """About `share` of the videos, every class in both parts where that is possible; always the same ones."""
    labels = [{str(item.get("label")) for item in database[video].get("annotations", []) if isinstance(item, dict)}
              for video in videos]
    names = sorted(set().union(*labels))
    multi_hot = np.array([[name in own for name in names] for own in labels], dtype=float).reshape(len(videos), -1)
    held = stratified_choice(multi_hot, share, np.random.default_rng(0))
    return [video for video, is_held in zip(videos, held, strict=True) if is_held]


def _read(path: Path) -> dict:
    description = read_yaml(path, _HELP)
    if not isinstance(description, dict):
        raise InputError(path, expected="keys and values", found=type(description).__name__, fix=_HELP)
    for key in description:
        if key not in _KEYS:
            raise InputError(path, str(key), expected="a known key", found=str(key), fix=nearest_name(str(key), _KEYS))
    for key in ("features", "labels"):
        if not isinstance(description.get(key), str):
            raise InputError(path, key, expected="the name of a file or folder", found=repr(description.get(key))[:80],
                             fix=_HELP)
    if not isinstance(description.get("key", VIDEO), str) or description.get("key", VIDEO).count(VIDEO) != 1:
        raise InputError(path, "key", expected=f"the name of an array with {VIDEO} in it, in quotes",
                         found=repr(description["key"])[:80])
    for key in ("fps", "stride"):
        value = description.get(key, 1)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
            raise InputError(path, key, expected="a number above 0", found=repr(value)[:80])
    return description


def _inside(path: Path, key: str, name) -> Path:
    """The file that the description in `path` names, seen from its folder."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise InputError(path, key, expected="the name of a file or folder", found=repr(name)[:80])
    found = path.parent / name
    if not found.exists():
        raise InputError(path, key, expected="a file or folder beside dataset.yaml", found=f"nothing at {found}",
                         fix="correct the name")
    return found
