"""The main job on real data: methods beat the baselines, and reach what a linear model does."""

from __future__ import annotations

import json

import numpy as np
import pytest

from wtal_fast.cli.main import run
from wtal_fast.engine.demo import METHODS, run_demo
from wtal_fast.files import read_json


def test_every_method_of_the_demo_doubles_the_better_baseline(tmp_path):
    rows = run_demo(tmp_path, show=False)
    floor = max(rows[name]["average_map"] for name in ("random segments, oracle labels", "whole stream, oracle labels"))
    assert floor > 0
    for method in METHODS:
        assert rows[method]["average_map"] >= 2 * floor, method
        assert read_json(tmp_path / method / "metrics.json") == rows[method]
        assert read_json(tmp_path / method / "detections.json")["results"]


def stitched(folder, target):
    """The stitched UCF101 sequences as a data folder: 200 + 100 videos of 256 channels, one snippet a second."""
    manifest = json.loads((folder / "stitched_manifest.json").read_text())
    stored = np.load(folder / "ucf101_14class_vgg16relu6_pca256.npz")
    clips, number = stored["features"], {name: index for index, name in enumerate(stored["video"].tolist())}
    database = {}
    for video, entry in manifest["database"].items():
        rows = np.concatenate([clips[number[clip]][first:end] for clip, first, end in entry["parts"]])
        path = target / "features" / entry["subset"] / f"{video}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, rows)
        database[video] = {key: entry[key] for key in ("subset", "duration", "annotations")}
    (target / "gt.json").write_text(json.dumps({"database": database}))
    return target


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_basnet_on_real_video_features(seed, shared, tmp_path):
    data = stitched(shared / "data/ucf101_vgg16_features", tmp_path / "data")
    settings = ["model.feature_dim=256", "model.hidden_dim=256", "data.snippet_stride=1", "data.fps=1",
                "data.num_snippets=200", "train.iterations=300", "train.weight_decay=5e-3", f"train.seed={seed}"]
    assert run(["train", "basnet/streams", "--data", str(data), "--output", str(tmp_path / "run"), *settings]) == 0
    metrics = read_json(tmp_path / "run/metrics.json")
    assert metrics["tiou"] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert metrics["average_map"] >= 0.80
