"""Reading a THUMOS'14-sized set of features from each format, and converting it.

Files lie in memory (/dev/shm where there is one), so that the readers are compared, not the disk. NumPy is not asked
for pickled arrays, which would run code of the file: they are compared with the same numbers in .npy files. NumPy
checks no checksum and no value; ours compares the SHA-256 of packed features and writes none that are not finite.
"""

from __future__ import annotations

import json
import pickle
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.case import Case, Plan, Unavailable
from wtal_fast.data.conversion import Conversion, convert_folder
from wtal_fast.data.formats import one_array, read_value
from wtal_fast.data.packed import packed_features
from wtal_fast.data.packed_index import open_packed

LOAD, H5PY, SAVE = "numpy.load", "h5py", "numpy.load and numpy.save"
EXACT = {"rtol": 0, "atol": 0}


def files(plan: Plan) -> Iterator[Case]:
    """413 videos of 60 to 230 snippets and 2,048 channels, 468 MB: one file each; object arrays in one file."""
    videos, width = plan.pick(tiny=(3, 4), quick=(50, 256), full=(413, 2048))
    draw = np.random.default_rng(0)
    arrays = [draw.random((length, width), np.float32) for length in draw.integers(60, 231, videos)]
    megabytes = sum(array.nbytes for array in arrays) / 1e6
    home = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
    folder, about = Path(home.name), f"{videos} videos, {megabytes:.0f} MB, "
    cases = [_npy(folder, arrays, about), _npz(folder, arrays, about), _objects(folder, arrays, about),
             *_hdf5(folder, arrays, about), *_packed(folder, arrays, about)]
    for case in cases:
        yield replace(case, ours=partial(_at_home, case.ours, home))


def _at_home(call: Callable[[], object], home: tempfile.TemporaryDirectory) -> object:
    """call(); `home` is removed with the last case that holds it."""
    return call()


def _tensors(arrays) -> list[Tensor]:
    return [torch.from_numpy(array) for array in arrays]


def _ours(paths: list[Path]) -> list[Tensor]:
    return _tensors(one_array(path).read() for path in paths)


def _npy(folder: Path, arrays: list[np.ndarray], about: str) -> Case:
    paths = [folder / f"{number}.npy" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.save(path, array)
    return Case(f"{about}npy", lambda: _ours(paths), {LOAD: [lambda: _tensors(np.load(path) for path in paths)]}, EXACT,
                {LOAD: 1.0})


def _npz(folder: Path, arrays: list[np.ndarray], about: str) -> Case:
    paths = [folder / f"{number}.npz" for number in range(len(arrays))]
    for path, array in zip(paths, arrays, strict=True):
        np.savez(path, feats=array)

    def numpy() -> list[Tensor]:
        found = []
        for path in paths:
            with np.load(path) as content:
                found.append(content["feats"])
        return _tensors(found)

    return Case(f"{about}npz, checksums compared", lambda: _ours(paths), {LOAD: [numpy]}, EXACT, {LOAD: 1.0})


def _objects(folder: Path, arrays: list[np.ndarray], about: str) -> Case:
    path, content = folder / "features.npy", np.empty(len(arrays), object)
    content[:] = arrays
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(content))
        pickle.dump(content, file, 3)
    plain = [folder / f"{number}.npy" for number in range(len(arrays))]
    return Case(f"{about}pickled object array", lambda: _tensors(read_value(path)),
                {f"{LOAD} of plain npy": [lambda: _tensors(np.load(path) for path in plain)]}, EXACT,
                {f"{LOAD} of plain npy": 1.0})


def _hdf5(folder: Path, arrays: list[np.ndarray], about: str) -> list[Case]:
    try:
        import h5py
    except ImportError:
        return [_without_h5py(f"{about}{name}", arrays) for name in ("HDF5", "HDF5 in chunks")]
    found = []
    for name, options in (("HDF5", {}), ("HDF5 in chunks", {"chunks": True})):
        paths = [folder / f"{number}{name}.h5" for number in range(len(arrays))]
        for path, array in zip(paths, arrays, strict=True):
            with h5py.File(path, "w") as file:
                file.create_dataset("feats", data=array, **options)

        def theirs(paths=paths) -> list[Tensor]:
            arrays = []
            for path in paths:
                with h5py.File(path, "r") as file:
                    arrays.append(file["feats"][()])
            return _tensors(arrays)

        found.append(Case(f"{about}{name}, the library in a process of its own", lambda paths=paths: _ours(paths),
                          {H5PY: [theirs]}, EXACT, {}))
    return found


def _packed(folder: Path, arrays: list[np.ndarray], about: str) -> list[Case]:
    """A folder as BaS-Net keeps it, converted to shards, and those read."""
    ids = [f"video_{number:05d}" for number in range(len(arrays))]
    source, there, theirs = (folder / name for name in ("source", "packed", "copied"))
    streams = [source / "features/train/rgb", source / "features/train/flow"]
    for stream, half in zip(streams, (slice(None, arrays[0].shape[1] // 2), slice(arrays[0].shape[1] // 2, None)),
                            strict=True):
        stream.mkdir(parents=True)
        for video, array in zip(ids, arrays, strict=True):
            np.save(stream / f"{video}.npy", array[:, half])
    entries = {video: {"subset": "train", "annotations": [{"segment": [0, 1], "label": "run"}]} for video in ids}
    (source / "gt.json").write_text(json.dumps({"database": entries}))
    (source / "split_train.txt").write_text("".join(f"{video}\n" for video in ids))

    def convert() -> Path:
        shutil.rmtree(there, ignore_errors=True)
        convert_folder(source, there, Conversion("packed"))
        return there

    def load() -> list[Tensor]:
        features = packed_features(open_packed(there), ids).load()
        return [features.video(number) for number in range(len(ids))]

    def copy() -> None:
        shutil.rmtree(theirs, ignore_errors=True)
        theirs.mkdir()
        for video in ids:
            parts = [np.load(stream / f"{video}.npy") for stream in streams]
            np.save(theirs / f"{video}.npy", np.concatenate(parts, axis=1))

    def converted() -> list[Tensor]:
        convert()
        return load()

    def copied() -> list[Tensor]:
        copy()
        return _tensors(np.load(theirs / f"{video}.npy") for video in ids)

    plain = [folder / f"{number}.npy" for number in range(len(arrays))]
    return [Case(f"{about}RGB and flow in npy converted to packed shards", convert, {SAVE: [copy]}, EXACT, {},
                 checked=converted, checked_baselines={SAVE: copied}),
            Case(f"{about}packed shards, SHA-256 compared", load,
                 {f"{LOAD} of plain npy": [lambda: _tensors(np.load(path) for path in plain)]}, EXACT, {})]


def _without_h5py(name: str, arrays: list[np.ndarray]) -> Case:
    def missing():
        raise Unavailable("h5py is not installed")

    return Case(name, lambda: _tensors(arrays), {H5PY: [missing]}, EXACT, {})


CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {"files": files}
