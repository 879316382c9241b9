"""Videos of one training set with different supervision: labels only, action clicks, background clicks, or both."""

import json

import numpy as np
import pytest

from python_tests.engine import tiny
from wtal_fast.config import DataConfig
from wtal_fast.data.loading import load_folder
from wtal_fast.engine.experiment import train_folder


@pytest.fixture
def folder(tmp_path):
    """Training videos 0 and 1: labels only; 2 and 3: background clicks; 4: an action click; 5: that and no label."""
    root = tiny.write_folder(tmp_path / "data")
    content = json.loads((root / "gt.json").read_text())
    content["database"]["video_train_5"]["annotations"] = []
    (root / "gt.json").write_text(json.dumps(content))
    rows = ["video_train_2,0.5,background", "video_train_3,0.7,background", "video_train_4,3.9,Jump",
            "video_train_5,3.9,Throw"]
    (root / "clicks.txt").write_text("\n".join(rows) + "\n")
    return root


def test_what_reaches_the_loss(folder):
    config = DataConfig(clicks="clicks.txt", click_kinds="both")
    dataset = load_folder(folder, config, "train")
    batch = dataset.batch(range(6), 16, "uniform")
    found = [sorted(set(row[row >= 0].tolist())) for row in batch.clicks]
    assert found == [[], [], [2], [2], [0], [1]]
    assert batch.labels.tolist() == [[1, 0], [0, 1]] * 2 + [[1, 0], [0, 1]]  # the last one by its click alone


@pytest.mark.parametrize("kinds", ["both", "background", "action"])
@pytest.mark.filterwarnings("ignore:.*training videos have no label")
def test_training_with_it(folder, tmp_path, kinds):
    settings = tiny.overrides("backtal", train__iterations=6) | {"data.clicks": "clicks.txt", "data.click_kinds": kinds}
    train_folder("backtal/thumos14/recommended", folder, tmp_path / "run", settings, show=False)
    rows = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    frames = [row["frame"] for row in rows if "frame" in row]
    assert len(frames) == 6 and np.isfinite(frames).all() and max(frames) > 0
