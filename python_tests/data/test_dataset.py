"""Features, annotations and clicks as one data set, and the batches made of it."""

import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests.conftest import require
from wtal_fast.config import DataConfig
from wtal_fast.data import sampling
from wtal_fast.data.annotations import read_annotations, select_subset
from wtal_fast.data.clicks import clicks_of_rows
from wtal_fast.data.dataset import from_arrays
from wtal_fast.data.loading import load_folder
from wtal_fast.errors import InputError
from wtal_fast.structures import NO_CLICK, Annotations

LENGTHS = {"a": 4, "b": 10, "c": 6}
ENTRIES = {
    "a": {"subset": "train", "annotations": [{"segment": [0.64, 1.28], "label": "run"}]},
    "b": {"subset": "train", "duration": 6.5, "annotations": [{"segment": ["1", "2"], "label": "jump"},
                                                              {"segment": [3, 4], "label": "run"}]},
    "c": {"subset": "test", "annotations": [{"segment": [1, 2], "label": "run"}]},
}


def values(video):
    """Features [L, 4] that say where they come from: video letter * 1000 + snippet * 10 + channel."""
    return ord(video) * 1000.0 + 10 * np.arange(LENGTHS[video])[:, None] + np.arange(4)


def write_truth(root, entries):
    (root / "gt.json").write_text(json.dumps({"database": entries}))


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "data"
    for subset, videos in {"train": "ab", "test": "c"}.items():
        for stream, columns in {"rgb": slice(0, 2), "flow": slice(2, 4)}.items():
            (root / "features" / subset / stream).mkdir(parents=True)
            for video in videos:
                np.save(root / "features" / subset / stream / f"{video}.npy", np.float32(values(video)[:, columns]))
        (root / f"split_{subset}.txt").write_text("\n".join(videos))
    write_truth(root, ENTRIES)
    return root


def test_folder_with_defaults(folder):
    train = load_folder(folder, DataConfig(), "train")
    assert train.video_ids == ("a", "b") and train.class_names == ("jump", "run") and train.feature_dim == 4
    assert train.labels.tolist() == [[0, 1], [1, 1]] and train.clicks is None
    assert train.raw_lengths.tolist() == [4, 10] == train.frame_counts.tolist()
    assert train.durations.tolist() == [4 * 0.64, 10 * 0.64] and train.durations.dtype == torch.float64
    assert len(train.annotations) == 3 and train.source == str(folder)
    np.testing.assert_array_equal(train.features.video(1), values("b"))
    assert load_folder(folder, DataConfig(), "test").labels.tolist() == [[0, 1]]


@pytest.mark.parametrize("change", ["nested", "side by side", "without features/", "upper case", "long subset names"])
def test_layouts_read_the_same(folder, change):
    config = DataConfig()
    wanted = load_folder(folder, config, "train")
    if change == "nested":
        folder.rename(folder.parent / "THUMOS14")
        folder = folder.parent
    elif change == "side by side":
        for subset, videos in {"train": "ab", "test": "c"}.items():
            for stream in ("rgb", "flow"):
                shutil.rmtree(folder / "features" / subset / stream)
            for video in videos:
                np.save(folder / "features" / subset / f"{video}.npy", values(video))
    elif change == "without features/":
        for subset in ("train", "test"):
            (folder / "features" / subset).rename(folder / subset)
    elif change == "upper case":
        (folder / "features/train").rename(folder / "features/Train")
        (folder / "features").rename(folder / "Features")
    else:
        names = {"train": "training", "test": "validation"}
        write_truth(folder, {video: entry | {"subset": names[entry["subset"]]} for video, entry in ENTRIES.items()})
        config = DataConfig(train_subset="training", test_subset="validation")
        assert load_folder(folder, config, "test").video_ids == ("c",)
    found = load_folder(folder, config, "train")
    assert found.video_ids == wanted.video_ids and torch.equal(found.labels, wanted.labels)
    assert all(torch.equal(found.features.video(v), wanted.features.video(v)) for v in range(2))


def test_without_split_files_the_ground_truth_decides(folder):
    (folder / "split_train.txt").unlink()
    assert load_folder(folder, DataConfig(), "train").video_ids == ("a", "b")


def test_mapped_features_give_the_same_batches(folder):
    plain, mapped = (load_folder(folder, DataConfig(resident=name), "train") for name in ("memory", "mapped"))
    for kind in ("uniform", "uniform_keep_short", "linear"):
        first, second = (dataset.batch([1, 0], 6, kind) for dataset in (plain, mapped))
        assert torch.equal(first.features, second.features) and torch.equal(first.lengths, second.lengths)


