"""From every layout to every other and back: the same videos, numbers, labels and times."""

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from python_tests.data import layout_cases as cases
from wtal_fast.config import DataConfig
from wtal_fast.data.conversion import TARGETS, Conversion, convert_folder
from wtal_fast.data.layouts import open_folder
from wtal_fast.data.loading import load_folder
from wtal_fast.data.packed_index import open_packed
from wtal_fast.errors import InputError

FILES = [target for target in TARGETS if target != "backtal"]


def config_for(root, **settings):
    names = list(dict.fromkeys(entry["subset"] for entry in open_folder(root).content["database"].values()))
    return DataConfig(train_subset=names[0], test_subset=names[1], **settings)


def same(first_root, second_root):
    for subset in ("train", "test"):
        first, second = (load_folder(root, config_for(root), subset) for root in (first_root, second_root))
        assert first.video_ids == second.video_ids and first.class_names == second.class_names
        assert first.annotations.segments.tolist() == second.annotations.segments.tolist()
        assert first.durations.tolist() == second.durations.tolist()
        assert first.frame_counts.tolist() == second.frame_counts.tolist()
        for video in range(len(first)):
            np.testing.assert_array_equal(first.features.video(video), second.features.video(video))


def source(tmp_path, name):
    root = tmp_path / "source"
    root.mkdir()
    cases.WRITERS[name](root)
    return root


PAIRS = [*((name, target) for name in ("basnet", "wtalc", "own_csv") for target in FILES), ("cmcs", "basnet"),
         ("own_one_file", "packed"), ("opentad", "packed"), ("hacs", "own"), ("hacs", "packed"), ("leftthomas", "cmcs"),
         ("leftthomas", "hacs")]


@pytest.mark.parametrize(("name", "target"), PAIRS)
def test_there_and_back(tmp_path, name, target):
    root, there, back = source(tmp_path, name), tmp_path / "there", tmp_path / "back"
    if target == "cmcs" and name not in ("basnet", "cmcs", "leftthomas"):
        with pytest.raises(InputError, match="expected RGB and flow kept apart"):
            convert_folder(root, there, Conversion(target))
        return
    convert_folder(root, there, Conversion(target))
    same(root, there)
    to = {"own": "own", "actionformer": "actionformer", "backtal": "backtal"}.get(cases.LAYOUT_OF[name], "packed")
    convert_folder(there, back, Conversion(to))
    same(root, back)
    left = {path.name for path in there.rglob("*")} | {path.name for path in back.rglob("*")}
    assert not [path for path in left if path.startswith(".")]


@pytest.mark.parametrize("target", ["basnet", "packed", "actionformer", "wtalc"])
def test_backtal_there_and_back(tmp_path, target):
    root, there, back = source(tmp_path, "backtal"), tmp_path / "there", tmp_path / "back"
    convert_folder(root, there, Conversion(target))
    if target == "packed":
        same(root, there)
        both = [load_folder(folder, config_for(folder, click_kinds="background", clicks=clicks), "train")
                for folder, clicks in ((root, None), (there, "stored_clicks.json"))]
        first, second = (dataset.batch([0, 1, 2], 8, "uniform").clicks.tolist() for dataset in both)
        assert first == second
    if target in ("packed", "basnet"):
        convert_folder(there, back, Conversion("backtal", snippets=None if target == "packed" else 8))
        for name in ("val/vid_a.npz", "test/vid_f.npz"):
            with np.load(root / name) as first, np.load(back / name) as second:
                np.testing.assert_array_equal(first["feat_spa"], second["feat_spa"])
                np.testing.assert_array_equal(first["feat_tem"], second["feat_tem"])


def test_backtal_files_are_rescaled_and_hold_clicks_and_times(tmp_path):
    root = source(tmp_path, "basnet")
    (tmp_path / "clicks.txt").write_text("URLID,URL,TagID,Tag,Start,End,Time,State\nvid_a,,2,background,3.1,3.1,1,1\n")
    with pytest.raises(InputError, match="--snippets .* 750"):
        convert_folder(root, tmp_path / "no", Conversion("backtal"))
    assert not (tmp_path / "no").exists()
    convert_folder(root, tmp_path / "out", Conversion("backtal", 10, clicks=(str(tmp_path / "clicks.txt"),)))
    with np.load(tmp_path / "out/train/vid_a.npz") as found:
        array = cases.features("vid_a")  # 5 snippets of 0.64 s
        assert found["feat_spa"].shape == (cases.RGB, 10) and found["feat_spa"].dtype == np.float32
        wanted = np.interp(np.clip((np.arange(10) + 0.5) / 2 - 0.5, 0, 4), np.arange(5), array[:, 0])
        np.testing.assert_allclose(found["feat_spa"][0], wanted, rtol=1e-6)
        assert found["duration"] == 5 * 0.64 and found["fps"] == 25 and str(found["vid_name"]) == "vid_a"
        assert found["point_label"].tolist() == [-100] * 9 + [2]


def test_ground_truth_is_kept_to_the_byte_where_nothing_is_renamed(tmp_path):
    root = source(tmp_path, "basnet")
    text = json.dumps(cases.database(text=True, url="kept") | {"version": "x"}, indent=3)
    (root / "THUMOS14/gt.json").write_text(text)
    convert_folder(root, tmp_path / "pack", Conversion("packed"))
    assert (tmp_path / "pack/gt.json").read_text() == text


