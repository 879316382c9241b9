"""Sixty files as users and attackers have them, made by code, each with the words it must be met with.

A file is (bytes or a function that writes it, words): a regular expression of the error, None for one that must load.
"""

from __future__ import annotations

import io
import pickle
import warnings
import zipfile

import h5py
import numpy as np
import torch

from wtal_fast.models.uncertainty import UncertaintyModel

ARRAY = np.arange(12, dtype=np.float32).reshape(4, 3)


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npy_of(header: str, data: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + data


def objects(*items) -> np.ndarray:
    array = np.empty(len(items), object)
    array[:] = items
    return array


def zipped(members, compression=zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", compression) as archive:
        warnings.simplefilter("ignore")  # two members of one name
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :]


def header(shape, descr="'<f4'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


NPY = {
    "empty": (b"", "an empty file"),
    "5 bytes": (b"\x93NUMP", "starts with"),
    "text": (b"<html>404 not found</html>", "starts with b'<html>40'"),
    "cut header": (npy(ARRAY)[:60], "header · .* found a cut file"),
    "cut data": (npy(ARRAY)[:-7], r"176 bytes for shape \[4, 3\] of float32 · found 169 bytes · .*copy it again"),
    "trailing bytes": (npy(ARRAY) + b"more", "found 180 bytes"),
    "object": (npy(objects("run", 3)), "one array · found none"),
    "structured": (npy(np.zeros(2, [("a", "f4")])), "header · expected integers or floats · found the type"),
    "negative shape": (npy_of(header((-2, -3)), bytes(24)), r"numbers >= 0 .* found \[-2, -3\]"),
    "10^18 numbers": (npy_of(header((10**18 // 4,))), "expected 1000000000000000[0-9]{3} bytes"),
    "11 KB header": (b"\x93NUMPY\x02\x00" + (11_000).to_bytes(4, "little") + b" " * 11_000, "header of at most 10000"),
    "big-endian": (npy(ARRAY.astype(">f4")), None),
    "3-D": (npy(ARRAY[None]), r"features \[snippets, channels\] · found shape \[1, 4, 3\]"),
    "all NaN": (npy(ARRAY * np.nan), r"snippet 0, channel 0 · expected finite features · found nan \(12 such"),
}

TWO = zipped([("a.npy", npy(ARRAY)), ("b.npy", npy(ARRAY))])
ONE = zipped([("feats.npy", npy(ARRAY))])
NPZ = {
    "cut": (TWO[:-30], "a damaged zip archive"),
    "CRC": (flipped(ONE, ONE.index(b"\x80\x3f")), "feats.npy · expected the checksum stored in the archive"),
    "bomb": (zipped([("a.npy", npy_of(header((75_000_000,)), bytes(300_000_000)))], zipfile.ZIP_DEFLATED),
             "when unpacked · found 300000[0-9]+ bytes in a file of"),
    "wrong key": (zipped([("x.npy", npy(ARRAY)), ("y.npy", npy(ARRAY))]), "named feats, .* found 2 arrays: x, y"),
    "two of one name": (zipped([("feats.npy", npy(ARRAY))] * 2), "feats.npy · expected each name once"),
    "nested path": (zipped([("../../feats.npy", npy(ARRAY))]), "names of arrays · found a path"),
    "object inside": (zipped([("feats.npy", npy(objects("run", 3)))]), "one array · found none"),
}


def dtype_state() -> bytes:
    """A dtype whose state makes raw bytes into object pointers; NumPy's own unpickler crashes on it."""
    return (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x01\x85"
            b"cnumpy\ndtype\nU\x02V8K\x00K\x01\x87R(K\x03U\x01|N(U\x01at}U\x01acnumpy\ndtype\nU\x02O8K\x00K\x01\x87RK\x00\x86s"
            b"K\x08K\x01K\x00tb\x89U\x08AAAAAAAAtb.")


class Custom:
    """A class of the user's own."""


PICKLE = {
    "os.system": (b"\x80\x02cposix\nsystem\nX\x04\x00\x00\x00echoq\x85R.",
                  r"a reference to 'posix.system' \(not followed\)"),
    "eval": (b"c__builtin__\neval\n(S'1+1'\ntR.", "a reference to '__builtin__.eval'"),
    "dtype state": (dtype_state(), "expected .* found"),
    "huge length": (b"\x80\x05\x96" + (2**62).to_bytes(8, "little") + b"abc.", "a length that reaches byte"),
    "10,000 levels": (b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b".", "at most 16 levels of lists · found more"),
    "class instance": (pickle.dumps(Custom(), 2), "a reference to 'copy_reg._reconstructor'"
                       "|a reference to .*Custom"),
    "strings of Python 2": (b"\x80\x02]q\x00(U\x03runq\x01U\x04K\xf6lne.", None),
    "cut": (pickle.dumps(ARRAY.repeat(100), 2)[:-9], "expected .* found"),
}


def saved(value, legacy: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, _use_new_zipfile_serialization=not legacy)
    return buffer.getvalue()


STATE = UncertaintyModel(feature_dim=6, hidden_dim=8, num_classes=2).state_dict()
FIRST = next(iter(STATE))
CHECKPOINT = {
    "empty": (b"", "an empty file"),
    "cut": (saved(STATE)[:-50], "a damaged zip archive"),
    "flip": (flipped(saved({"weight": torch.ones(1000)}), 2000),
             "data/0 · expected the checksum stored in the archive"),
    "code": (zipped([("a/data.pkl", PICKLE["os.system"][0])]), "a reference to 'posix.system'"),
    "sparse": (saved({"weight": torch.eye(3).to_sparse()}), "a reference to 'torch._utils._rebuild_sparse_tensor'"),
    "missing key": (saved({name: STATE[name] for name in list(STATE)[1:]}), "parameters · expected those of"),
    "wrong shape": (saved(STATE | {list(STATE)[1]: torch.zeros(5)}), "parameters · expected those of"),
    "another model": (saved({"layer1.conv.weight": torch.ones(3)}),
                      "found layer1.conv.weight · is this a checkpoint of"),
    "legacy": (saved(STATE, legacy=True), None),
}


def h5(make):
    """What writes an HDF5 file by make(file, folder)."""
    def write(path):
        with h5py.File(path, "w") as file:
            make(file, path.parent)
    return write


def cut_h5(path):
    h5(lambda file, _: file.create_dataset("x", data=np.ones((100, 10))))(path)
    path.write_bytes(path.read_bytes()[:-3000])


def external_storage(file, folder):
    (folder / "secret.bin").write_bytes(b"secret words of the user" * 2)
    file.create_dataset("x", shape=(6,), dtype="f8", external=[(str(folder / "secret.bin"), 0, 48)])


def external_link(file, folder):
    h5(lambda other, _: other.create_dataset("x", data=ARRAY))(folder / "other.h5")
    file["x"] = h5py.ExternalLink(str(folder / "other.h5"), "/x")


def virtual(file, folder):
    h5(lambda other, _: other.create_dataset("x", data=ARRAY))(folder / "other.h5")
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "x", (4, 3))
    file.create_virtual_dataset("x", layout)


HDF5 = {
    "cut": (cut_h5, "an HDF5 file|bytes from byte"),
    "external storage": (h5(external_storage), "x · expected numbers in the file itself · found external storage"),
    "external link": (h5(external_link), "x · expected arrays in the file itself · found a link to another file"),
    "virtual": (h5(virtual), "x · expected numbers in the file itself · found a virtual array"),
    "strings": (h5(lambda file, _: file.create_dataset("x", data=["run", "jump"])), "x · expected an array of numbers"),
    "empty group": (h5(lambda file, _: file.create_group("x")), "one array · found none"),
}


def truth(instance: str = '{"segment": [1, 2], "label": "run"}') -> str:
    return f'{{"database": {{"a": {{"subset": "train", "annotations": [{instance}]}}}}}}'


JSON = {
    "NaN": (truth('{"segment": [NaN, 2], "label": "run"}'), "expected finite numbers · found NaN"),
    "duplicate key": (truth('{"label": "run", "segment": [1, 2], "label": "jump"}'),
                      "key 'label' · expected each key once"),
    "deep": ("[" * 200_000, "nesting too deep"),
    "big integer": (truth(f'{{"segment": [0, {"9" * 5000}], "label": "run"}}'), "at most 4,300 digits"),
    "byte order mark": ("\ufeff" + truth(), None),
    "UTF-16": (truth().encode("utf-16"), "expected UTF-8 text · found UTF-16 text · save the file as UTF-8"),
    "end before start": (truth('{"segment": [5, 2], "label": "run"}'), r"video 'a', annotation 0 · .* found \[5, 2\]"),
    "unknown label": (truth('{"segment": [1, 2], "label": "rum"}'), "found label 'rum' · did you mean 'run'"),
}

HEADER = "URLID,URL,TagID,Tag,Start,End,Time,State\n"
CLICKS = {
    "ragged": (HEADER + "a,a.mp4,1,run_run,1,1,1,1\na,a.mp4,1\n",
               "line 3 · expected 8 cells as in the header · found 3"),
    "NUL": ("a,1,run\n" * 20 + "a,\0,run\n", "line 21 · .*NUL"),
    "long field": ("a,1," + "r" * 140_000, "field larger than field limit"),
    "empty": ("", None),
    "comma decimal": ("a,1,5,run\n", "line 1 · expected video,seconds,class · found 4 cells"),
    "outside the video": ("a,1,run\na,300,run\n", r"line 2, video 'a' · expected a time within 0..9 s · found 300 s · "
                          "are the times seconds, not frames"),
    "unknown class": ("a,1,jumq\n", "line 1 · .* found tag 'jumq' · did you mean 'jump'"),
    "duplicate": ("a,1,run\na,1,run\n", None),  # the same click twice says what one says
}

ALL = {"npy": NPY, "npz": NPZ, "pickle": PICKLE, "checkpoint": CHECKPOINT, "h5": HDF5, "json": JSON, "clicks": CLICKS}