def test_class_names_of_a_trained_model(folder):
    found = load_folder(folder, DataConfig(), "train", class_names=["run", "jump", "swim"])
    assert found.labels.tolist() == [[1, 0, 0], [1, 1, 0]]
    with pytest.raises(InputError, match="label 'jump'"):
        load_folder(folder, DataConfig(), "train", class_names=["run"])


def test_without_ground_truth(folder):
    (folder / "gt.json").unlink()
    with pytest.raises(InputError, match="expected a ground truth file gt.json"):
        load_folder(folder, DataConfig(), "test")
    for split in (True, False):
        if not split:
            (folder / "split_test.txt").unlink()
        found = load_folder(folder, DataConfig(), "test", class_names=["run"], need_annotations=False)
        assert found.video_ids == ("c",) and found.labels is None and found.annotations is None
        assert found.batch([0], 6, "uniform").labels is None
    with pytest.raises(ValueError, match="class_names"):
        load_folder(folder, DataConfig(), "test", need_annotations=False)


def test_localizing_does_not_mind_other_labels_and_uses_durations(folder):
    config = DataConfig(time_base="duration", train_subset="train", test_subset="train")
    found = load_folder(folder, config, "train", class_names=["swim"], need_annotations=False)
    assert found.durations.tolist() == [4 * 0.64, 6.5] and found.labels is None
    (folder / "split_train.txt").write_text("b\na\nb2\n")
    for stream in ("rgb", "flow"):
        path = folder / "features/train" / stream
        shutil.copy(path / "b.npy", path / "b2.npy")
    found = load_folder(folder, config, "train", class_names=["swim"], need_annotations=False)
    assert found.video_ids == ("b", "a", "b2") and found.durations.tolist() == [6.4, 2.56, 6.4]


def test_durations_of_the_annotations_and_of_a_file(folder):
    config = DataConfig(time_base="duration")
    assert load_folder(folder, config, "train").durations.tolist() == [4 * 0.64, 6.5]
    with_durations = {video: {"subset": "any", "duration": 7.0} for video in "abc"}
    (folder / "other.json").write_text(json.dumps({"database": with_durations}))
    config = DataConfig(time_base="duration", durations="other.json")
    with pytest.warns(UserWarning, match="duration of 1 videos differ .* 'a' has 2.56 s of features and 7 s of video"):
        assert load_folder(folder, config, "train").durations.tolist() == [7, 7]
    assert load_folder(folder, DataConfig(durations="other.json"), "train").durations.tolist() == [2.56, 6.4]
    (folder / "other.json").write_text(json.dumps({"database": {}}))
    with pytest.raises(InputError, match="video 'a' · expected an annotated video"):
        load_folder(folder, config, "train")


def test_clicks_reach_the_training_batches_only(folder):
    (folder / "clicks.txt").write_text("URLID,URL,TagID,Tag,Start,End,Time,State\n"
                                       "b,b.mp4,2,background_background,0.1,0.1,1,1\nb,b.mp4,1,run,3.2,3.2,1,1\n")
    for kinds, wanted in (("background", [2, NO_CLICK]), ("action", [NO_CLICK, 1]), ("both", [2, 1])):
        train = load_folder(folder, DataConfig(clicks="clicks.txt", click_kinds=kinds), "train")
        clicks = train.batch([1, 0], 10, "uniform").clicks
        assert [clicks[0, 0], clicks[0, 5]] == wanted and (clicks[1] == NO_CLICK).all()
        assert load_folder(folder, DataConfig(clicks="clicks.txt", click_kinds=kinds), "test").clicks is None
    assert load_folder(folder, DataConfig(clicks="clicks.txt"), "train").clicks is None


def test_simulated_clicks_and_joined_sources(folder):
    (folder / "clicks.txt").write_text("a,0.7,run\n")
    found = load_folder(folder, DataConfig(clicks="simulated", click_kinds="both"), "train").clicks
    assert found.of_kind("action").classes.tolist() == [1, 0, 1] and len(found.of_kind("background")) == 5
    both = load_folder(folder, DataConfig(clicks="clicks.txt+simulated", click_kinds="both"), "train").clicks
    assert len(both) == len(found) + 1


