"""What is fuzzed: for each reader its seeds, the words of its format, how content becomes a file, and the call."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.click_files import read_clicks
from wtal_fast.data.formats import open_arrays, read_value
from wtal_fast.data.label_tables import table_content
from wtal_fast.data.layouts.own import _read as read_own_yaml

LARGEST_RESULT = 64 * 2**20  # bytes: no input of some kilobytes may become more


@dataclass(frozen=True)
class Target:
    """One fuzzed reader. packs: ways from mutated content to the bytes of a file, one drawn each time."""

    seeds: list[bytes]
    read: Callable[[Path], object]
    words: list[bytes] = field(default_factory=list)
    packs: tuple[Callable[[bytes], bytes], ...] = (bytes,)


def read_arrays(path: Path) -> None:
    """Opens every array, maps what can be mapped, reads all of it."""
    arrays = open_arrays(path)
    total = sum(ref.nbytes for ref in arrays.values())
    if total > LARGEST_RESULT + 200 * path.stat().st_size:
        raise AssertionError(f"{total} bytes of arrays from a file of {path.stat().st_size}")
    for ref in arrays.values():
        ref.map()
    read_value(path)


def npy_bytes(array: np.ndarray, protocol: int = 2) -> bytes:
    """An .npy file; object arrays are pickled with `protocol`."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, np.lib.format.header_data_from_array_1_0(array))
    buffer.write(pickle.dumps(array, protocol) if array.dtype.hasobject else array.tobytes("A"))
    return buffer.getvalue()


def objects(*items) -> np.ndarray:
    """An object array of `items`."""
    array = np.empty(len(items), object)
    array[:] = items
    return array


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip archive with right checksums."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)
LONG = np.arange(700, dtype=np.float32).reshape(100, 7)
FEATURES, LABELS = objects(ARRAY, LONG), objects(["run", "jump"], [], [1.5, None])
VALUE = {"video_1": {"feats": LONG, "fps": np.float64(25), "n": (1, -2, 2**40)}, b"raw": b"\xff\x00" * 700, 3: True}
PICKLES = [pickle.dumps(value, protocol) for protocol in range(6) for value in (VALUE, LABELS, LONG)]
PICKLE_WORDS = [bytes([code]) for code in range(256)] + [
    b"cos\nsystem\n", b"c__builtin__\neval\n", b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"c_codecs\nencode\n",
    b"cnumpy.core.multiarray\n_reconstruct\n", b"cnumpy.core.multiarray\nscalar\n", b"X\x06\x00\x00\x00latin1",
    b"\x8c\x02f4", b"cnumpy.core.numeric\n_frombuffer\n",
    b"ccollections\nOrderedDict\n", b"]\x94h\x00a", b"\x85R.", b"tb.", b"(lp0\n"]


def checkpoint_seeds() -> tuple[list[bytes], list[bytes]]:
    """(data.pkl of torch archives, whole files before torch 1.6), both kept as files: torch is not imported here."""
    folder = Path(__file__).with_name("seeds")
    return ([(folder / "data.pkl").read_bytes()], [(folder / "legacy.pth").read_bytes()])


def torch_archive(data: bytes) -> bytes:
    """A torch archive with storages 0 (48 bytes), 1 (8 bytes) around a data.pkl."""
    return zipped({"a/data.pkl": data, "a/byteorder": b"little", "a/data/0": bytes(range(48)), "a/data/1": bytes(8)})


def checkpoint(content: bytes) -> bytes:
    """A legacy file as it is; everything else becomes the data.pkl of an archive."""
    return content if content.startswith(b"\x80\x02\x8a\nl\xfc\x9cF\xf9") else torch_archive(content)


INSTANCES = [{"segment": ["1.5", 2], "label": "run"}, {"segment": [3, 4.5e0], "label": "jump"}]
VIDEOS = {"a": {"subset": "train", "duration": "9.5", "fps": 30, "annotations": INSTANCES}, "b": {"subset": "test"}}
GROUND_TRUTH = json.dumps({"version": "1", "database": VIDEOS, "activity_list": ["run", "jump"]}).encode()
JSON_WORDS = [b"NaN", b"Infinity", b"-Infinity", b"1e999", b"[", b"]", b"{", b"}", b'"', b":", b",", b"null", b"true",
              b'"\\ud800"', b'"segment"', b'"label"', b'"database"', b"[" * 200, b"1" * 5000, b"\xef\xbb\xbf", b"\x00"]
