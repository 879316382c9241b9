"""Packed data sets: written, read in every way, resumed, and never silently wrong."""

import json
import time

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from wtal_fast.data.packed import packed_features
from wtal_fast.data.packed_index import INDEX_NAME, is_packed, open_packed
from wtal_fast.data.packed_writer import PackWriter
from wtal_fast.errors import InputError
from wtal_fast.files import save_json

STREAMS = [("rgb", 3), ("flow", 2)]
PLAN = {"source": "somewhere"}


def video(number, length, dtype=np.float16):
    return (np.arange(length * 5).reshape(length, 5) + 100 * number).astype(dtype)


VIDEOS = {"b": video(0, 4), "a": video(1, 2), "z": video(2, 7), "c": video(3, 1, np.float32), "d": video(4, 3)}


def pack(folder, videos=VIDEOS, shard_bytes=80, files=None):
    writer = PackWriter(folder, STREAMS, PLAN, shard_bytes)
    for name, array in videos.items():
        if name not in writer.stored:
            writer.add(name, "train" if name < "d" else "test", array, frame_count=16 * len(array))
    writer.finish(list(videos), files or {"gt.json": b"{}"}, {"layout": "test"})
    return open_packed(folder)


def test_written_and_read_back(tmp_path):
    index = pack(tmp_path / "pack")
    assert index.video_ids == tuple(VIDEOS) and index.lengths.tolist() == [4, 2, 7, 1, 3]
    assert index.subsets == ("train", "train", "test", "train", "test") and index.about == {"layout": "test"}
    assert index.frame_counts.tolist() == [64, 32, 112, 16, 48] and index.feature_dim == 5
    assert len(index.shards) == 4 and is_packed(index.folder)  # 40 + 20 B, 70 B, then float32, then float16 again
    for number, array in enumerate(VIDEOS.values()):
        assert index.rows(number).dtype == array.dtype
        np.testing.assert_array_equal(index.rows(number), array)
    assert index.side_file("gt.json").read_bytes() == b"{}"
    assert sorted(path.name for path in index.folder.iterdir()) == [
        *(f"features-{number:05d}.safetensors" for number in range(4)), "gt.json", "index.json"]


def test_any_safetensors_reader_reads_the_shards(tmp_path):
    index = pack(tmp_path / "pack")
    found = {name: array for shard in index.shards for name, array in load_file(shard.path).items()}
    assert found.keys() == VIDEOS.keys()
    assert all(np.array_equal(found[name], VIDEOS[name]) for name in VIDEOS)


def test_feature_set_has_the_interface_of_the_others(tmp_path):
    features = packed_features(pack(tmp_path / "pack"), ["z", "a", "b"])
    assert len(features) == 3 and features.feature_dim == 5 and features.lengths.tolist() == [7, 2, 4]
    np.testing.assert_array_equal(features.video(1), VIDEOS["a"])
    gathered = features.gather(torch.tensor([2, 0]), torch.tensor([[3, 0], [6, 6]]))
    assert gathered.dtype == torch.float32
    np.testing.assert_array_equal(gathered[0], VIDEOS["b"][[3, 0]])
    np.testing.assert_array_equal(gathered[1], VIDEOS["z"][[6, 6]])
    taken = features.take(torch.tensor([1, 1]))
    assert taken.lengths.tolist() == [2, 2] and torch.equal(taken.video(1), features.video(1))
    loaded = features.load()
    assert all(torch.equal(loaded.video(number), features.video(number)) for number in range(3))
    flow = packed_features(features.index, ["a"], "flow")
    np.testing.assert_array_equal(flow.video(0), VIDEOS["a"][:, 3:])
    with pytest.raises(InputError, match="expected a stream 'depth' · found rgb, flow"):
        packed_features(features.index, ["a"], "depth")
    with pytest.raises(InputError, match="video 'zz' .* did you mean 'z'"):
        packed_features(features.index, ["zz"])


def test_an_interrupted_conversion_goes_on_after_the_last_shard(tmp_path):
    whole = pack(tmp_path / "whole")
    writer = PackWriter(tmp_path / "pack", STREAMS, PLAN, 80)
    for name in ("b", "a", "z"):
        writer.add(name, "train" if name < "d" else "test", VIDEOS[name], frame_count=16 * len(VIDEOS[name]))
    writer._lock.close()  # as the end of the process would
    with pytest.raises(InputError, match="nothing there · wtal-fast convert makes one; --resume"):
        open_packed(tmp_path / "pack")
    assert PackWriter(tmp_path / "pack", STREAMS, PLAN, 80).stored == {"b", "a"}
    index = pack(tmp_path / "pack")
    for name in (path.name for path in whole.folder.iterdir()):
        assert (index.folder / name).read_bytes() == (whole.folder / name).read_bytes()