def test_labels_without_times_can_be_trained_on(folder):
    entries = {**ENTRIES, "a": {"subset": "train", "annotations": [{"label": "run"}]}}
    write_truth(folder, entries)
    found = load_folder(folder, DataConfig(), "train")
    assert found.labels.tolist() == [[0, 1], [1, 1]] and found.annotations is None
    with pytest.raises(InputError, match="labels without times"):
        load_folder(folder, DataConfig(clicks="simulated", click_kinds="both"), "train")


def test_training_videos_without_labels_are_reported(folder):
    write_truth(folder, {**ENTRIES, "a": {"subset": "train"}})
    with pytest.warns(UserWarning, match="1 training videos have no label, such as 'a'"):
        load_folder(folder, DataConfig(), "train")


@pytest.mark.parametrize(("break_it", "message"), [
    (lambda root: (root / "split_train.txt").write_text("a\nz\n"), "'z' · expected a video of gt.json · found no"),
    (lambda root: (root / "split_train.txt").write_text("a\na\n"), "expected each id once"),
    (lambda root: (root / "split_train.txt").write_text("a\nc\n"), "'c' · expected subset 'train' .* found 'test'"),
    (lambda root: (root / "split_train.txt").write_text("\n"), "no ids"),
    (lambda root: (root / "split_train.txt").write_bytes(b"\xff\xfe"), "expected UTF-8 text"),
    (lambda root: write_truth(root, {**ENTRIES, "../x": ENTRIES["a"]}) or (root / "split_train.txt").unlink(),
     "expected an id of letters"),
    (lambda root: (root / "features/train/rgb/a.npy").unlink(), "rgb/a.npy · expected a feature file"),
    (lambda root: shutil.rmtree(root / "features/train"), "expected a folder features/train · found features/test"),
    (lambda root: shutil.rmtree(root), "nothing there"),
])
def test_broken_folders(folder, break_it, message):
    break_it(folder)
    with pytest.raises(InputError, match=message):
        load_folder(folder, DataConfig(), "train")


def test_two_data_sets_in_one_folder(folder):
    shutil.copytree(folder, folder.parent / "other")
    with pytest.raises(InputError, match="expected one data set · found data, other"):
        load_folder(folder.parent, DataConfig(), "train")


def arrays(**options):
    labels = {"a": ["run"], "b": ["run", "jump"], "c": []}
    return from_arrays({video: values(video) for video in "abc"}, labels, **options)


def test_batches_hold_the_sampled_snippets():
    dataset = arrays()
    index = torch.tensor([2, 0])
    for kind in ("uniform", "stratified"):
        batch = dataset.batch(index, 5, kind, torch.Generator().manual_seed(1))
        assert batch.features.shape == (2, 5, 4) and batch.lengths.tolist() == [5, 5]
        lengths = torch.tensor([6, 4])
        snippets = sampling.uniform(lengths, 5) if kind == "uniform" else sampling.stratified_perturb(
            lengths, 5, torch.Generator().manual_seed(1))
        for row, video in enumerate("ca"):
            np.testing.assert_array_equal(batch.features[row], values(video)[snippets[row]])
    assert batch.video_ids == ("c", "a") and batch.labels.tolist() == [[0, 0], [0, 1]]
    assert batch.raw_lengths.tolist() == [6, 4] and batch.durations.tolist() == [6 * 0.64, 4 * 0.64]


def test_native_length_batches_are_padded_with_zeros():
    batch = arrays().batch([0, 1, 2], 6, "uniform_keep_short")
    assert batch.features.shape == (3, 6, 4) and batch.lengths.tolist() == [4, 6, 6] and batch.clicks is None
    np.testing.assert_array_equal(batch.features[0, :4], values("a"))
    assert (batch.features[0, 4:] == 0).all()
    np.testing.assert_array_equal(batch.features[1], values("b")[[0, 1, 3, 5, 6, 8]])
    assert arrays().batch([0], 6, "uniform_keep_short").features.shape == (1, 4, 4)


@pytest.mark.parametrize(("resize", "positions"), [("half_pixel", [0.5, 2.5]), ("align_corners", [0, 3])])
def test_linear_batches_interpolate(resize, positions):
    batch = arrays().batch([0], 2, "linear", resize=resize)
    wanted = values("a")[0] + 10 * np.array(positions)[:, None]
    np.testing.assert_array_equal(batch.features[0], np.float32(wanted))


def test_linear_at_native_length_changes_nothing():
    np.testing.assert_array_equal(arrays().batch([1], 10, "linear").features[0], values("b"))