CLICKS = [b"\xef\xbb\xbfURLID,URL,TagID,Tag,Start,End,Time,State\na,a.mp4,20,background_background,1.5,1.5,1,1\n"
          b"b,b.mp4,3,run_run,2,3,1,1\n", b"a,1.5,run\r\n\r\nb,2,jump\r\n",
          b"class,class_index,start_frame,stop_frame,video_id,point\nrun,0,10,30,a,20\n"]
LABEL_TABLES = [b"video,label,start,end,subset,duration,fps\na,run,1.5,2,train,9,30\nb,jump,,,test,,\n",
                b"id;class\na.npy;run\nb.npy;\n"]
TABLES = [b"a,b\n1,2\n3,4\n", b"1.5 2e3\n-3 .4\n", b"x\ty\r\n1\t2\r\n", b"\xef\xbb\xbf1;2\n3;4\n"]
TABLE_WORDS = [b",", b";", b"\t", b"\n", b"\r", b'"', b"nan", b"inf", b"1e400", b"\x00", b"\xef\xbb\xbf", b"0x1p3",
               b"\xe2\x80\xa8", b"1_0", b"-", b"+", b"x" * 1000, b" ", "١".encode()]
YAML = [b"features: features\nlabels: labels.csv\nfps: 25\nstride: 16\n",
        b"features: f\nlabels: l.json\ntest: [a, b]\n"]
YAML_WORDS = [b"&a ", b"*a", b"!!python/object/apply:os.system [x]", b"<<: ", b"[[[[", b"{a: {a: {a: ", b"- ", b": ",
              b"\t", b"2001-01-01", b"2001-13-45", b"1_000", b"0x", b".nan", b"!!binary ", b"? ",
              b"---\n", b"%YAML 9\n",
              b"|\n", b"\x00", b"\xff"]


def _read_clicks(path: Path) -> None:
    for ranges in ("midpoint", "half_seconds"):
        read_clicks(path, ["run", "jump"], ["a", "b"], np.array([9.0, 9.0]), ranges, fps=30)


def _read_tables(path: Path) -> None:
    (table_content if path.read_bytes()[:2] in (b"vi", b"id") else read_arrays)(path)


def targets() -> dict[str, Target]:
    """The eight readers by name."""
    archives, legacy = checkpoint_seeds()
    warnings.simplefilter("ignore")
    npz = [zipped({"a.npy": npy_bytes(ARRAY), "b.npy": npy_bytes(LABELS)}),
           zipped({"a.npy": npy_bytes(LONG)}, zipfile.ZIP_DEFLATED)]
    npy = [npy_bytes(array) for array in (ARRAY, np.asfortranarray(ARRAY), np.array(3.5), np.array(["ä", "b"]),
                                          ARRAY.astype(">f8"), np.array([b"a"]))]
    return {
        "npy": Target(npy, read_arrays, [b"'|O'", b"'<f4'", b"'<U9'", b"(1,)", b"(0, 99)", b"()", b"L", b"True"]),
        "npz": Target(npz + npy + [npy_bytes(LABELS)], read_arrays,
                      [b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06", b"../a.npy"],
                      (bytes, lambda content: zipped({"a.npy": content}, zipfile.ZIP_DEFLATED),
                       lambda content: zipped({"a.npy": content, "b.npy": npy[0]}))),
        "pickle": Target(PICKLES + [npy_bytes(FEATURES), npy_bytes(LABELS, 4)], read_arrays, PICKLE_WORDS),
        "checkpoint": Target(archives + legacy, read_arrays, PICKLE_WORDS + [b"ctorch\nFloatStorage\n", b"Q"],
                             (checkpoint, bytes)),
        "json": Target([GROUND_TRUTH], read_annotations, JSON_WORDS),
        "csv": Target(TABLES + LABEL_TABLES, _read_tables, TABLE_WORDS),
        "click": Target(CLICKS, _read_clicks, TABLE_WORDS + [b"run", b"background", b"-1", b"1e9"]),
        "config": Target(YAML, read_own_yaml, YAML_WORDS),
    }
