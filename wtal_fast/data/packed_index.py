"""The index of a packed data set: which video lies where in which shard, and the checksums of every byte.

    PACK/index.json                    this index, sealed (wtal_fast.seals)
    PACK/features-00000.safetensors    one tensor [L, D] a video, named by its id, all of one dtype, no gaps
    PACK/gt.json, PACK/<clicks>        small files that travel with the features, their SHA-256 in the index

The tensors of a shard stand one after another, so that a shard is also one array [rows, D]: opening 10,000 videos reads
index.json only. Every other safetensors reader reads the shards too. Torch is not imported here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from wtal_fast.data.video_ids import check_ids
from wtal_fast.errors import InputError
from wtal_fast.files import read_json

INDEX_NAME = "index.json"
FORMAT = "wtal_fast packed/1"
MAX_HEADER_BYTES = 100 * 2**20  # the limit of the safetensors format
DTYPES = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
_SHARD_NAME = re.compile(r"features-\d{5,}\.safetensors")
_SIDE_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")
_DAMAGED = "the file is damaged: copy or convert it again"


@dataclass(frozen=True)
class Shard:
    """One file of features: rows x width numbers of `dtype` after header_bytes of header."""

    path: Path
    dtype: np.dtype
    rows: int
    width: int
    header_bytes: int
    header_sha256: str

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return self.header_bytes + self.rows * self.width * self.dtype.itemsize

    @cached_property
    def values(self) -> np.ndarray:
        """All rows [rows, width], left on disk. The header is checked against its SHA-256."""
        with open(self.path, "rb") as file:
            if hashlib.sha256(file.read(self.header_bytes)).hexdigest() != self.header_sha256:
                raise InputError(self.path, "header", expected="the bytes that were written", found="another SHA-256",
                                 fix=_DAMAGED)
        return np.memmap(self.path, self.dtype, "r", self.header_bytes, (self.rows, self.width))


@dataclass(frozen=True, eq=False)
class PackedIndex:
    """What index.json says. Of V videos: ids, subsets (as the ground truth names them), shard_of [V], starts [V] (rows
    of the shard), lengths [V], frame_counts [V] (0: not known) and the SHA-256 of each tensor.

    streams: (name, width) of the parts that stand side by side, such as ("rgb", 1024), ("flow", 1024).
    files: SHA-256 of the small files beside the shards. about: free facts, such as the layout that was packed.
    """

    folder: Path
    streams: tuple[tuple[str, int], ...]
    shards: tuple[Shard, ...]
    video_ids: tuple[str, ...]
    subsets: tuple[str, ...]
    shard_of: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    frame_counts: np.ndarray
    digests: tuple[str, ...]
    files: dict[str, str]
    about: dict
    _verified: set[int] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return len(self.video_ids)

    @property
    def feature_dim(self) -> int:
        return sum(width for _, width in self.streams)

    @cached_property
    def position(self) -> dict[str, int]:
        """Video id -> number."""
        return {video: number for number, video in enumerate(self.video_ids)}

    def rows(self, video: int) -> np.ndarray:
        """Features [L, D] of video number `video`, left on disk; on the first use checked against their SHA-256."""
        values = self.shards[self.shard_of[video]].values
        rows = values[self.starts[video] : self.starts[video] + self.lengths[video]]
        if video not in self._verified:
            if hashlib.sha256(rows).hexdigest() != self.digests[video]:
                raise InputError(self.shards[self.shard_of[video]].path, f"video '{self.video_ids[video]}'",
                                 expected="the features that were packed", found="another SHA-256", fix=_DAMAGED)
            self._verified.add(video)
        return rows

    def columns(self, modality: str) -> slice:
        """The channels of stream `modality`; all of them for "all"."""
        if modality == "all":
            return slice(0, self.feature_dim)
        names = [name for name, _ in self.streams]
        if modality not in names:
            raise InputError(self.folder / INDEX_NAME, "streams", expected=f"a stream '{modality}'",
                             found=", ".join(names), fix="set data.modality to one of them, or to all")
        first = sum(width for _, width in self.streams[: names.index(modality)])
        return slice(first, first + self.streams[names.index(modality)][1])

    def side_file(self, name: str) -> Path:
        """The path of a small file of the set, after its SHA-256 was checked."""
        path = self.folder / name
        if name not in self.files:
            raise InputError(self.folder / INDEX_NAME, "files", expected=f"'{name}'", found=", ".join(self.files))
        if not path.is_file():
            raise InputError(path, expected="a file of the data set", found="nothing there", fix=_DAMAGED)
        if hashlib.sha256(path.read_bytes()).hexdigest() != self.files[name]:
            raise InputError(path, expected="the file that was packed", found="another SHA-256",
                             fix="restore it, or convert the data set again")
        return path


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_packed(folder: str | os.PathLike) -> bool:
    """Whether `folder` holds an index.json of this format (or a damaged one that still names it)."""
    path = Path(folder) / INDEX_NAME
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return FORMAT.partition("/")[0].encode() in file.read(200)


def open_packed(folder: str | os.PathLike) -> PackedIndex:
    """The index of a packed data set. Features are read, and checked against their SHA-256, when they are used.

    Raises InputError for a missing or damaged index, for shards that are missing or not of the size recorded, and for
    an index that points outside its shards or its folder.
    """
    folder = Path(folder)
    path = folder / INDEX_NAME
    content = _read_index(path)
    try:
        index = _parse(folder, content)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, expected=f"an index of {FORMAT}", found=f"{type(error).__name__}: {error}",
                         fix="convert the data set again") from None
    for shard in index.shards:
        size = shard.path.stat().st_size if shard.path.is_file() else -1
        if size != shard.size:
            raise InputError(shard.path, expected=f"{shard.size} bytes",
                             found="nothing there" if size < 0 else f"{size} bytes", fix=_DAMAGED)
    return index


def read_header(path: Path) -> tuple[int, str, dict]:
    """(bytes before the numbers, their SHA-256, {name: {"dtype", "shape", "data_offsets"}}) of a safetensors file."""
    with open(path, "rb") as file:
        head = file.read(8)
        size = int.from_bytes(head, "little")
        if size > MAX_HEADER_BYTES:
            raise InputError(path, "header", expected=f"at most {MAX_HEADER_BYTES} bytes", found=f"{size}")
        text = file.read(size)
    header = json.loads(text)
    header.pop("__metadata__", None)
    return 8 + size, hashlib.sha256(head + text).hexdigest(), header


def _read_index(path: Path) -> dict:
    if not path.is_file():
        raise InputError(path, expected="the index of a packed data set", found="nothing there",
                         fix="wtal-fast convert makes one; --resume finishes one that was interrupted")
    content = read_json(path, sealed=True)
    if content.get("format") != FORMAT:
        raise InputError(path, "format", expected=FORMAT, found=ascii(content.get("format"))[:80],
                         fix="update wtal_fast")
    return content


def _parse(folder: Path, content: dict) -> PackedIndex:
    streams = tuple((str(name), int(width)) for name, width in content["streams"])
    width = sum(width for _, width in streams)
    shards = tuple(_shard(folder, entry, width) for entry in content["shards"])
    videos = content["videos"]
    ids = tuple(videos["id"])
    check_ids(ids, folder / INDEX_NAME)
    integers = {name: np.asarray(videos[name], dtype=np.int64) for name in ("shard", "start", "length", "frame_count")}
    columns = [videos["subset"], videos["sha256"], *integers.values()]
    if any(len(column) != len(ids) for column in columns) or any(width < 1 for _, width in streams):
        raise ValueError("columns of unequal length")
    shard_of, starts, lengths = integers["shard"], integers["start"], integers["length"]
    if len(ids) and (shard_of.min() < 0 or shard_of.max() >= len(shards) or starts.min() < 0 or lengths.min() < 1):
        raise ValueError("a video outside the shards")
    rows = np.asarray([shard.rows for shard in shards], dtype=np.int64)
    if len(ids) and (starts + lengths > rows[shard_of]).any():
        raise ValueError("a video that ends after its shard")
    files = {name: str(digest) for name, digest in content["files"].items()}
    if not all(_SIDE_NAME.fullmatch(name) for name in files):
        raise ValueError("a file outside the folder")
    return PackedIndex(folder, streams, shards, ids, tuple(map(str, videos["subset"])), shard_of, starts, lengths,
                       integers["frame_count"], tuple(videos["sha256"]), files, dict(content["about"]))


def _shard(folder: Path, entry: dict, width: int) -> Shard:
    if not _SHARD_NAME.fullmatch(entry["file"]):
        raise ValueError(f"a shard called {ascii(entry['file'])[:80]}")
    numbers = [int(entry[name]) for name in ("rows", "header_bytes")]
    if min(numbers) < 0 or numbers[1] > MAX_HEADER_BYTES:
        raise ValueError("a shard of negative size")
    return Shard(folder / entry["file"], DTYPES[entry["dtype"]], numbers[0], width, numbers[1], entry["header_sha256"])

