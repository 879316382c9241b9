"""The process in which the HDF5 library meets a file: whatever a damaged file does to the library, it does it here.

Reads requests {"path", "name"} as lines of JSON from standard input. Without a name it answers the arrays of the file;
with one it leaves the bytes of that array in the file whose descriptor is the first argument, which both processes have
open, and answers how many. Imports nothing of this package.
"""

import json
import mmap
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


class Opened:
    """The file asked for last, kept open: its arrays are listed first and read next."""

    def __init__(self):
        self.key, self.file = None, None

    def get(self, path):
        """The file `path`, opened anew where it has changed."""
        import h5py

        status = os.stat(path)
        key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        if key != self.key:
            self.close()
            self.file = h5py.File(path, "r", locking=False)
            self.key = key
        return self.file

    def close(self):
        """Forgets the file."""
        file, self.key, self.file = self.file, None, None
        if file is not None:
            file.close()


def answer(request, file, out, shared):
    """Writes the answer to one request; numbers go to the file of descriptor `shared`."""
    import numpy as np

    if "name" not in request:
        entries = arrays_of(file, os.path.getsize(request["path"]))
        out.write(json.dumps({"arrays": entries}).encode() + b"\n")
        return
    dataset = file[request["name"]]
    if dataset.nbytes > os.fstat(shared).st_size:
        os.ftruncate(shared, dataset.nbytes)
    if dataset.nbytes:
        with mmap.mmap(shared, dataset.nbytes) as memory:
            values = np.frombuffer(memory, dataset.dtype, dataset.size).reshape(dataset.shape)
            try:
                dataset.read_direct(values)
            finally:
                del values
    out.write(json.dumps({"bytes": dataset.nbytes}).encode() + b"\n")


def main():
    """Answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes standard input
    out = sys.stdout.buffer
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        out.write(json.dumps({"missing": str(error)}).encode() + b"\n")
        return
    opened = Opened()
    for line in sys.stdin.buffer:
        try:
            request = json.loads(line)
            answer(request, opened.get(request["path"]), out, int(sys.argv[1]))
        except Unfit as error:
            out.write(json.dumps({"unfit": list(error.args)}).encode() + b"\n")
        except Exception as error:  # h5py raises many types for damage
            opened.close()
            out.write(json.dumps({"damaged": f"{type(error).__name__}: {error}"[:200]}).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
