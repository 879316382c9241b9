"""The packed layout, ours: index.json, features-*.safetensors, gt.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from wtal_fast.data.formats import ArrayRef
from wtal_fast.data.formats.arrays import LoadedArray
from wtal_fast.data.layouts.folder import DataFolder, Part, VideoFacts
from wtal_fast.data.packed_index import INDEX_NAME, PackedIndex, is_packed, open_packed
from wtal_fast.data.splits import names_of_subset

TRUTH_NAME = "gt.json"


@dataclass(frozen=True, eq=False)
class Packed(DataFolder):
    """Sharded safetensors with checksums, as wtal-fast convert writes them."""

    layout = "packed"
    about = "index.json of wtal-fast convert"

    @classmethod
    def recognise(cls, root: Path) -> Packed | None:
        if not is_packed(root):
            return None
        index = open_packed(root)
        truth = index.side_file(TRUTH_NAME) if TRUTH_NAME in index.files else None
        clicks = tuple(index.side_file(name) for name in index.files if name != TRUTH_NAME)
        folder = cls(root, truth, clicks)
        folder.__dict__["index"] = index
        return folder

    @property
    def rescaled(self) -> bool:
        """As the data set that was packed."""
        return bool(self.index.about.get("rescaled", False))

    def settings(self) -> dict[str, object]:
        found = self.index.about.get("settings", {})
        return dict(found) if isinstance(found, dict) else {}

    @cached_property
    def index(self) -> PackedIndex:
        """Which video lies where."""
        return open_packed(self.root)

    def part(self, subset: str, role: str | None = None) -> Part:
        wanted = names_of_subset(subset, None)
        listing = tuple(video for video, name in zip(self.index.video_ids, self.index.subsets, strict=True)
                        if name.lower() in wanted)
        return Part(self.root, tuple(name for name, _ in self.index.streams), self._files, listing,
                    self.root / INDEX_NAME)

    def arrays(self, part: Part, video: str) -> tuple[ArrayRef, ...]:
        number = self.index.position[video]
        shard, length = self.index.shards[self.index.shard_of[number]], int(self.index.lengths[number])
        return tuple(
            LoadedArray(shard.path, f"{video}, {name}", (length, width), shard.dtype, self._reader(number, name))
            for name, width in self.index.streams)

    def facts(self, part: Part, video: str) -> VideoFacts:
        return VideoFacts(frame_count=int(self.index.frame_counts[self.index.position[video]]))

    @cached_property
    def _files(self) -> Mapping[str, tuple[Path, ...]]:
        paths = [shard.path for shard in self.index.shards]
        streams = len(self.index.streams)
        return {video: (paths[shard],) * streams
                for video, shard in zip(self.index.video_ids, self.index.shard_of.tolist(), strict=True)}

    def _reader(self, number: int, stream: str):
        return lambda: self.index.rows(number)[:, self.index.columns(stream)].copy()