def test_other_work_in_the_folder_is_refused(tmp_path):
    first = PackWriter(tmp_path / "pack", STREAMS, PLAN)
    with pytest.raises(InputError, match="found one that does"):
        PackWriter(tmp_path / "pack", STREAMS, PLAN)
    first._lock.close()
    with pytest.raises(InputError, match="source · expected the conversion that was begun here"):
        PackWriter(tmp_path / "pack", STREAMS, {"source": "elsewhere"})
    index = pack(tmp_path / "pack")
    with pytest.raises(InputError, match="it is complete"):
        PackWriter(index.folder, STREAMS, PLAN)


@pytest.mark.parametrize("array, found", [
    (np.zeros((3, 4), np.float32), r"shape \[3, 4\]"), (np.zeros((0, 5), np.float32), r"shape \[0, 5\]"),
    (np.full((1, 5), np.nan), "NaN, infinity"), (np.full((1, 5), 1e300), "NaN, infinity or more than float32"),
])
def test_features_that_cannot_be_used_are_refused(tmp_path, array, found):
    with pytest.raises(InputError, match=found):
        PackWriter(tmp_path / "pack", STREAMS, PLAN).add("a", "train", array)


def flipped(content, bit):
    content = bytearray(content)
    content[bit // 8] ^= 1 << bit % 8
    return bytes(content)


def read_all(folder):
    index = open_packed(folder)
    index.side_file("gt.json")
    return index.video_ids, index.subsets, [index.rows(number).tolist() for number in range(len(index))]


@pytest.mark.parametrize("name", ["index.json", "features-00000.safetensors", "features-00001.safetensors", "gt.json"])
def test_cuts_and_flips_are_never_silently_wrong(tmp_path, name):
    """Every damaged file either raises InputError that names it or reads as the sound one does."""
    index = pack(tmp_path / "pack", files={"gt.json": b'{"database": {}}'})
    sound, path = read_all(index.folder), index.folder / name
    content, random = path.read_bytes(), np.random.default_rng(0)
    damages = [content[:cut] for cut in random.integers(0, len(content), 300)]
    damages += [flipped(content, bit) for bit in random.integers(0, 8 * len(content), 300)]
    silent = 0
    for damage in damages:
        path.write_bytes(damage)
        try:
            silent += read_all(index.folder) == sound
        except InputError as error:
            assert str(path) in str(error)
            continue
        assert read_all(index.folder) == sound
    assert silent <= 4  # a cut of the last newline leaves the index whole


def hostile(change):
    def write(folder):
        content = json.loads((folder / INDEX_NAME).read_text())
        content.pop("file_sha256")
        change(content)
        save_json(folder / INDEX_NAME, content, sealed=True)
    return write


HOSTILE = {
    "outside the folder": hostile(lambda c: c["shards"][0].update(file="../features-00000.safetensors")),
    "file outside": hostile(lambda c: c["files"].update({"../gt.json": "0"})),
    "rows past the shard": hostile(lambda c: c["videos"]["length"].__setitem__(0, 10**15)),
    "negative start": hostile(lambda c: c["videos"]["start"].__setitem__(0, -1)),
    "no such shard": hostile(lambda c: c["videos"]["shard"].__setitem__(0, 99)),
    "short column": hostile(lambda c: c["videos"]["subset"].pop()),
    "id as a path": hostile(lambda c: c["videos"]["id"].__setitem__(0, "../../x")),
    "huge shard": hostile(lambda c: c["shards"][0].update(rows=10**15)),
    "other dtype": hostile(lambda c: c["shards"][0].update(dtype="OBJECT")),
    "no streams": hostile(lambda c: c.update(streams=[["rgb", -5]])),
    "text for numbers": hostile(lambda c: c["videos"]["length"].__setitem__(0, "many")),
    "later format": hostile(lambda c: c.update(format="wtal_fast packed/2")),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_an_index_that_lies_is_refused(tmp_path, kind):
    index = pack(tmp_path / "pack")
    HOSTILE[kind](index.folder)
    with pytest.raises(InputError, match=str(tmp_path)):
        open_packed(index.folder)


def test_ten_thousand_videos_open_in_a_second(tmp_path):
    videos = {f"v_{number:011d}": video(number % 50, 3) for number in range(10_000)}
    pack(tmp_path / "pack", videos, shard_bytes=2**16)
    started = time.perf_counter()
    index = open_packed(tmp_path / "pack")
    assert len(index) == 10_000 and time.perf_counter() - started < 1