def test_unknown_sampling():
    with pytest.raises(ValueError, match="sampling must be .*, got 'random'"):
        arrays().batch([0], 4, "random")


def test_taken_videos_share_features_and_keep_everything_aligned():
    clicks = {"a": [(0.1, "background")], "c": [(1, "run"), (2, "background")]}
    dataset = arrays(clicks=clicks, durations=[5, 6, 7], frame_counts=[50, 60, 70])
    part = dataset.take([2, 0])
    assert part.video_ids == ("c", "a") and part.features.values is dataset.features.values
    whole, alone = dataset.batch([2, 0], 7, "uniform"), part.batch([0, 1], 7, "uniform")
    for name in ("features", "labels", "clicks", "durations", "raw_lengths", "frame_counts"):
        assert torch.equal(getattr(whole, name), getattr(alone, name)), name
    assert whole.clicks[0].tolist() == [NO_CLICK, 1, 2, NO_CLICK, NO_CLICK, NO_CLICK, NO_CLICK]


@given(st.integers(0, 2**31), st.floats(0.05, 0.9), st.data())
def test_holdout_keeps_every_class_in_both_parts(seed, fraction, data):
    labels = np.array(data.draw(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=2, max_size=30)))
    dataset = from_arrays([np.full((1, 1), i, float) for i in range(len(labels))], labels, class_names="xyz")
    train, held = dataset.split_holdout(fraction, seed)
    assert sorted(train.video_ids + held.video_ids) == sorted(dataset.video_ids)
    assert len(train) >= 1
    counts, kept = labels.sum(0), train.labels.sum(0).numpy()
    assert (kept[counts > 0] >= 1).all()
    again = dataset.split_holdout(fraction, seed)[1]
    assert again.video_ids == held.video_ids


def test_holdout_of_single_label_videos_is_stratified():
    labels = [["x"]] * 10 + [["y"]] * 20 + [["z"]] * 2 + [["w"]]
    train, held = from_arrays([np.ones((1, 1))] * 33, labels).split_holdout(0.2, seed=0)
    assert held.class_names == ("w", "x", "y", "z") and held.labels.sum(0).tolist() == [0, 2, 4, 1]
    assert train.labels.sum(0).tolist() == [1, 8, 16, 1]


def test_holdout_needs_two_videos():
    with pytest.raises(InputError, match="at least two"):
        from_arrays([np.ones((1, 1))], [["x"]]).split_holdout(0.5, 0)


def test_labels_in_every_form():
    features = [values("a"), values("b")]
    assert from_arrays(features, ["run", "jump"]).labels.tolist() == [[0, 1], [1, 0]]
    assert from_arrays(features, [["run"], []], class_names=["run", "jump"]).labels.tolist() == [[1, 0], [0, 0]]
    for hot in ([[1, 0], [0, 1]], np.eye(2), torch.eye(2)):
        found = from_arrays(features, hot)
        assert found.labels.tolist() == [[1, 0], [0, 1]] and found.class_names == ("class_0", "class_1")
    assert from_arrays(features, None, class_names=["run"]).labels is None
    truth = Annotations(np.array([[0.0, 1]]), np.array([1]), np.array([0]), ("jump", "run"), ("video_1", "video_0"),
                        ("train", "train"), np.full(2, np.nan), np.full(2, np.nan))
    found = from_arrays(features, annotations=truth)
    assert found.labels.tolist() == [[0, 0], [0, 1]] and found.annotations.video_ids == ("video_0", "video_1")


@pytest.mark.parametrize(("labels", "options", "message"), [
    (None, {}, "expected labels, annotations or class_names"),
    ([["run"]], {}, "expected 2 entries, one for each video · found 1"),
    ([["rum"], []], {"class_names": ["run"]}, "labels of video 'video_0' · .* did you mean 'run'"),
    ([[1, 2], [0, 1]], {}, "zeros and ones"),
    ([[1, 0], [1]], {}, "expected"),
    ([[1, 0], [0, 1]], {"class_names": ["run"]}, "expected 1 columns, one for each class · found 2"),
    (["run", "run"], {"durations": [1, -1]}, "durations · expected a positive number"),
    (["run", "run"], {"durations": [1]}, "durations · expected 2 entries"),
    (["run", "run"], {"clicks": [[(1, "run")], [(99, "run")]]}, "video 'video_1' · expected a time within 0..6.4 s"),
    (["run", "run"], {"clicks": [[(1, "jump")], []]}, "clicks of video 'video_0'"),
    (["run", "run"], {"video_ids": ["x"]}, "one array for each of 1 video ids"),
])
def test_bad_arrays(labels, options, message):
    with pytest.raises(InputError, match=message):
        from_arrays([values("a"), values("b")], labels, **options)


