"""Repacks the smartwatch recordings of the PyPI package seglearn 1.2.5 (BSD-3) into wtal_fast/data/streams/.

    python scripts/pack_streams.py [watch_dataset.npy, or an .npz of the same recordings]

Without an argument the wheel is fetched with pip and its SHA-256 checked. Recordings are halved in rate (50 to 25 Hz,
mean of two samples) and stored as float16: movements of an arm lie far below 12 Hz, and the file stays below 2 MB.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import pickle
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from wtal_fast.files import atomic_path, save_text

WHEEL_SHA256 = "ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd"
STREAMS = Path(__file__).resolve().parents[1] / "wtal_fast" / "data" / "streams"
EXERCISES = ["PEN", "ABD", "FEL", "IR", "ER", "TRAP", "ROW"]
CHANNELS = ["ax", "ay", "az", "wx", "wy", "wz"]


class StubArray:
    """Stands for a pickled array: keeps the state it was given, makes a NumPy array of plain numbers or text of it."""

    def __setstate__(self, state):
        self.state = state

    def value(self):
        _, shape, dtype, fortran_order, content = self.state
        if dtype.code == "O8":
            items = np.empty(len(content), dtype=object)
            items[:] = [plain(item) for item in content]
            return items[0] if shape == () else list(items)
        order = "F" if fortran_order else "C"
        return np.frombuffer(content, dtype=np.dtype(dtype.code)).reshape(shape, order=order)


class StubType:
    """Stands for a pickled dtype of numbers or text; its further state is ignored, all are little-endian."""

    def __init__(self, code, align=False, copy=True):
        if code != "O8" and code[0] not in "fiuU":
            raise pickle.UnpicklingError(f"dtype {code!r} is not of numbers or text")
        self.code = code

    def __setstate__(self, state):
        if state[1] not in ("<", "|"):
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")


class StubUnpickler(pickle.Unpickler):
    """Builds stubs only: no class or function named in the file is ever looked up."""

    KNOWN = {
        ("numpy.core.multiarray", "_reconstruct"): lambda *_: StubArray(),
        ("numpy", "ndarray"): None,
        ("numpy", "dtype"): StubType,
        ("_codecs", "encode"): lambda text, encoding: codecs.encode(text, "latin-1"),
    }

    def find_class(self, module, name):
        if (module, name) not in self.KNOWN:
            raise pickle.UnpicklingError(f"refused: {module}.{name}")
        return self.KNOWN[module, name]


def plain(value):
    """The lists, dictionaries, arrays, texts and numbers that the stubs stand for."""
    if isinstance(value, StubArray):
        return value.value()
    if isinstance(value, dict):
        return {plain(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def read_recordings(path: Path) -> dict:
    """{"X": 140 arrays [T, 6], "y", "y_labels", "subject", "side"} of the package's file or of an .npz of it."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return {"X": [archive[name] for name in sorted(archive) if name[0] == "x"],
                    **{name: archive[name] for name in ("y", "y_labels", "subject", "side")}}
    with open(path, "rb") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise SystemExit(f"{path}: .npy version {version} is not the known file")
        np.lib.format.read_array_header_1_0(file)
        return plain(StubUnpickler(file).load())


def halve_rate(samples: np.ndarray) -> np.ndarray:
    """Mean of each two samples [T // 2, 6], float16."""
    even = samples[: len(samples) // 2 * 2]
    return even.reshape(-1, 2, even.shape[1]).mean(1).astype(np.float16)


def pack(recordings: dict, target: Path) -> None:
    if list(recordings["y_labels"]) != EXERCISES:
        raise SystemExit(f"expected exercises {EXERCISES}, found {list(recordings['y_labels'])}")
    halves = [halve_rate(np.asarray(samples, dtype=np.float64)) for samples in recordings["X"]]
    about = {"source": "PyPI seglearn 1.2.5, seglearn/data/watch_dataset.npy", "licence": "BSD-3-Clause",
             "channels": CHANNELS, "rate": 25, "exercises": EXERCISES}
    tensors = {
        "samples": np.ascontiguousarray(np.concatenate(halves)),  # safetensors stores other orders scrambled
        "lengths": np.array([len(half) for half in halves], dtype=np.int32),
        "exercise": np.asarray(recordings["y"]).astype(np.int32),
        "subject": np.asarray(recordings["subject"]).astype(np.int32),
        "side": np.asarray(recordings["side"]).astype(np.int32),
    }
    with atomic_path(target) as temporary:
        save_file(tensors, temporary, metadata={"about": json.dumps(about)})


def main(arguments: list[str]) -> None:
    if arguments:
        pack(read_recordings(Path(arguments[0])), STREAMS / "watch.safetensors")
        return
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:",
                        "--dest", folder, "seglearn==1.2.5"], check=True)
        wheel = next(Path(folder).glob("*.whl"))
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != WHEEL_SHA256:
            raise SystemExit(f"{wheel.name}: expected SHA-256 {WHEEL_SHA256}, found {found}")
        with zipfile.ZipFile(wheel) as archive:
            data = Path(archive.extract("seglearn/data/watch_dataset.npy", folder))
            licence = archive.read("seglearn-1.2.5.dist-info/LICENSE").decode()
        pack(read_recordings(data), STREAMS / "watch.safetensors")
        save_text(STREAMS / "LICENSE-seglearn", licence)


if __name__ == "__main__":
    main(sys.argv[1:])
