"""Files are written whole or not at all, whatever fails in between; JSON is read strictly."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import stat
import subprocess
import sys
import threading
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from python_tests.conftest import ROOT
from wtal_fast import files
from wtal_fast.errors import InputError
from wtal_fast.files import atomic_path, read_json, save_json, save_text

OLD = '{"version": "old"}\n'


@pytest.fixture
def target(tmp_path):
    """A file that is already there, alone in its folder."""
    path = tmp_path / "detections.json"
    path.write_text(OLD)
    return path


def listing(folder) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_new_file_folders_are_made(tmp_path):
    path = tmp_path / "run" / "nested" / "log.txt"
    save_text(path, "ä\n")
    assert path.read_bytes() == "ä\n".encode()
    assert listing(path.parent) == ["log.txt"]


def test_old_file_is_replaced(target):
    save_json(target, {"version": "new"})
    assert json.loads(target.read_text()) == {"version": "new"}
    assert listing(target.parent) == [target.name]


@pytest.mark.parametrize("mask, mode", [(0o022, 0o644), (0o077, 0o600)])
def test_permissions_follow_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        save_text(tmp_path / "a.txt", "a")
        assert os.umask(mask) == mask  # as it was set
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == mode


def test_data_reaches_the_disk_before_the_name_does(target, monkeypatch):
    """fsync of the file, the rename, fsync of the folder: after a power cut the name has the old or the new content."""
    calls = []
    fsync, replace = os.fsync, os.replace

    def logged_fsync(handle):
        calls.append("fsync folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else "fsync file")
        fsync(handle)

    def logged_replace(source, destination):
        calls.append("rename")
        assert os.path.dirname(source) == os.path.dirname(destination)  # one file system, so the rename is atomic
        replace(source, destination)

    monkeypatch.setattr(os, "fsync", logged_fsync)
    monkeypatch.setattr(os, "replace", logged_replace)
    save_text(target, "new")
    assert calls == ["fsync file", "rename", "fsync folder"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT], ids=errno.errorcode.get)
@pytest.mark.parametrize("call", ["write", "fsync", "chmod", "replace"])
def test_fault_keeps_the_old_file(target, monkeypatch, call, code):
    def fail(*args, **kwargs):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(*{
        "write": ("pathlib.Path.write_text", fail),
        "fsync": ("os.fsync", fail),
        "chmod": ("os.chmod", fail),
        "replace": ("os.replace", fail),
    }[call])
    with pytest.raises(OSError) as caught:
        save_text(target, "new")
    monkeypatch.undo()
    assert caught.value.errno == code
    assert target.read_text() == OLD
    assert listing(target.parent) == [target.name]


def test_fault_after_the_rename_shows_the_new_file(target, monkeypatch):
    def fail(folder):
        raise OSError(errno.EIO, "folder not flushed")

    monkeypatch.setattr(files, "sync_folder", fail)
    with pytest.raises(OSError, match="folder not flushed"):
        save_text(target, "new")
    assert target.read_text() == "new"
    assert listing(target.parent) == [target.name]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit, ValueError])
def test_stop_in_the_middle_keeps_the_old_file(target, stop):
    with pytest.raises(stop):
        with atomic_path(target) as temporary:
            temporary.write_text("half of")
            raise stop
    assert target.read_text() == OLD
    assert listing(target.parent) == [target.name]


def test_value_that_json_has_no_word_for_keeps_the_old_file(target):
    for value in (float("nan"), float("inf"), [1, -float("inf")], {"a": object()}):
        with pytest.raises((ValueError, TypeError)):
            save_json(target, value)
    assert target.read_text() == OLD
    assert listing(target.parent) == [target.name]


def test_folder_in_the_way(tmp_path):
    (tmp_path / "out.json").mkdir()
    with pytest.raises(OSError):
        save_text(tmp_path / "out.json", "new")
    assert listing(tmp_path) == ["out.json"]


def test_disk_limit_of_the_system_keeps_the_old_file(target):
    """A real failing write, made by the kernel: the process may not write more than 4096 bytes into a file."""
    code = (
        "import resource, sys\nfrom wtal_fast.files import save_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    save_text(sys.argv[1], 'x' * 100_000)\nexcept OSError as error:\n    print(error.errno)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, target], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == str(errno.EFBIG), done.stderr
    assert target.read_text() == OLD
    assert listing(target.parent) == [target.name]


WRITER = """
import itertools, sys, zlib
from wtal_fast.files import save_json
for n in itertools.count(int(sys.argv[2])):
    payload = f"{n} " * 20_000
    save_json(sys.argv[1], {"n": n, "payload": payload, "sum": zlib.crc32(payload.encode())})
    print(n, flush=True)
