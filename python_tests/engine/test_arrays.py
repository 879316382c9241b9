"""Training and localization on arrays in memory."""

from __future__ import annotations

import numpy as np
import pytest

import wtal_fast
from wtal_fast.errors import InputError

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
