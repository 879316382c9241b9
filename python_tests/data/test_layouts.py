"""Every layout gives the same structures: the same small data set, written in each, read alike."""

import importlib
import importlib.util
import json
import pickle

import numpy as np
import pytest
import torch

from python_tests.conftest import require
from python_tests.data import layout_cases as cases
from wtal_fast.config import DataConfig
from wtal_fast.data.known_datasets import (
    ACTIVITYNET12,
    BEOID,
    GTEA,
    THUMOS14,
    recognise_dataset,
    subset_of_role,
)
from wtal_fast.data.layouts import open_folder
from wtal_fast.data.loading import load_folder
from wtal_fast.errors import InputError


def config_for(name, **settings):
    train, test = cases.SUBSETS_OF.get(name, ("train", "test"))
    return DataConfig(train_subset=train, test_subset=test, **settings)


@pytest.fixture(params=cases.WRITERS)
def written(request, tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    cases.WRITERS[request.param](root)
    return request.param, root


def test_layouts_are_recognised(written):
    name, root = written
    assert open_folder(root).layout == cases.LAYOUT_OF[name]


def test_layouts_read_alike(written):
    name, root = written
    for subset, videos in cases.LENGTHS.items():
        found = load_folder(root, config_for(name), subset)
        assert found.video_ids == tuple(videos) and found.class_names == cases.CLASSES
        np.testing.assert_allclose(found.durations, [length * cases.SECONDS for length in videos.values()])
        assert found.labels.tolist() == [[1, 0], [0, 1], [1, 1]]
        assert found.annotations.segments.tolist() == [[0.5, 1.5], [1.5, 2.5], [2.5, 3.5], [0.25, 0.75]]
        if name != "backtal":
            for number, video in enumerate(videos):
                np.testing.assert_array_equal(found.features.video(number), cases.features(video))


def test_mapped_features_are_the_same(written):
    name, root = written
    plain, mapped = (load_folder(root, config_for(name, resident=kind), "train") for kind in ("memory", "mapped"))
    for number in range(3):
        np.testing.assert_array_equal(plain.features.video(number), mapped.features.video(number))


def test_backtal_files_bring_clicks_durations_and_frame_counts(tmp_path):
    cases.backtal(tmp_path)
    train = load_folder(tmp_path, config_for("backtal", click_kinds="background"), "train")
    assert train.raw_lengths.tolist() == [8, 8, 8] and train.clicks.is_background.all()
    assert (train.batch([0, 1, 2], 8, "uniform").clicks == 2).int().tolist() == [[0, 1, 0, 0, 0, 0, 1, 0]] * 3
    test = load_folder(tmp_path, config_for("backtal"), "test")
    assert test.frame_counts.tolist() == [96, 64, 144]
    (tmp_path / "gt_tiny.json").write_text(json.dumps(
        {"database": {v: {k: e[k] for k in ("subset", "annotations")}
                      for v, e in cases.database(("val", "test"))["database"].items()}}))
    np.testing.assert_allclose(load_folder(tmp_path, config_for("backtal"), "test").durations, [3.84, 2.56, 5.76])
    with pytest.raises(InputError, match="'vid_a' · expected a duration: the features are rescaled"):
        load_folder(tmp_path, config_for("backtal"), "train")


def test_streams_can_be_chosen_where_they_are_kept_apart(written):
    name, root = written
    for modality, columns in (("rgb", slice(0, cases.RGB)), ("flow", slice(cases.RGB, None))):
        if name in ("basnet", "leftthomas", "cmcs", "untrimmednet"):
            found = load_folder(root, config_for(name, modality=modality), "train").features.video(1)
            np.testing.assert_array_equal(found, cases.features("vid_b")[:, columns])
        elif name != "backtal":
            with pytest.raises(InputError, match="data.modality=all reads them"):
                load_folder(root, config_for(name, modality=modality), "train")


def test_several_crops_are_averaged(tmp_path):
    array = cases.features("vid_a")
    for stream in ("rgb", "flow"):
        cases.save_npz(tmp_path / f"vid_a-{stream}.npz", feature=np.stack([array - 1, array + 1]))
    cases.write_json(tmp_path / "gt.json", {"database": {"vid_a": cases.database()["database"]["vid_a"]}})
    found = load_folder(tmp_path, DataConfig(modality="rgb"), "train").features.video(0)
    np.testing.assert_array_equal(found, array)


def test_untimed_videos_of_the_array_layout_are_no_training_videos(tmp_path):
    cases.wtalc(tmp_path)
    for name, value in (("segments", []), ("labels", [])):
        path = tmp_path / f"Tiny-Annotations/{name}.npy"
        rows = np.empty(6, dtype=object)
        truth = list(cases.database()["database"].values())
        rows[:] = [[one["segment" if name == "segments" else "label"] for one in entry["annotations"]]
                   for entry in truth]
        rows[1] = value
        np.save(path, rows)
    assert load_folder(tmp_path, config_for("wtalc"), "train").video_ids == ("vid_a", "vid_c")


def test_missing_features(tmp_path):
    cases.actionformer(tmp_path)
    (tmp_path / "i3d_features/vid_b.npy").unlink()
    with pytest.raises(InputError, match="vid_b.npy · expected a feature file .* data.missing=drop"):
        load_folder(tmp_path, config_for("actionformer"), "train")
    with pytest.warns(UserWarning, match="1 of 3 videos have no features and are left out, such as 'vid_b'"):
        found = load_folder(tmp_path, config_for("actionformer", missing="drop"), "train")
    assert found.video_ids == ("vid_a", "vid_c")
    found = load_folder(tmp_path, config_for("actionformer", exclude="vid_b,vid_a"), "train")
    assert found.video_ids == ("vid_c",)
    with pytest.raises(InputError, match="expected at least one video"):
        load_folder(tmp_path, config_for("actionformer", exclude="vid_a,vid_b,vid_c"), "train")


def test_a_folder_of_files_and_one_table_are_enough(tmp_path):
    for _, video, array in cases.all_videos():
        cases.save(tmp_path / f"{video}.npy", array)
    table = "id;class;split\n" + "".join(f"{video};run;{subset}\n" for subset, video, _ in cases.all_videos())
    (tmp_path / "labels.csv").write_text(table)
    found = load_folder(tmp_path, DataConfig(), "test")
    assert found.video_ids == ("vid_d", "vid_e", "vid_f") and found.annotations is None
    assert found.labels.tolist() == [[1]] * 3
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "gt.json").write_text(json.dumps({video: ["run", "jump"] for _, video, _ in cases.all_videos()}))
    assert load_folder(tmp_path, DataConfig(), "train").labels.tolist() == [[1, 1]] * 6