def test_subsets_are_called_as_the_layout_calls_them(tmp_path):
    entries = {"video_validation_0000051": "training", "video_test_0000004": "validation"}
    content = {"database": {video: {"subset": subset, "annotations": [{"segment": [0, 1], "label": "Diving"}]}
                            for video, subset in entries.items()}}
    cases.write_json(tmp_path / "in/annotations/anno.json", content)
    for video in entries:
        cases.save(tmp_path / f"in/features/{video}.npy", np.ones((4, 2), np.float16))
    for target, names in (("basnet", ["train", "test"]), ("actionformer", ["Validation", "Test"]),
                          ("wtalc", ["validation", "test"]), ("packed", ["training", "validation"])):
        convert_folder(tmp_path / "in", tmp_path / target, Conversion(target))
        found = open_folder(tmp_path / target).content["database"]
        assert [entry["subset"] for entry in found.values()] == names
        assert load_folder(tmp_path / target, DataConfig(), "test").video_ids == ("video_test_0000004",)


def test_subsets_without_features_stop_the_conversion(tmp_path):
    root = source(tmp_path, "hr_pro")  # of no known data set: "Validation" could be the folder train, or not
    with pytest.raises(InputError, match="subset 'Validation' · expected features of every annotated subset"):
        convert_folder(root, tmp_path / "out", Conversion("packed"))
    convert_folder(root, tmp_path / "out", Conversion("packed", drop_missing=True))
    assert open_packed(tmp_path / "out").video_ids == ("vid_d", "vid_e", "vid_f")


def test_missing_videos_stop_the_conversion_or_are_listed(tmp_path):
    root = source(tmp_path, "actionformer")
    (root / "i3d_features/vid_b.npy").unlink()
    with pytest.raises(InputError, match="vid_b.npy · expected a feature file"):
        convert_folder(root, tmp_path / "no", Conversion("opentad"))
    convert_folder(root, tmp_path / "out", Conversion("opentad", drop_missing=True))
    assert (tmp_path / "out/missing_files.txt").read_text() == "vid_b\n"
    assert load_folder(tmp_path / "out", config_for(tmp_path / "out"), "train").video_ids == ("vid_a", "vid_c")


def test_other_content_is_not_overwritten(tmp_path):
    root, out = source(tmp_path, "basnet"), tmp_path / "out"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    for resume in (False, True):
        with pytest.raises(InputError, match="expected an empty folder · found other files"):
            convert_folder(root, out, Conversion("packed"), resume=resume)
    with pytest.raises(InputError, match="another folder than the source"):
        convert_folder(root / "THUMOS14", root / "THUMOS14", Conversion("packed"))
    with pytest.raises(InputError, match="--to · expected one of packed"):
        convert_folder(root, tmp_path / "new", Conversion("zip"))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("target", ["packed", "basnet", "opentad", "wtalc"])
def test_interrupted_conversions_go_on(tmp_path, target):
    root, whole, out = source(tmp_path, "basnet"), tmp_path / "whole", tmp_path / "out"
    convert_folder(root, whole, Conversion(target))

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert_folder(root, out, Conversion(target), progress=stop)
    with pytest.raises(InputError, match="found an unfinished conversion · --resume"):
        convert_folder(root, out, Conversion(target))
    with pytest.raises(InputError, match="the conversion that was begun here"):
        convert_folder(root, out, Conversion(target, dtype="float16"), resume=True)
    convert_folder(root, out, Conversion(target), resume=True)
    files = {path.relative_to(whole): path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    assert {path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} == files


def test_killed_conversions_go_on(tmp_path):
    root = tmp_path / "source"
    names = [f"vid_{number:03d}" for number in range(60)]
    for number, name in enumerate(names):
        cases.save(root / f"features/{name}.npy", np.full((200, 64), number, np.float32))
    cases.write_json(root / "gt.json", {name: "run" for name in names})
    program = ("import sys, wtal_fast.data.packed_writer as w; w.SHARD_BYTES = 200_000\n"
               "w.PackWriter.__init__.__defaults__ = (200_000,)\n"
               "from wtal_fast.data.conversion import Conversion, convert_folder\n"
               "import time\n"
               "convert_folder(sys.argv[1], sys.argv[2], Conversion('packed'), resume=True,\n"
               "               progress=lambda done, total: time.sleep(0.01))")
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "out")]
    for parts in (1, 3, None):  # killed once that many shards are written, then left alone
        process = subprocess.Popen(command, stderr=subprocess.PIPE)
        while parts is not None and len(list(tmp_path.glob("out/.packing/part-*.json"))) < parts:
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        if parts is not None:
            os.kill(process.pid, signal.SIGKILL)
        error = process.communicate()[1]
        assert process.returncode == (0 if parts is None else -signal.SIGKILL), error
    index = open_packed(tmp_path / "out")
    assert index.video_ids == tuple(names)
    assert all((index.rows(number) == number).all() for number in range(60))
    assert not list((tmp_path / "out").glob(".*"))


def test_features_change_their_type_on_request(tmp_path):
    convert_folder(source(tmp_path, "basnet"), tmp_path / "out", Conversion("packed", dtype="float16"))
    index = open_packed(tmp_path / "out")
    assert index.rows(0).dtype == np.float16 and [name for name, _ in index.streams] == ["rgb", "flow"]


def test_packed_data_trains_streams_apart(tmp_path):
    convert_folder(source(tmp_path, "basnet"), tmp_path / "out", Conversion("packed"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = load_folder(tmp_path / "out", DataConfig(modality="flow", resident="mapped"), "train")
    np.testing.assert_array_equal(found.features.video(1), cases.features("vid_b")[:, cases.RGB:])
    assert found.batch([0, 2], 4, "uniform").features.shape == (2, 4, cases.FLOW)