"""


def kill_a_writer(path, first: int, delay: float) -> int:
    """Starts a process that saves ever newer versions, kills it, returns the last version it said was saved."""
    command = [sys.executable, "-c", WRITER, path, str(first)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    said = int(process.stdout.readline())
    time.sleep(delay)
    process.send_signal(signal.SIGKILL)
    rest = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait(timeout=60) == -signal.SIGKILL
    complete = [int(line) for line in rest if line.isdigit()]
    return max([said, *complete[:-1]])  # the last line may be cut


@pytest.mark.parametrize("kills", [12, pytest.param(300, marks=pytest.mark.slow)])
def test_killed_writer_leaves_a_whole_file(tmp_path, kills):
    path, draw, last = tmp_path / "state.json", random.Random(0), 0
    for _ in range(kills):
        said = kill_a_writer(path, last + 1, draw.uniform(0, 0.03))
        state = read_json(path)
        assert state["sum"] == zlib.crc32(state["payload"].encode())
        assert state["n"] >= said  # what was reported as saved is there
        last = state["n"]
    left = [name for name in listing(tmp_path) if name != path.name]
    assert all(name.startswith(".state.json.") and name.endswith(".tmp") for name in left)


def test_two_writers_leave_one_whole_file(tmp_path):
    path = tmp_path / "shared.json"
    texts = ["a" * 200_000, "b" * 300_000]
    threads = [threading.Thread(target=lambda t=text: [save_text(path, t) for _ in range(20)]) for text in texts]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        if path.exists():
            assert path.read_text() in texts
    assert path.read_text() in texts
    assert listing(tmp_path) == ["shared.json"]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(value=JSON)
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "round_trip.json"
    save_json(path, value)
    assert read_json(path) == value
    save_json(path, value, indent=2)
    assert read_json(path) == value


def test_byte_order_mark_is_allowed(tmp_path):
    path = tmp_path / "bom.json"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(path) == {"a": 1}


BAD = {
    "empty": (b"", "expected valid JSON", "Expecting value"),
    "cut": (b'{"a": [1, 2', "expected valid JSON", "line 1"),
    "text after the end": (b'{"a": 1} {"b": 2}', "expected valid JSON", "Extra data"),
    "single quotes": (b"{'a': 1}", "expected valid JSON", "line 1"),
    "comment": (b'// x\n{"a": 1}', "expected valid JSON", "line 1"),
    "trailing comma": (b"[1, 2,]", "expected valid JSON", "line 1"),
    "control character": (b'["a\x00"]', "expected valid JSON", "control character"),
    "NaN": (b'{"score": NaN}', "expected finite numbers", "found NaN"),
    "Infinity": (b"[Infinity]", "expected finite numbers", "found Infinity"),
    "minus Infinity": (b"[-Infinity]", "expected finite numbers", "found -Infinity"),
    "overflow": (b"[1e999]", "expected finite numbers", "found 1e999"),
    "minus overflow": (b"[-1e999]", "expected finite numbers", "found -1e999"),
    "integer of 5000 digits": (b"1" * 5000, "expected valid JSON", "digits"),
    "duplicate key": (b'{"v": {"a": 1, "b": 2, "a": 1}}', "key 'a'", "the key twice"),
    "100000 brackets": (b"[" * 100_000, "expected moderate nesting", "too deep"),
    "100000 objects": (b'{"a":' * 100_000, "expected moderate nesting", "too deep"),
    "UTF-16": ('{"a": 1}'.encode("utf-16"), "expected UTF-8 text", "UTF-16"),
    "UTF-16 without mark": ('{"a": 1}'.encode("utf-16-le"), "expected valid JSON", "line 1"),
    "Latin-1": ('{"a": "é"}'.encode("latin-1"), "expected UTF-8 text", "byte 7"),
    "pickle": (b"\x80\x04\x95\x05\x00\x00\x00\x00\x00\x00\x00K\x01.", "expected UTF-8 text", "byte 0"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_json_is_named(tmp_path, name):
    content, expected, found = BAD[name]
    path = tmp_path / "bad.json"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_json(path)
    message = str(caught.value)
    assert message.startswith(f"{path} · ") and expected in message and found in message
    assert caught.value.fix


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="expected a JSON file · found nothing there"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="expected a JSON file · found a folder"):
        read_json(tmp_path)


def test_size_limit_is_checked_before_reading(tmp_path, monkeypatch):
    path = tmp_path / "large.json"
    path.write_bytes(b" " * 11)
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 10)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: pytest.fail("read although too large"))
    with pytest.raises(InputError, match="expected at most 10 bytes · found 11 bytes"):
        read_json(path)


@given(noise=st.binary(max_size=60))
def test_noise_is_a_value_or_an_input_error(tmp_path_factory, noise):
    path = tmp_path_factory.getbasetemp() / "noise.json"
    path.write_bytes(noise)
    try:
        value = read_json(path)
    except InputError as error:
        assert str(path) in str(error)
    else:
        assert json.loads(noise.decode("utf-8-sig")) == value