BAD_TABLES = {
    "no header": ("vid_a,run\n", "line 1 · expected a first line that names the columns video, label"),
    "start only": ("video,label,start\n", "expected a first line"),
    "ragged": ("video,label\nvid_a,run\nvid_b\n", "line 3 · expected 2 cells, as in the first line · found 1"),
    "half a time": ("video,label,start,end\nvid_a,run,1,\n", "line 2 · expected start and end, or neither"),
    "two subsets": ("video,label,subset\nvid_a,run,train\nvid_a,jump,test\n", "line 3, .* one subset .* train and"),
    "words": ("video,label,start,end\nvid_a,run,soon,later\n", "'vid_a', annotation 0 · expected finite start"),
    "backwards": ("video,label,start,end\nvid_a,run,2,1\n", r"expected 0 <= start <= end · found \[2, 1\]"),
    "empty": ("\n", "found nothing"),
}


@pytest.mark.parametrize("name", BAD_TABLES)
def test_bad_tables_name_the_row(tmp_path, name):
    text, message = BAD_TABLES[name]
    cases.save(tmp_path / "vid_a.npy", cases.features("vid_a"))
    (tmp_path / "labels.csv").write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_folder(tmp_path, DataConfig(ground_truth="labels.csv"), "train")
    assert "labels.csv" in str(caught.value)


BAD_DESCRIPTIONS = {
    "features: clips\n": "labels · expected the name of a file",
    "features: nowhere\nlabels: labels.csv\n": "features · expected a file or folder beside dataset.yaml",
    "features: clips\nlabels: labels.csv\nfsp: 3\n": "fsp · expected a known key .* did you mean 'fps'",
    "features: clips\nlabels: labels.csv\nfps: fast\n": "fps · expected a number above 0 · found 'fast'",
    "features: clips\nlabels: labels.csv\ntest: 2\n": "test · expected a share between 0 and 1",
    "features: clips\nlabels: labels.csv\ntest: [vid_x]\n": "test · expected labelled videos .* did you mean 'vid_",
    "features: clips\nlabels: labels.csv\ntest: {a: b}\n": "test · expected a share, a file of ids or a list",
    "features: clips\nlabels: labels.csv\nkey: feats\n": "key · expected the name of an array with {video} in it",
    "- a\n": "expected keys and values · found list",
    "a: [\n": "expected YAML",
    "features: clips\nlabels: labels.csv\ntrain: [vid_a]\ntest: [vid_a]\n": "expected no video in both · found vid_a",
}


@pytest.mark.parametrize("text", BAD_DESCRIPTIONS)
def test_bad_descriptions_say_what_is_wrong(tmp_path, text):
    cases.own_csv(tmp_path)
    (tmp_path / "dataset.yaml").write_text(text)
    with pytest.raises(InputError, match=BAD_DESCRIPTIONS[text]) as caught:
        load_folder(tmp_path, DataConfig(), "train")
    assert "dataset.yaml" in str(caught.value)


def test_a_share_of_own_videos_is_held_out_always_the_same(tmp_path):
    cases.own_csv(tmp_path)
    (tmp_path / "dataset.yaml").write_text("features: clips\nlabels: labels.csv\ntest: 0.34\n")
    first = [load_folder(tmp_path, DataConfig(), part).video_ids for part in ("train", "test")]
    assert [len(videos) for videos in first] == [4, 2] and not set(first[0]) & set(first[1])
    assert first == [load_folder(tmp_path, DataConfig(), part).video_ids for part in ("train", "test")]


