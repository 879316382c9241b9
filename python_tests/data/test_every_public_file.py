"""Every file of the shared data is known to `check`, and comes back from a conversion there and back as it was."""

from __future__ import annotations

import fnmatch
import json
import shutil

import numpy as np
import pytest

from wtal_fast.config import DataConfig
from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.check_files import check_file
from wtal_fast.data.conversion import Conversion, convert_folder
from wtal_fast.data.formats import open_arrays, read_value
from wtal_fast.data.ground_truth import ground_truth_content, read_ground_truth
from wtal_fast.data.layouts import open_folder
from wtal_fast.data.loading import load_folder
from wtal_fast.evaluation.activitynet_json import read_detections, write_detections

# Pattern of the path, first match counts -> what `wtal-fast check` calls the file.
KINDS = {
    "*/README.md": "another kind, not read",  # prose
    "README.md": "another kind, not read",
    "*.tbl": "another kind, not read",  # the printed tables that published detections are compared with
    "*.avi": "video, not read", "*.mp4": "video, not read",
    "*/classes.json": "class names by number",
    "*_detections.json": "detections", "activitynet/sample_detection_prediction.json": "detections",
    "detections/*.json": "detections", "*.json": "ground truth",
    "weizmann_videos/manifest.csv": "ground truth",
    "*/split_*.txt": "list of videos", "thumos14/Ambiguous_test.txt": "stretches that are no false positives",
    "*_clicks/*.txt": "clicks", "*.npy": "arrays", "*.npz": "arrays",
}


def test_every_file_is_covered(shared):
    root = shared / "data"
    seen = set()
    for path in sorted(root.rglob("*")):
        if path.is_dir():
            continue
        name = str(path.relative_to(root))
        pattern = next((one for one in KINDS if fnmatch.fnmatch(name, one)), None)
        assert pattern is not None, name
        seen.add(pattern)
        if path.suffix == ".npy" and name.startswith("thumos14_sim"):
            (array,) = open_arrays(path).values()  # 820 of one kind, which test_public_data.py reads
            assert array.shape[1] == 64
            continue
        if fnmatch.fnmatch(name, "*_clicks/*.txt"):
            summary, findings = check_file(path, truth_beside(path), clicks=True)
        else:
            summary, findings = check_file(path)
        assert summary["kind"].partition(" (")[0] == KINDS[pattern], name
        assert not [one for one in findings if one.level == "error"], (name, findings)
    assert seen == set(KINDS)


def truth_beside(path):
    folder = path.parents[1]
    return read_annotations(folder / ("gt_backtal.json" if folder.name == "thumos14" else "gt.json"))


SCORES = ("gtea_svm", "gtea_ed_tcn", "50salads_eval_ed_tcn", "50salads_eval_svm", "50salads_mid_ed_tcn",
          "50salads_mid_svm")
TRUTHS = ["thumos14/gt.json", "thumos14/gt_backtal.json", "thumos14_sim/gt.json", "beoid/gt.json", "gtea/gt.json",
          pytest.param("activitynet/activity_net.v1-2.min.json", marks=pytest.mark.slow),
          pytest.param("activitynet13_annotations/activitynet13_gt_bsn.json", marks=pytest.mark.slow),
          "activitynet13_annotations/activitynet13_val_from_sample.json",
          "ucf101_vgg16_features/stitched_manifest.json", "weizmann_videos/stitched_manifest.json",
          "weizmann_videos/manifest.csv", *(f"tcn_frame_scores/{name}_gt.json" for name in SCORES)]


