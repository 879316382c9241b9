"""Writing a packed data set shard by shard; interrupted work goes on where the last whole shard ended."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from wtal_fast.data.packed_index import DTYPES, FORMAT, INDEX_NAME, processors, read_header
from wtal_fast.data.video_ids import check_ids
from wtal_fast.errors import InputError
from wtal_fast.files import atomic_path, read_json, save_json

SHARD_BYTES = 128 * 2**20  # held in memory twice while a shard is written
_JOURNAL = ".packing"


class PackWriter:
    """Writes one packed data set. Between opening and `finish` the folder holds shards and a journal, no index.json.

    streams: (name, width) of the parts that stand side by side. plan: what is being packed, as JSON; work of another
    plan in the folder is refused. Every shard is written whole or not at all: after a crash, `stored` names the videos
    that are safe and `add` goes on with the others.
    """

    def __init__(self, folder: str | os.PathLike, streams: Sequence[tuple[str, int]], plan: dict,
                 shard_bytes: int = SHARD_BYTES):
        self.folder, self.streams, self.shard_bytes = Path(folder), [list(stream) for stream in streams], shard_bytes
        self.width = sum(width for _, width in streams)
        self._waiting: dict[str, tuple[str, np.ndarray, int]] = {}
        self._journal = self.folder / _JOURNAL
        if (self.folder / INDEX_NAME).exists():
            raise InputError(self.folder, expected="a folder without a data set", found=INDEX_NAME,
                             fix="it is complete; choose another --output for other data")
        self._journal.mkdir(parents=True, exist_ok=True)
        self._lock = open(self._journal / "lock", "a")  # noqa: SIM115 (held until finish or the end of the process)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(self.folder, expected="a folder no other process writes", found="one that does",
                             fix="wait for it or choose another --output") from None
        self._agree_on(json.loads(json.dumps(plan | {"streams": self.streams})))
        self.parts = [read_json(path, sealed=True) for path in sorted(self._journal.glob("part-*.json"))]
        for stale in self.folder.glob(".features-*.tmp"):
            stale.unlink(missing_ok=True)

    @property
    def stored(self) -> set[str]:
        """Ids of the videos in finished shards."""
        return {video for part in self.parts for video in part["id"]}

    def add(self, video_id: str, subset: str, features: np.ndarray, frame_count: int = 0) -> None:
        """Appends a video of features [L, D], L >= 1, all finite as float32. subset: the ground truth's name for its
        part. frame_count: frames of the video, 0 where not known. Written when a shard is full."""
        dtype = np.result_type(features.dtype, np.float16)
        if features.ndim != 2 or features.shape[1] != self.width or not len(features):
            raise InputError(f"video '{video_id}'", expected=f"features [snippets, {self.width}]",
                             found=f"shape {list(features.shape)}", fix="extract all videos with the same network")
        with np.errstate(over="ignore"):
            if not np.isfinite(np.asarray(features, dtype=np.float32)).all():
                raise InputError(f"video '{video_id}'", expected="finite features", found="NaN, infinity or more than "
                                 "float32 holds", fix="extract the video again")
        features = np.ascontiguousarray(features, dtype=dtype.newbyteorder("<"))
        held = [array for _, array, _ in self._waiting.values()]
        if held and (held[0].dtype != features.dtype
                     or sum(array.nbytes for array in held) + features.nbytes > self.shard_bytes):
            self._write_shard()
        self._waiting[video_id] = (subset, features, frame_count)

    def finish(self, order: Sequence[str], files: Mapping[str, bytes], about: dict) -> None:
        """Writes what is still held, the small `files`, and index.json with the videos in `order`."""
        self._write_shard()
        place = {video: (number, row) for number, part in enumerate(self.parts) for row, video in enumerate(part["id"])}
        check_ids(order, self.folder)
        where = [place[video] for video in order]
        videos = {"id": list(order), "shard": [number for number, _ in where]}
        videos |= {name: [self.parts[number][name][row] for number, row in where]
                   for name in ("start", "length", "frame_count", "subset", "sha256")}
        for name, content in files.items():
            with atomic_path(self.folder / name) as path:
                path.write_bytes(content)
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
        save_json(self.folder / INDEX_NAME, {
            "format": FORMAT, "about": about, "streams": self.streams, "files": digests,
            "shards": [part["shard"] for part in self.parts], "videos": videos}, sealed=True)
        self._lock.close()
        shutil.rmtree(self._journal)

    def _agree_on(self, plan: dict) -> None:
        path = self._journal / "plan.json"
        if not path.exists():
            save_json(path, plan, sealed=True)
        elif (old := read_json(path, sealed=True)) != plan:
            changed = sorted(key for key in old.keys() | plan.keys() if old.get(key) != plan.get(key))
            raise InputError(self.folder, ", ".join(changed), expected="the conversion that was begun here",
                             found="another one", fix="repeat it as it was begun, or choose another --output")

    def _write_shard(self) -> None:
        if not self._waiting:
            return
        number = len(self.parts)
        path = self.folder / f"features-{number:05d}.safetensors"
        with atomic_path(path) as temporary:
            save_file({video: array for video, (_, array, _) in self._waiting.items()}, temporary)
        header_bytes, header_sha256, header = read_header(path)
        dtype = next(iter(header.values()))["dtype"]
        row_bytes = self.width * DTYPES[dtype].itemsize
        part = {"shard": {"file": path.name, "dtype": dtype, "header_bytes": header_bytes,
                          "header_sha256": header_sha256,
                          "rows": sum(len(array) for _, array, _ in self._waiting.values())},
                "id": list(self._waiting), "start": [], "length": [], "frame_count": [], "subset": []}
        with ThreadPoolExecutor(processors()) as pool:
            part["sha256"] = list(pool.map(lambda held: hashlib.sha256(held[1]).hexdigest(), self._waiting.values()))
        for video, (subset, array, frame_count) in self._waiting.items():
            part["start"].append(header[video]["data_offsets"][0] // row_bytes)
            part["length"].append(len(array))
            part["frame_count"].append(int(frame_count))
            part["subset"].append(subset)
        save_json(self._journal / f"part-{number:05d}.json", part, sealed=True)
        self.parts.append(part)
        self._waiting = {}
