"""From raw files of one's own to a trained model, by the commands of the README."""

import json

import numpy as np
import pytest

from wtal_fast.cli.main import run

FPS, STRIDE = 10, 5  # half a second a snippet


def raw_files(root):
    """Twelve videos of one or two actions in noise, as someone's feature extractor and spreadsheet left them."""
    random = np.random.default_rng(0)
    rows = ["file,action,start,end"]
    for number in range(12):
        length = 40 + 3 * number
        features = random.normal(size=(length, 24)).astype(np.float32)
        for action, start in ((number % 2, 6), ((number // 2) % 2, length - 14)):
            features[start : start + 8, action] += 5
            label = ("sawing", "drilling")[action]
            rows.append(f"clip_{number:02d}.mp4,{label},{start * STRIDE / FPS},{(start + 8) * STRIDE / FPS}")
        (root / "clips").mkdir(exist_ok=True)
        np.save(root / f"clips/clip_{number:02d}.npy", features)
    (root / "labels.csv").write_text("\n".join(rows) + "\n")
    lines = ("features: clips", "labels: labels.csv", f"fps: {FPS}", f"stride: {STRIDE}", "test: 0.25")
    (root / "dataset.yaml").write_text("\n".join(lines) + "\n")
    return root


@pytest.mark.parametrize("method", ["basnet", "uncertainty", "backtal"])
def test_three_commands(tmp_path, capsys, method):
    data, found = raw_files(tmp_path), tmp_path / "found.json"
    assert run(["check", str(data)]) == 0
    assert "layout own" in capsys.readouterr().out
    extra = ["data.clicks=simulated"] if method == "backtal" else []
    quick = ["train.iterations=60", "model.hidden_dim=32", *extra]
    assert run(["train", f"{method}/own", "--data", str(data), "--output", str(tmp_path / "run"), *quick]) == 0
    words = ["--data", str(data), "--subset", "test", "--output", str(found)]
    assert run(["localize", str(tmp_path / "run"), *words]) == 0
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert (metrics["num_videos"], metrics["num_instances"]) == (3, 6)
    assert metrics["map"][0] > 0.5  # at tIoU 0.1; one segment in the middle of each video scores below 0.2
    best = {video: max(rows, key=lambda row: row["score"]) for video, rows in
            json.loads(found.read_text())["results"].items()}
    assert len(best) == 3 and all(row["label"] in ("sawing", "drilling") for row in best.values())


def test_what_the_description_says_may_be_overridden(tmp_path):
    data = raw_files(tmp_path)
    quick = ["train.iterations=1", "model.hidden_dim=8", "data.fps=20"]
    assert run(["train", "basnet/own", "--data", str(data), "--output", str(tmp_path / "run"), *quick]) == 0
    text = (tmp_path / "run/config.yaml").read_text()
    assert "fps: 20" in text and "snippet_stride: 5" in text and "feature_dim: 24" in text


def test_own_data_train_from_packed_shards_too(tmp_path):
    data = raw_files(tmp_path)
    assert run(["convert", str(data), "--output", str(tmp_path / "pack")]) == 0
    quick = ["train.iterations=2", "model.hidden_dim=8", "data.resident=mapped"]
    results = []
    for name in (data, tmp_path / "pack"):
        output = tmp_path / f"run-{name.name}"
        assert run(["train", "basnet/own", "--data", str(name), "--output", str(output), *quick]) == 0
        rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
        results.append([row["total"] for row in rows if "total" in row])
    assert results[0] == results[1]
