"""The process in which the HDF5 library meets a file: whatever a damaged file does to the library, it does it here.

Reads requests {"path", "name"} as lines of JSON from standard input. Without a name it answers the arrays of the file;
with one it leaves the bytes of that array in the file whose descriptor is the first argument, which both processes have
open, and answers how many. Imports nothing of this package.
"""

import json
import math
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
    from h5py import h5d, h5g, h5l, h5o

    found, seen, count, groups = [], set(), 0, [(h5g.open(file, b"/"), "")]
    prefix_bytes = file.get_create_plist().get_userblock()
    while groups:
        group, prefix = groups.pop()
        for key in group:
            name, kind = prefix + key.decode("utf-8", "surrogateescape"), group.links.get_info(key).type
            if kind == h5l.TYPE_SOFT:
                continue  # another name of something that is listed under its own
            if kind != h5l.TYPE_HARD:
                raise Unfit(name, "arrays in the file itself", "a link to another file")
            value = h5o.open(group, key)
            if isinstance(value, h5d.DatasetID):
                found.append(entry_of(name, value, size, prefix_bytes))
            elif isinstance(value, h5g.GroupID) and (address := h5o.get_info(value).addr) not in seen:
                seen.add(address)
                groups.append((value, f"{name}/"))
            count += 1
            if count > MAX_OBJECTS:
                raise Unfit("", f"at most {MAX_OBJECTS} objects", "more")
    return found


def entry_of(name, dataset, size, prefix_bytes):
    """One array, refused by its properties before any of its numbers is read."""
    from h5py import h5d, h5s, h5z

    properties = dataset.get_create_plist()
    if properties.get_external_count():
        raise Unfit(name, "numbers in the file itself", "external storage in another file")
    layout = properties.get_layout()
    if layout == h5d.VIRTUAL:
        raise Unfit(name, "numbers in the file itself", "a virtual array of other files")
    empty, dtype = dataset.get_space().get_simple_extent_type() == h5s.NULL, dataset.dtype
    if empty or dtype.kind not in "biufS" or dtype.subdtype is not None or dtype.hasobject:
        raise Unfit(name, "an array of numbers", "nothing" if empty else f"type {dtype}")
    for index in range(properties.get_nfilters()):
        code, _, _, label = properties.get_filter(index)
        if not h5z.filter_avail(code):
            raise Unfit(name, "compression that this HDF5 library has", f"filter {code} ({label.decode('latin-1')})")
    shape = dataset.shape
    nbytes = math.prod(shape) * dtype.itemsize
    start = dataset.get_offset() if layout == h5d.CONTIGUOUS and not prefix_bytes else None
    if start is not None and start + nbytes > size:
        raise Unfit(name, f"{nbytes} bytes from byte {start}", f"a file of {size} bytes")
    if nbytes > max(64 * 2**20, 100 * size):
        raise Unfit(name, "at most 100 times the size of the file", f"{nbytes} bytes when unpacked")
    return {"name": name, "shape": shape, "dtype": dtype.str, "start": start}


class Opened:
    """The file asked for last, kept open: its arrays are listed first and read next."""

    def __init__(self):
        from h5py import h5f, h5p

        self.key, self.file = None, None
        self.access = h5p.create(h5p.FILE_ACCESS)
        self.access.set_fclose_degree(h5f.CLOSE_STRONG)
        self.access.set_file_locking(False, True)

    def get(self, path):
        """The file `path`, opened anew where it has changed, and its size."""
        from h5py import h5f

        status = os.stat(path)
        key = (path, status.st_ino, status.st_size, status.st_mtime_ns)
        if key != self.key:
            self.close()
            self.file = h5f.open(os.fsencode(path), h5f.ACC_RDONLY, self.access)
            self.key = key
        return self.file, status.st_size

    def close(self):
        """Forgets the file."""
        file, self.key, self.file = self.file, None, None
        if file is not None:
            file.close()


class Shared:
    """The memory of the file `handle`, which both processes have open. It stays mapped, since mapping costs as much as
    reading; the other process may cut the file between two requests."""

    def __init__(self, handle):
        self.handle, self.memory = handle, None

    def bytes(self, count):
        """The first `count` bytes as a buffer; count > 0."""
        there = os.fstat(self.handle).st_size
        if self.memory is not None and not count <= len(self.memory) <= there:
            self.memory.close()
            self.memory = None
        if self.memory is None:
            os.ftruncate(self.handle, max(count, there))
            self.memory = mmap.mmap(self.handle, max(count, there))
        return self.memory


def answer(request, opened, shared):
    """The answer to one request; numbers go to `shared`."""
    import numpy as np
    from h5py import h5d, h5s

    file, size = opened.get(request["path"])
    if "name" not in request:
        return {"arrays": arrays_of(file, size)}
    dataset = h5d.open(file, request["name"].encode("utf-8", "surrogateescape"))
    shape, dtype = dataset.shape, dataset.dtype
    count = math.prod(shape) * dtype.itemsize
    if count:
        values = np.frombuffer(shared.bytes(count), dtype, math.prod(shape)).reshape(shape)
        dataset.read(h5s.ALL, h5s.ALL, values)
    return {"bytes": count}


def main():
    """Answers until standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's; its end closes standard input
    out = sys.stdout.buffer
    try:
        import h5py  # noqa: F401
    except ImportError as error:
        out.write(json.dumps({"missing": str(error)}).encode() + b"\n")
        return
    opened, shared = Opened(), Shared(int(sys.argv[1]))
    for line in sys.stdin.buffer:
        try:
            found = answer(json.loads(line), opened, shared)
        except Unfit as error:
            found = {"unfit": list(error.args)}
        except Exception as error:  # h5py raises many types for damage
            opened.close()
            found = {"damaged": f"{type(error).__name__}: {error}"[:200]}
        out.write(json.dumps(found).encode() + b"\n")
        out.flush()


if __name__ == "__main__":
    main()
