"""The process in which the HDF5 library meets a file: whatever a damaged file does to the library, it does it here.

Reads requests {"path", "name"} as lines of JSON from standard input. Without a name it answers the arrays of the file,
with one the bytes of that array after a line that says how many. Imports nothing of this package.
"""

import json
import os
import signal
import sys

sys.path.pop(0)  # this file's folder: its modules must not hide others
os.environ["HDF5_PLUGIN_PATH"] = os.devnull  # no filter is loaded from a folder
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
MAX_OBJECTS = 200_000


class Unfit(ValueError):
    """(name, expected, found) of what is refused."""


def arrays_of(file, size):
    """Entries {name, shape, dtype, start} of every array, start None where its bytes must be unpacked."""
    import h5py

    found, seen, groups = [], set(), [(file, "")]
    while groups:
        group, prefix = groups.pop()
        for key in group:
            name, link = f"{prefix}{key}", group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise Unfit(name, "arrays in the file itself", "a link to another file")
            if isinstance(link, h5py.SoftLink):
                continue  # another name of something that is listed under its own
            value = group[key]
            token = h5py.h5o.get_info(value.id).addr
            if isinstance(value, h5py.Group) and token not in seen:
                groups.append((value, f"{name}/"))
            elif isinstance(value, h5py.Dataset):
                found.append(entry_of(name, value, size, file.userblock_size))
            seen.add(token)
            if len(seen) > MAX_OBJECTS:
                raise Unfit("", f"at most {MAX_OBJECTS} objects", "more")
    return found


def entry_of(name, dataset, size, userblock):
    """One array, refused by its properties before any of its numbers is read."""
    import h5py

    if dataset.external:
        raise Unfit(name, "numbers in the file itself", "external storage in another file")
    if dataset.is_virtual:
        raise Unfit(name, "numbers in the file itself", "a virtual array of other files")
    if dataset.shape is None or dataset.dtype.kind not in "biufS" or dataset.dtype.subdtype is not None \
            or dataset.dtype.hasobject:
        raise Unfit(name, "an array of numbers", "nothing" if dataset.shape is None else f"type {dataset.dtype}")
    properties = dataset.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(index)
        if not h5py.h5z.filter_avail(code):
            raise Unfit(name, "compression that this HDF5 library has", f"filter {code} ({label.decode('latin-1')})")
    start = dataset.id.get_offset() if dataset.chunks is None and not userblock else None
    if start is not None and start + dataset.nbytes > size:
        raise Unfit(name, f"{dataset.nbytes} bytes from byte {start}", f"a file of {size} bytes")
    if dataset.nbytes > max(64 * 2**20, 100 * size):
        raise Unfit(name, "at most 100 times the size of the file", f"{dataset.nbytes} bytes when unpacked")
    return {"name": name, "shape": list(dataset.shape), "dtype": dataset.dtype.str, "start": start}


def answer(request, out):
    """Writes the answer to one request."""
    import h5py
    import numpy as np

    with h5py.File(request["path"], "r", locking=False) as file:
        if "name" not in request:
            entries = arrays_of(file, os.path.getsize(request["path"]))
            out.write(json.dumps({"arrays": entries}).encode() + b"\n")
            return
        values = np.ascontiguousarray(file[request["name"]][()])
        out.write(json.dumps({"bytes": values.nbytes}).encode() + b"\n")
        out.write(values.reshape(-1).view(np.uint8).data if values.nbytes else b"")


def main():
    """Answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes standard input
    out = sys.stdout.buffer
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        out.write(json.dumps({"missing": str(error)}).encode() + b"\n")
        return
    for line in sys.stdin.buffer:
        try:
            answer(json.loads(line), out)
        except Unfit as error:
            out.write(json.dumps({"unfit": list(error.args)}).encode() + b"\n")
        except Exception as error:  # h5py raises many types for damage
            out.write(json.dumps({"damaged": f"{type(error).__name__}: {error}"[:200]}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
