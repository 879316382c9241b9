"""The presets of every public data set train on a tiny set of that kind, in a layout its users have."""

import json

import numpy as np
import pytest

from wtal_fast.data.conversion import Conversion, convert_folder
from wtal_fast.engine.experiment import train_folder
from wtal_fast.engine.methods import configure

IDS = {
    "thumos14": [f"video_validation_{number:07d}" for number in (51, 52, 53, 54)] + ["video_test_0000004"],
    "activitynet12": [f"v_video-{number:05d}" for number in range(5)],
    "activitynet13": [f"video-{number:05d}" for number in range(5)],
    "hacs": [f"video_{number:05d}" for number in range(5)],
    "beoid": ["00_Desk1", "00_Desk2", "00_Door1", "00_Door2", "01_Desk1"],
    "gtea": ["S1_Cheese_C1", "S1_Coffee_C1", "S2_Tea_C1", "S3_Pealate_C1", "S4_Hotdog_C1"],
}
CLASSES = {"thumos14": ("Diving", "HighJump"), "beoid": ("put_cup", "take_cup"), "gtea": ("put", "take")}
LAYOUTS = {"thumos14": "opentad", "activitynet12": "backtal", "activitynet13": "actionformer", "hacs": "packed",
           "beoid": "wtalc", "gtea": "wtalc"}
NARROW = {"model.feature_dim": 6, "model.hidden_dim": 8, "data.num_snippets": 16, "train.iterations": 2,
          "train.batch_size": 4}
NARROW_OF = {"basnet": {"model.filter_dim": 4}, "uncertainty": {},
             "backtal": {"model.filter_dim": 4, "model.embedding_hidden_dim": 4, "model.embedding_dim": 4,
                         "data.clicks": "simulated"}}


def write(root, dataset):
    """Four training videos and a test video, RGB and flow of 3 channels, in the layout of that data set's users."""
    random, database = np.random.default_rng(0), {}
    names = ("train", "test") if dataset == "thumos14" else ("training", "validation")
    for number, video in enumerate(IDS[dataset]):
        part, length = names[number == 4], 12 + number
        for stream in ("rgb", "flow"):
            path = root / "source/features" / part / stream / f"{video}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, random.normal(size=(length, 3)).astype(np.float32))
        label = CLASSES.get(dataset, ("Archery", "Ballet"))[number % 2]
        database[video] = {"subset": part, "duration": length * 0.64, "fps": 30,
                           "annotations": [{"segment": [1.0, 3.5], "label": label}]}
    (root / "source/gt.json").write_text(json.dumps({"database": database}))
    snippets = 16 if LAYOUTS[dataset] == "backtal" else None
    convert_folder(root / "source", root / "data", Conversion(LAYOUTS[dataset], snippets, drop_missing=True))
    return root / "data"


@pytest.mark.parametrize("method", sorted(NARROW_OF))
@pytest.mark.parametrize("dataset", sorted(IDS))
@pytest.mark.filterwarnings("ignore:.*differ by more than two snippets", "ignore:ignored .* without ground truth")
def test_presets_train(tmp_path, dataset, method):
    metrics = train_folder(f"{method}/{dataset}/recommended", write(tmp_path, dataset), tmp_path / "run",
                           NARROW | NARROW_OF[method], show=False)
    assert metrics["num_videos"] == 1 and metrics["num_instances"] == 1
    wanted = configure(f"{method}/{dataset}/recommended").evaluation.tiou
    assert np.allclose(metrics["tiou"], wanted) and np.isfinite(metrics["average_map"])


@pytest.mark.parametrize("dataset", ["activitynet12", "activitynet13", "hacs"])
@pytest.mark.parametrize("method", sorted(NARROW_OF))
def test_the_class_loss_of_many_classes_does_not_shrink_with_their_number(method, dataset):
    assert configure(f"{method}/{dataset}/recommended").loss["class_loss"] == "ce"