@pytest.mark.parametrize("name", TRUTHS)
def test_ground_truth_there_and_back(shared, tmp_path, name):
    """With features of one video of each subset: packed, then files, then packed again; not a key is lost."""
    source, root = shared / "data" / name, tmp_path / "source"
    (root / "features").mkdir(parents=True)
    shutil.copyfile(source, root / f"labels{source.suffix}")
    (root / "dataset.yaml").write_text(f"features: features\nlabels: labels{source.suffix}\n")
    truth = ground_truth_content(source)["database"]
    annotated = {entry["subset"]: video for video, entry in truth.items() if entry.get("annotations")}
    for number, video in enumerate(annotated.values()):
        np.save(root / f"features/{video}.npy", np.full((3, 4), number, np.float16))
    folders = [root]
    for target in ("packed", "own", "packed", "actionformer"):
        folders.append(tmp_path / f"{len(folders)}-{target}")
        convert_folder(folders[-2], folders[-1], Conversion(target, drop_missing=True))
    for folder in folders[1:4]:
        assert open_folder(folder).content["database"] == truth
    last = open_folder(folders[4]).content["database"]
    assert {video: entry | {"subset": ""} for video, entry in last.items()} == {
        video: entry | {"subset": ""} for video, entry in truth.items()}


def test_wtalc_arrays_there_and_back(shared, tmp_path):
    source, root = shared / "data/thumos14/wtalc_annotations", tmp_path / "source"
    shutil.copytree(source, root / "Thumos14-Annotations")
    first = read_ground_truth(source)
    features = np.empty(len(first.video_ids), object)
    features[:] = [np.full((2, 3), number, np.float32) for number in range(len(features))]
    np.save(root / "Thumos14-I3D-JOINTFeatures.npy", features)
    convert_folder(root, tmp_path / "packed", Conversion("packed"))
    convert_folder(tmp_path / "packed", tmp_path / "back", Conversion("wtalc"))
    again = read_ground_truth(tmp_path / "back/Converted-Annotations")
    numbers = [first.positions[video] for video in again.video_ids]
    assert len(numbers) == len(set(first.video_index.tolist()))  # untimed videos have no part
    for name in ("durations", "fps"):
        np.testing.assert_array_equal(getattr(first, name)[numbers], getattr(again, name))
    assert [first.subsets[number] for number in numbers] == list(again.subsets)
    for number, video in enumerate(numbers):
        mine, theirs = (np.flatnonzero(one.video_index == index) for one, index in ((first, video), (again, number)))
        np.testing.assert_array_equal(first.segments[mine], again.segments[theirs])
        assert [first.class_names[row] for row in first.classes[mine]] == [
            again.class_names[row] for row in again.classes[theirs]]
    for number, array in enumerate(read_value(tmp_path / "back/Converted-I3D-JOINTFeatures.npy")):
        np.testing.assert_array_equal(array, features[numbers[number]])


DETECTIONS = ["activitynet/sample_detection_prediction.json", "detections/autoloc/autoloc_activitynet12_val.json",
              "detections/autoloc/autoloc_thumos14_test.json", "detections/stpn/stpn_thumos14_test.json",
              *(f"detections/scnn/scnn_THUMOS14_{name}.json" for name in
                ("Res3D_nms0.2", "Res3D_nms0.4", "nms0.2", "nms0.4")),
              *(f"tcn_frame_scores/{name}_argmax_detections.json" for name in SCORES)]


@pytest.mark.parametrize("name", DETECTIONS)
def test_detections_there_and_back(shared, tmp_path, name):
    first = read_detections(shared / "data" / name)
    write_detections(tmp_path / "found.json", first)
    again = read_detections(tmp_path / "found.json")
    assert again.video_ids == first.video_ids and again.class_names == first.class_names
    tables = [np.column_stack([one.video_index, one.classes, one.segments, one.scores]) for one in (first, again)]
    first, again = (table[np.lexsort(table.T)] for table in tables)
    np.testing.assert_array_equal(first, again)


def one_file_set(root, source, key, labels):
    """Own data whose features are the file `source`."""
    root.mkdir()
    shutil.copyfile(source, root / source.name)
    (root / "labels.json").write_text(json.dumps(labels))
    (root / "dataset.yaml").write_text(f"features: {source.name}\nlabels: labels.json\nkey: '{key}'\ntest: 0.25\n")


