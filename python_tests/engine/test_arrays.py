"""Training and localization on arrays in memory."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import wtal_fast
from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.dataset import from_arrays
from wtal_fast.engine.infer import detect
from wtal_fast.errors import InputError
from wtal_fast.evaluation import read_detections

FAST = {"train": {"iterations": 60, "learning_rate": 1e-2}, "model": {"hidden_dim": 16, "filter_dim": 4}, "show": False}


@pytest.fixture(scope="module")
def videos():
    """12 videos of 90 snippets; snippets 20 to 39 of each show one of two actions."""
    random = np.random.default_rng(0)
    features = [random.normal(size=(90, 8)).astype(np.float32) for _ in range(12)]
    for number, video in enumerate(features):
        video[20:40, number % 2] += 4
    return features, [["wave"] if number % 2 else ["clap"] for number in range(12)]


def best(detections, video):
    rows = np.flatnonzero(detections.video_index == video)
    return rows[detections.scores[rows].argmax()]


def test_planted_actions_are_found(videos):
    features, labels = videos
    model = wtal_fast.train(features, labels, preset="basnet/streams", **FAST)
    assert model.class_names == ("clap", "wave")
    found = wtal_fast.localize(model, features, video_ids=[f"v{i}" for i in range(12)])
    assert found.video_ids[3] == "v3"
    for video in range(12):
        row = best(found, video)
        assert found.class_names[found.classes[row]] == labels[video][0]
        start, end = found.segments[row] / 0.64
        assert abs(start - 20) < 6 and abs(end - 40) < 6
    fewer = wtal_fast.localize(model, features, localization={"min_score": 0.5})
    assert 0 < len(fewer) < len(found)


def test_clicks_reach_the_loss_and_are_asked_for(videos):
    features, labels = videos
    clicks = [[(5.0, "background"), (18.0, labels[i][0])] for i in range(12)]
    settings = {**FAST, "train": {"iterations": 2}}
    wtal_fast.train(features, labels, clicks=clicks, preset="backtal/streams", **settings)
    with pytest.raises(InputError, match="data.clicks"):
        wtal_fast.train(features, labels, preset="backtal/streams", **settings)
    with pytest.raises(InputError, match=r"video_2.*900"):
        wtal_fast.train(features, labels, clicks=[*clicks[:2], [(900.0, "background")], *clicks[3:]],
                        preset="backtal/streams", **settings)


def test_wrong_arrays_are_refused(videos):
    features, labels = videos
    with pytest.raises(InputError, match="labels"):
        wtal_fast.train(features, labels[:-1], **FAST)
    with pytest.raises(InputError, match="unknown|known"):
        wtal_fast.train(features, labels, preset="basnet/streams", train={"iteration": 3})
    model = wtal_fast.train(features, labels, preset="basnet/streams", **{**FAST, "train": {"iterations": 1}})
    with pytest.raises(InputError, match="model.feature_dim=8"):
        wtal_fast.localize(model, [features[0][:, :4]])


@pytest.fixture(scope="module")
def untrained(videos):
    return wtal_fast.train(*videos, preset="basnet/streams", **{**FAST, "train": {"iterations": 1}})


def test_features_come_as_lists_by_id_tensors_or_one_array(videos, untrained):
    features, labels = videos
    ids = [f"v{number}" for number in range(12)]
    settings = {**FAST, "train": {"iterations": 1}}
    expected = wtal_fast.localize(untrained, features, video_ids=ids)
    for given, given_labels in (([video.tolist() for video in features], labels),
                                (dict(zip(ids, features, strict=True)), dict(zip(ids, labels, strict=True))),
                                (torch.from_numpy(np.stack(features)), np.eye(2)[[0, 1] * 6])):
        names = {} if isinstance(given, dict) else {"video_ids": ids}
        model = wtal_fast.train(given, given_labels, class_names=("clap", "wave"), preset="basnet/streams", **settings)
        found = wtal_fast.localize(model, given, **names)
        assert found.video_ids == tuple(ids) and model.config.model["feature_dim"] == 8
        np.testing.assert_array_equal(found.segments, expected.segments)
        np.testing.assert_array_equal(found.scores, expected.scores)


@pytest.mark.parametrize("features, labels, expected", [
    ([], [], "at least one video"),
    ({}, {}, "at least one video"),
    (None, [["a"]], "features.*NoneType"),
    ([np.zeros(8)], [["a"]], r"snippets, channels.*\[8\]"),
    ([[[1.0, 2.0], [3.0]]], [["a"]], "video 0.*equal length"),
    ([np.zeros((9, 8))], [[]], "at least one class"),
    ([np.zeros((9, 8))], np.zeros((1, 3)), "at least one class"),
    ([np.zeros((9, 8))], None, "labels"),
    ([np.zeros((9, 8))], [3], "labels.*video 0.*3"),
    ([np.zeros((9, 8))], [["a", 1]], "labels.*video 0"),
    ({1: np.zeros((9, 8))}, {1: ["a"]}, "video_ids"),
])
def test_training_names_what_is_wrong(features, labels, expected):
    with pytest.raises(InputError, match=expected):
        wtal_fast.train(features, labels, **FAST)


def test_localization_names_what_is_wrong(videos, untrained):
    features = videos[0][:2]
    for wrong, expected in (([], "at least one video"), ([features[0][0]], "snippets, channels")):
        with pytest.raises(InputError, match=expected):
            wtal_fast.localize(untrained, wrong)
    with pytest.raises(InputError, match="video 'a'.*2 times"):
        wtal_fast.localize(untrained, features, video_ids=["a", "a"])
    with pytest.raises(InputError, match="one array for each of 3"):
        wtal_fast.localize(untrained, features, video_ids=["a", "b", "c"])


@pytest.mark.parametrize("device", ["tpu", pytest.param("cuda", marks=pytest.mark.skipif(
    torch.cuda.is_available(), reason="needs a machine without CUDA"))])
def test_a_device_that_is_not_there_is_refused(device, videos, untrained):
    with pytest.raises(InputError, match="device"):
        wtal_fast.train(*videos, device=device, **FAST)
    with pytest.raises(InputError, match="device"):
        wtal_fast.localize(untrained, videos[0], device=device)


def test_localization_changes_no_setting_of_the_weights(videos, untrained):
    for settings, key in (({"model": {"hidden_dim": 8}}, "model.hidden_dim"), ({"train": {"seed": 1}}, "train.seed"),
                          ({"loss": {}, "evaluation": {"tiou": 0.5}}, "evaluation.tiou"), ({"seed": 1}, "seed")):
        with pytest.raises(InputError, match=f"setting {key} .*train.precision"):
            wtal_fast.localize(untrained, videos[0], **settings)
    with pytest.raises(InputError, match="data.class_names.*clap, wave"):
        wtal_fast.localize(untrained, videos[0], **{"data.class_names": ["wave", "clap"]})
    assert len(wtal_fast.localize(untrained, videos[0][:1], train={"precision": "bf16"}).video_ids) == 1


def test_the_presets_choice_of_clicks_stays(videos):
    features, labels = videos
    clicks = [[(5.0, "background"), (18.0, labels[i][0])] for i in range(12)]
    settings = {**FAST, "train": {"iterations": 1}}
    for preset, kinds in (("backtal/streams/official", "background"), ("basnet/streams", "both")):
        assert wtal_fast.train(features, labels, clicks, preset, **settings).config.data.click_kinds == kinds
    model = wtal_fast.train(features, labels, clicks, "basnet/streams", data={"click_kinds": "action"}, **settings)
    assert model.config.data.click_kinds == "action"


def test_a_saved_model_comes_back_whole(videos, tmp_path):
    features, labels = videos
    model = wtal_fast.train(features, labels, preset="basnet/streams", class_names=("wave", "clap"),
                            **{**FAST, "train": {"iterations": 3}})
    wtal_fast.save_checkpoint(model, tmp_path / "new/model.safetensors")
    loaded = wtal_fast.load_checkpoint(tmp_path / "new/model.safetensors")
    assert loaded.class_names == ("wave", "clap") and loaded.step == 3 and loaded.config == model.config
    found, expected = wtal_fast.localize(loaded, features), wtal_fast.localize(model, features)
    np.testing.assert_array_equal(found.scores, expected.scores)
    np.testing.assert_array_equal(found.classes, expected.classes)
    with pytest.raises(InputError, match="safetensors"):
        wtal_fast.save_checkpoint(model, tmp_path / "model.pt")
    with pytest.raises(InputError, match="a folder"):
        wtal_fast.save_checkpoint(model, tmp_path)


TRUTH = {"database": {"v": {"subset": "test", "annotations": [{"segment": [0, 10], "label": "run"}]}}}
RESULT = {"results": {"v": [{"label": "run", "score": 0.5, "segment": [0, 8]}]}}


def test_evaluate_takes_files_parsed_json_and_objects(tmp_path):
    (tmp_path / "gt.json").write_text(json.dumps(TRUTH))
    (tmp_path / "found.json").write_text(json.dumps(RESULT))
    truths = (TRUTH, tmp_path / "gt.json", str(tmp_path / "gt.json"), read_annotations(TRUTH))
    for truth, found in zip(truths, (RESULT, tmp_path / "found.json", read_detections(RESULT), RESULT), strict=True):
        for tiou, expected in ((0.5, (1.0,)), ("0.5", (1.0,)), ([0.8, 0.9], (1.0, 0.0)), (np.float64(0.9), (0.0,))):
            assert wtal_fast.evaluate(truth, found, tiou=tiou).map == expected
    with pytest.raises(InputError, match="ground truth.*detections"):
        wtal_fast.evaluate(RESULT, RESULT)
    with pytest.raises(InputError, match="detections.*ground truth"):
        wtal_fast.evaluate(TRUTH, TRUTH)
    with pytest.raises(InputError, match="ground_truth.*list"):
        wtal_fast.evaluate([], RESULT)
    for tiou in (None, "abc", {}, float("nan")):
        with pytest.raises(InputError, match="tiou"):
            wtal_fast.evaluate(TRUTH, RESULT, tiou=tiou)


def test_the_readme_block_runs_as_it_stands(tmp_path):
    root = Path(__file__).parents[2]
    block, = re.findall(r"```python\n(.*?)```", (root / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    result = subprocess.run([sys.executable, "-c", block], cwd=tmp_path, capture_output=True, text=True,
                            env={**os.environ, "PYTHONPATH": str(root)})
    assert result.returncode == 0, result.stderr
    assert re.search(r"clap \[\S+ +\S+\] 0\.\d+", result.stdout), result.stdout


def test_detections_begin_where_the_first_snippet_does(videos):
    """starts of a data set move every detection of its video, and nothing else."""
    features, labels = videos
    model = wtal_fast.train(features, labels, preset="basnet/streams", **FAST)
    dataset = from_arrays(features, None, class_names=model.class_names, config=model.config.data)
    starts = torch.arange(12, dtype=torch.float64) / 4
    found, moved = (detect(model.model, one, model.config) for one in (dataset, replace(dataset, starts=starts)))
    assert len(found) and np.array_equal(found.scores, moved.scores)
    np.testing.assert_allclose(moved.segments, found.segments + starts.numpy()[found.video_index, None])