def test_the_settings_choose_time_base_and_clicks():
    config = DataConfig(fps=10, snippet_stride=5, click_kinds="background")
    found = arrays(config=config, clicks=[[(1, "run"), (1, "background")], [], []])
    assert found.durations.tolist() == [2, 5, 3] and found.clicks.classes.tolist() == [2]
    ready = clicks_of_rows([(1, 2, 0)], ("jump", "run"), ("b",))
    assert arrays(clicks=ready).clicks.video_index.tolist() == [1]


@pytest.mark.parametrize("subset", ["train", "test"])
def test_thumos14_sized_folder(shared, subset):
    found = load_folder(shared / "data/thumos14_sim", DataConfig(), subset)
    assert (len(found), len(found.annotations)) == {"train": (200, 3007), "test": (210, 3311)}[subset]
    assert found.labels.shape == (len(found), 20) and found.labels.any(1).all()
    batch = found.batch(torch.arange(16), 750, "stratified", torch.Generator().manual_seed(0))
    assert batch.features.shape == (16, 750, 128) and batch.features.isfinite().all()


def test_thumos14_with_human_clicks_and_true_durations(shared):
    clicks = shared / "data/thumos14/background_clicks/THUMOS14_Background-Click-Annotation_A3.txt"
    config = DataConfig(clicks=str(clicks), click_kinds="background", time_base="duration",
                        durations=str(shared / "data/thumos14/gt_backtal.json"))
    train = load_folder(shared / "data/thumos14_sim", config, "train")
    assert len(train.clicks) == 2344 and train.durations.max() > 1400
    clicked = (train.batch(torch.arange(200), 750, "uniform").clicks == 20).any(1)
    assert clicked.sum() == 199 and not clicked[train.video_ids.index("video_validation_0000947")]
    later = load_folder(shared / "data/thumos14_sim", config.model_copy(update={"time_base": "features"}), "train")
    assert len(later.clicks) == 2344


def test_the_device_of_the_data_set_is_the_device_of_its_batches():
    batch = arrays().to("meta").batch([1, 0], 5, "uniform")
    for name in ("features", "lengths", "labels", "durations", "raw_lengths", "frame_counts"):
        assert getattr(batch, name).device.type == "meta", name


@pytest.mark.parametrize("kind", ["stratified", "uniform", "uniform_keep_short", "linear"])
def test_batches_made_on_a_gpu_equal_those_made_on_the_cpu(kind):
    require("cuda", torch.cuda.is_available(), "no CUDA device")
    dataset = arrays(clicks={"a": [(0.1, "background")]})
    moved = dataset.to("cuda")
    train, held = moved.split_holdout(0.3, 0)
    assert len(train) + len(held) == 3
    here, there = (part.batch([2, 0, 1], 6, kind, torch.Generator().manual_seed(4)) for part in (dataset, moved))
    assert there.features.device.type == "cuda"
    for name in ("features", "lengths", "labels", "durations", "raw_lengths"):
        torch.testing.assert_close(getattr(there, name).cpu(), getattr(here, name), msg=name)
    if kind != "uniform_keep_short":
        assert torch.equal(there.clicks.cpu(), here.clicks)


def test_stitched_real_features(shared):
    """UCF101 clips joined to untrimmed sequences: real features, 10 action classes, 4 more as background."""
    folder = shared / "data/ucf101_vgg16_features"
    annotations = read_annotations(folder / "stitched_manifest.json")
    parts = json.loads((folder / "stitched_manifest.json").read_text())["database"]
    with np.load(folder / "ucf101_14class_vgg16relu6_pca256.npz") as archive:
        clips = dict(zip(archive["video"].tolist(), archive["features"], strict=True))
    for subset, videos, instances in (("train", 200, 492), ("test", 100, 240)):
        chosen = select_subset(annotations, subset)
        features = {video: np.concatenate([clips[clip][start:end] for clip, start, end in parts[video]["parts"]])
                    for video in chosen.video_ids}
        dataset = from_arrays(features, annotations=chosen, config=DataConfig(fps=1, snippet_stride=1))
        assert (len(dataset), len(dataset.annotations), dataset.feature_dim) == (videos, instances, 256)
        assert dataset.batch(range(16), 100, "linear").features.isfinite().all()
