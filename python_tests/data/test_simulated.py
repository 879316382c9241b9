"""Simulated features: repeatable, and as informative as they claim to be."""

import numpy as np
import torch

from wtal_fast.config import DataConfig
from wtal_fast.data.simulated import simulate_features


def test_shape_and_truth_of_the_simulation():
    found = simulate_features(40, 6, 32, mean_length=100, seed=1)
    assert len(found) == 40 and found.feature_dim == 32 and found.labels.shape == (40, 6)
    assert 60 < found.raw_lengths.double().mean() < 150 and found.raw_lengths.min() >= 8
    truth = found.annotations
    assert (truth.segments[:, 1] > truth.segments[:, 0]).all()
    assert (truth.segments[:, 1] <= found.durations.numpy()[truth.video_index]).all()
    same = truth.video_index[1:] == truth.video_index[:-1]
    assert (truth.segments[1:, 0] >= truth.segments[:-1, 1])[same].all()
    assert found.labels.sum(1).min() >= 1 and found.labels.sum(1).max() <= 2 and (found.labels.sum(0) > 0).all()


def test_instances_point_along_their_class():
    """Without context the mean snippet of an instance, less the mean outside, is the class's prototype."""
    found = simulate_features(30, 3, 64, mean_length=200, seed=2, context=0.0, contrast=5.0, extra_label=0.0)
    differences, counts = torch.zeros(3, 64), torch.zeros(3)
    for video in range(30):  # video v has class v % 3
        values, inside = found.features.video(video), torch.zeros(int(found.raw_lengths[video]), dtype=bool)
        for start, end in found.annotations.segments[found.annotations.video_index == video] / 0.64:
            inside[round(start) : round(end)] = True
        differences[video % 3] += inside.sum() * (values[inside].mean(0) - values[~inside].mean(0))
        counts[video % 3] += inside.sum()
    differences /= counts[:, None]
    lengths = differences.norm(dim=1)
    assert ((lengths > 4.8) & (lengths < 5.4)).all()
    directions = differences / lengths[:, None]
    assert ((directions @ directions.T).fill_diagonal_(0).abs() < 0.5).all()


def test_equal_arguments_give_equal_data_and_subsets_share_classes():
    first, second, test = (simulate_features(6, 3, 64, 50, 7, subset=subset) for subset in ("train", "train", "test"))
    assert torch.equal(first.features.values, second.features.values)
    np.testing.assert_array_equal(first.annotations.segments, second.annotations.segments)
    assert test.class_names == first.class_names and test.video_ids[0] == "simulated_test_00000"
    assert not torch.equal(test.features.video(0)[:8], first.features.video(0)[:8])
    assert not torch.equal(simulate_features(6, 3, 64, 50, 8).features.values[:8], first.features.values[:8])


def test_clicks_and_time_base_follow_the_settings():
    config = DataConfig(fps=10, snippet_stride=5, clicks="simulated", click_kinds="action")
    found = simulate_features(4, 2, 8, 30, config=config)
    assert torch.equal(found.durations, found.raw_lengths * 0.5)
    assert len(found.clicks) == len(found.annotations) and not found.clicks.is_background.any()
    assert simulate_features(4, 2, 8, 30, subset="test", config=config).clicks is None


def test_one_class_and_short_videos():
    found = simulate_features(3, 1, 4, mean_length=1)
    assert found.raw_lengths.tolist() == [8, 8, 8] and (found.labels == 1).all()