def same_arrays(root, tmp_path, arrays):
    """`root` as packed shards, as a folder of files, and read for training: always these arrays."""
    convert_folder(root, tmp_path / "packed", Conversion("packed"))
    convert_folder(tmp_path / "packed", tmp_path / "files", Conversion("own"))
    for video, array in arrays.items():
        found = np.load(tmp_path / f"files/features/{video}.npy")
        np.testing.assert_array_equal(found, array)
        assert found.dtype == array.dtype
    for folder in (root, tmp_path / "packed", tmp_path / "files"):
        for part in ("train", "test"):
            dataset = load_folder(folder, DataConfig(), part)
            for number, video in enumerate(dataset.video_ids):
                np.testing.assert_array_equal(dataset.features.video(number), arrays[video])


def test_the_watch_recordings_there_and_back(shared, tmp_path):
    source = shared / "data/watch_exercises/seglearn_watch.npz"
    with np.load(source) as content:
        arrays = {f"{number:03d}": content[f"x{number:03d}"].astype(np.float32) for number in range(140)}
        labels = {video: [str(content["y_labels"][content["y"][int(video)]])] for video in arrays}
    one_file_set(tmp_path / "source", source, "x{video}", labels)
    with np.load(source) as content:
        stored = {video: content[f"x{video}"] for video in arrays}
    convert_folder(tmp_path / "source", tmp_path / "exact", Conversion("own"))
    for video, array in stored.items():
        np.testing.assert_array_equal(np.load(tmp_path / f"exact/features/{video}.npy"), array)
    dataset = load_folder(tmp_path / "source", DataConfig(), "test")
    assert len(dataset) == 35 and dataset.class_names == tuple(sorted({label for (label,) in labels.values()}))
    np.testing.assert_array_equal(dataset.features.video(0), arrays[dataset.video_ids[0]])


@pytest.mark.parametrize("name", SCORES)
def test_frame_scores_there_and_back(shared, tmp_path, name):
    source = shared / f"data/tcn_frame_scores/{name}.npz"
    with np.load(source) as content:
        arrays = {key.removesuffix("/scores"): content[key] for key in content if key.endswith("/scores")}
    truth = json.loads(source.with_name(f"{name}_gt.json").read_text())
    assert truth["database"].keys() == arrays.keys()
    one_file_set(tmp_path / "source", source, "{video}/scores", truth)
    same_arrays(tmp_path / "source", tmp_path, arrays)


def test_the_clip_features_there_and_back(shared, tmp_path):
    """Loose arrays of equal clips: what they hold becomes a file of an array for each clip."""
    folder = shared / "data/ucf101_vgg16_features"
    found = {}
    for name in ("ucf101_14class_vgg16relu6_pca256", "raw4096_3_per_class"):
        content = read_value(folder / f"{name}.npz")
        found |= {f"{name[:3]}_{video}": (array, int(label)) for video, array, label in
                  list(zip(content["video"].tolist(), content["features"], content["label"], strict=True))[:60]}
    names = json.loads((folder / "classes.json").read_text())
    for part in ("ucf", "raw"):
        mine = {video: array for video, (array, _) in found.items() if video.startswith(part)}
        np.savez(tmp_path / f"{part}.npz", **mine)
        labels = {video: [names[str(found[video][1])]] for video in mine}
        one_file_set(tmp_path / f"{part}-source", tmp_path / f"{part}.npz", "{video}", labels)
        (tmp_path / part).mkdir()
        same_arrays(tmp_path / f"{part}-source", tmp_path / part, mine)


def test_the_single_feature_file_there_and_back(shared, tmp_path):
    array = np.load(shared / "data/clips/paddlevideo_example_feat_100x400.npy")
    for video in ("a", "b"):
        (tmp_path / "source/features").mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / f"source/features/{video}.npy", array)
    (tmp_path / "source/labels.json").write_text(json.dumps({"a": ["run"], "b": ["jump"]}))
    (tmp_path / "source/dataset.yaml").write_text("features: features\nlabels: labels.json\n")
    convert_folder(tmp_path / "source", tmp_path / "there", Conversion("packed"))
    convert_folder(tmp_path / "there", tmp_path / "back", Conversion("own"))
    np.testing.assert_array_equal(np.load(tmp_path / "back/features/a.npy"), array)