@pytest.mark.parametrize(("dataset", "names", "train", "test"), [
    (THUMOS14, {"val", "test"}, "val", "test"), (THUMOS14, {"train", "val"}, "train", "val"),
    (THUMOS14, {"train", "test"}, "train", "test"), (ACTIVITYNET12, {"train", "val", "test"}, "train", "val"),
    (None, {"train", "test"}, "train", "test"), (None, {"train", "val"}, None, None), (BEOID, {"train", "val"}, "train",
                                                                                      "val"),
    (GTEA, {"other"}, None, None),
])
def test_what_validation_means_depends_on_the_data_set(dataset, names, train, test):
    assert (subset_of_role("train", names, dataset), subset_of_role("test", names, dataset)) == (train, test)


def test_thumos14_of_opentad_and_of_actionformer(tmp_path):
    """The preset says "train" and "test"; the first calls them training/validation, the second validation/test."""
    for names in (("training", "validation"), ("Validation", "Test")):
        root = tmp_path / names[0]
        videos = {"video_validation_0000051": names[0], "video_test_0000004": names[1]}
        entries = {video: {"subset": subset, "annotations": [{"segment": [0, 1], "label": "Diving"},
                                                             {"segment": [2, 3], "label": "Ambiguous"}]}
                   for video, subset in videos.items()}
        cases.write_json(root / "annotations/anno.json", {"database": entries})
        for video in videos:
            cases.save(root / f"features/{video}.npy", np.ones((4, 2), np.float32))
        for role, video in zip(("train", "test"), videos, strict=True):
            found = load_folder(root, DataConfig(class_names=["CliffDiving", "Diving"]), role)
            assert found.video_ids == (video,) and len(found.annotations) == 1


def test_data_sets_are_known_by_ids_and_classes():
    assert recognise_dataset(["video_test_0000004"], 101) is THUMOS14
    assert recognise_dataset(["00_Desk1", "07_Treadmill3"], 34) is BEOID
    assert recognise_dataset(["S1_Cheese_C1"], 7) is GTEA
    assert recognise_dataset(["v_---9CpRcKoU"], 100) is ACTIVITYNET12
    assert recognise_dataset(["clip1"], 100) is None and recognise_dataset([], 100) is None
    assert THUMOS14.frame_rate("video_test_0001207") == 24 and THUMOS14.frame_rate("video_validation_0000311") == 25
    assert THUMOS14.frame_rate("video_test_0000273") == 29.97 and THUMOS14.frame_rate("video_test_0000004") == 30
    assert len(THUMOS14.fps) == 31


def test_folders_without_data_are_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(InputError, match="expected a data set of one of the layouts .* found notes.txt"):
        open_folder(tmp_path)
    with pytest.raises(InputError, match="nothing there"):
        open_folder(tmp_path / "absent")
    for name in ("first", "second"):
        cases.save(tmp_path / name / "a.npy", np.ones((2, 2)))
    with pytest.raises(InputError, match="expected one folder of features · found first, second"):
        open_folder(tmp_path)


@pytest.mark.parametrize("ending", ["pt", "csv", "npz", "pkl", "h5"])
def test_files_of_every_format_lie_flat(tmp_path, ending):
    if ending == "h5":
        require("extra", importlib.util.find_spec("h5py"), "h5py is not installed")
    for _, video, array in cases.all_videos():
        path = tmp_path / f"features/{video}.{ending}"
        path.parent.mkdir(exist_ok=True)
        if ending == "pt":
            torch.save(torch.from_numpy(array), path)
        elif ending == "csv":
            path.write_text("\n".join([",".join(f"f{i}" for i in range(array.shape[1])),
                                       *(",".join(map(str, row)) for row in array.tolist())]) + "\n")
        elif ending == "npz":
            np.savez_compressed(path, feats=array, other=np.ones(3))
        elif ending == "pkl":
            path.write_bytes(pickle.dumps(array))
        else:
            with importlib.import_module("h5py").File(path, "w") as file:
                file["features"] = array
    cases.write_json(tmp_path / "annotations/anno.json", cases.database())
    for resident in ("memory", "mapped"):
        found = load_folder(tmp_path, DataConfig(resident=resident), "train")
        for number, video in enumerate(cases.LENGTHS["train"]):
            np.testing.assert_array_equal(found.features.video(number), cases.features(video))


def test_a_csv_beside_the_features_hides_no_layout(tmp_path):
    """A table of clicks in THUMOS14/ does not make the folder above it one of CSV features."""
    cases.WRITERS["basnet"](tmp_path)
    (tmp_path / "THUMOS14/clicks.csv").write_text("vid_a,0.5,run\n")
    assert open_folder(tmp_path).layout == "basnet"
