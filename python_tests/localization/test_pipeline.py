"""localize step by step: hand tables, batches against single videos, bad input."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from wtal_fast.config import LocalizationConfig
from wtal_fast.localization import localize
from wtal_fast.localization.scoring import class_probabilities, kept_classes
from wtal_fast.structures import CASOutput, FeatureBatch, join_detections

NAMES = ("jump", "run", "swim")
PLAIN = LocalizationConfig(normalize="none", upsample="none", thresholds=(0.5,), class_weight=0.0, outer_ratio=0.0)
FIELDS = ("segments", "scores", "classes", "video_index")


def one_video(rows, logits=(9.0, 0.0, 0.0), duration=None, **fields):
    """CASOutput and batch of one video; rows: the CAS of each class."""
    cas = torch.tensor(rows, dtype=torch.float32).T[None]
    batch = FeatureBatch(features=cas, lengths=torch.tensor([cas.shape[1]]), video_ids=("v",),
                         durations=torch.tensor([float(duration or cas.shape[1])], dtype=torch.float64))
    return CASOutput(cas_logits=cas, video_logits=torch.tensor([logits]), **fields), batch


def random_batch(videos=5, snippets=40, background=True, seed=0):
    draw = torch.Generator().manual_seed(seed)
    width = len(NAMES) + background
    lengths = torch.randint(1, snippets + 1, (videos,), generator=draw)
    output = CASOutput(cas_logits=torch.randn(videos, snippets, width, generator=draw),
                       video_logits=torch.randn(videos, width, generator=draw),
                       magnitude=torch.rand(videos, snippets, generator=draw) * 90)
    batch = FeatureBatch(features=output.cas_logits, lengths=lengths, durations=lengths * 0.64,
                         video_ids=tuple(f"v{i}" for i in range(videos)), frame_counts=lengths * 7)
    return output, batch


def take(output, batch, index):
    def part(item):
        picked = {name: value[index] for name, value in vars(item).items() if isinstance(value, torch.Tensor)}
        return dataclasses.replace(item, **picked)

    return part(output), dataclasses.replace(part(batch), video_ids=tuple(batch.video_ids[i] for i in index))


SETTINGS = {
    "basnet": LocalizationConfig(upsample_factor=4),
    "um": LocalizationConfig(cas="softmax", gate="mean_act_bkg", normalize="relu_clip", magnitude_thresholds=(0.4, 0.5),
                             class_fallback="argmax", min_run=2, upsample_factor=4),
    "um_paper": LocalizationConfig(cas="softmax", gate="bounded", normalize="none", upsample_factor=4),
    "backtal": LocalizationConfig(upsample="half_pixel", magnitude_source="minmax", magnitude_thresholds=(0.3, 0.6),
                                  outer_closed=False, shrink=0.02, whole_video_score=0.6),
    "soft": LocalizationConfig(upsample="none", nms="soft_gaussian"),
}


def test_one_run_by_hand():
    output, batch = one_video([[0.1, 0.9, 0.7, 0.1], [1.0] * 4, [1.0] * 4], duration=8)
    found = localize(output, batch, PLAIN, NAMES)
    assert found.segments.tolist() == [[2.0, 6.0]]
    assert found.scores.tolist() == [pytest.approx(0.8)]
    assert found.classes.tolist() == [0] and found.video_ids == ("v",) and found.class_names == NAMES
    assert [getattr(found, name).dtype for name in FIELDS] == [np.float64, np.float64, np.int64, np.int64]


@pytest.mark.parametrize("name", SETTINGS)
def test_a_batch_equals_its_videos_one_by_one(name):
    output, batch = random_batch()
    together = localize(output, batch, SETTINGS[name], NAMES)
    apart = join_detections([localize(*take(output, batch, [i]), SETTINGS[name], NAMES) for i in range(5)])
    assert len(together) > 5
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(together, field), getattr(apart, field))


@pytest.mark.parametrize("name", SETTINGS)
def test_detections_are_ordered_and_inside_the_video(name):
    output, batch = random_batch(seed=1)
    found = localize(output, batch, SETTINGS[name], NAMES)
    order = np.lexsort((-found.scores, found.classes, found.video_index))
    np.testing.assert_array_equal(order, np.arange(len(found)))
    assert (found.segments[:, 0] >= 0).all() and (found.segments[:, 0] < found.segments[:, 1]).all()
    assert (found.segments[:, 1] <= batch.durations.numpy()[found.video_index]).all()


def test_background_is_in_the_softmax_and_never_kept():
    logits = torch.tensor([[1.0, 0.0, -1.0, 9.0]])
    torch.testing.assert_close(class_probabilities(logits, 3), logits.softmax(1)[:, :3].double())
    torch.testing.assert_close(class_probabilities(logits[:, :3], 3), logits[:, :3].softmax(1).double())


PROBABILITIES = torch.tensor([[0.7, 0.1], [0.3, 0.6], [0.1, 0.2], [0.2, 0.2]], dtype=torch.float64)


@pytest.mark.parametrize("settings, expected", [
    ({"class_threshold": 0.3}, [[1, 0], [1, 1], [0, 0], [0, 0]]),
    ({"class_threshold": 0.3, "class_fallback": "argmax"}, [[1, 0], [1, 1], [0, 1], [1, 0]]),
    ({"class_threshold": 0.3, "skip_index0_only": True}, [[0, 0], [1, 1], [0, 0], [0, 0]]),
])
def test_kept_classes(settings, expected):
    assert kept_classes(PROBABILITIES, LocalizationConfig(**settings)).int().tolist() == expected


def test_class_term_and_weight():
    output, batch = one_video([[0.9, 0.1, 0.1]] * 3, logits=(0.0, -50.0, -50.0))
    scored = PLAIN.model_copy(update={"class_weight": 0.2, "class_threshold": 0.5, "skip_run_at_zero": False})
    assert localize(output, batch, scored, NAMES).scores.tolist() == [pytest.approx(1.1)]
    half = dataclasses.replace(output, video_logits=torch.tensor([[0.0, 0.0, -50.0]]))
    assert localize(half, batch, scored, NAMES).scores.tolist() == [pytest.approx(1.0)] * 2
    ones = scored.model_copy(update={"class_term": "one"})
    assert localize(half, batch, ones, NAMES).scores.tolist() == [pytest.approx(1.1)] * 2


def test_whole_video_and_shrink():
    output, batch = one_video([[0.1, 0.9, 0.9, 0.1], [0.0] * 4, [0.0] * 4], duration=40)
    settings = PLAIN.model_copy(update={"whole_video_score": 0.6, "shrink": 0.1, "class_threshold": 0.0})
    found = localize(output, batch, settings, NAMES)  # the other classes have no proposal and get no whole video
    assert found.segments.tolist() == [[12.0, 28.0], [0.0, 40.0]]
    assert found.scores.tolist() == [pytest.approx(0.9), 0.6] and found.classes.tolist() == [0, 0]


SHORT, LONG = ([2.0, 3.0], 0.9), ([1.0, 5.0], 0.675)  # tIoU 1/4; the long one is found at two thresholds


@pytest.mark.parametrize("settings, expected", [
    ({"nms": "none"}, [SHORT, LONG, LONG]),
    ({"nms": "hard"}, [SHORT, LONG]),
    ({"nms": "hard", "nms_threshold": 0.25}, [SHORT]),
    ({"nms": "hard", "min_score": 0.7}, [SHORT]),
    ({"nms": "soft_linear"}, [SHORT, LONG]),  # 1 - tIoU of the second long one is 0
    ({"nms": "soft_linear", "nms_threshold": 0.25}, [SHORT, ([1.0, 5.0], 0.675 * 0.75)]),
    ({"nms": "soft_linear", "nms_threshold": 0.25, "min_score": 0.6}, [SHORT]),
    ({"nms": "soft_gaussian", "min_score": 0.5}, [SHORT, ([1.0, 5.0], 0.675 * math.exp(-1 / 8))]),
])
def test_suppression(settings, expected):
    output, batch = one_video([[0.0, 0.6, 0.9, 0.6, 0.6, 0.0], [0.0] * 6, [0.0] * 6])
    config = PLAIN.model_copy(update={"thresholds": (0.5, 0.8, 0.3), "nms_threshold": 0.9} | settings)
    found = localize(output, batch, config, NAMES)
    assert found.segments.tolist() == [segment for segment, _ in expected]
    assert found.scores.tolist() == pytest.approx([score for _, score in expected])


@pytest.mark.parametrize("rows, logits, threshold", [
    ([[0.1] * 4] * 3, (9.0, 0.0, 0.0), 0.25),  # nothing above the threshold
    ([[0.9] * 4] * 3, (0.0, 0.0, 0.0), 0.9),  # no class kept
])
def test_no_detections(rows, logits, threshold):
    output, batch = one_video(rows, logits)
    found = localize(output, batch, PLAIN.model_copy(update={"class_threshold": threshold}), NAMES)
    assert len(found) == 0 and found.segments.shape == (0, 2) and found.video_ids == ("v",)


def test_no_videos():
    output, batch = random_batch()
    found = localize(*take(output, batch, []), SETTINGS["backtal"], NAMES)
    assert len(found) == 0 and found.video_ids == ()


def test_one_snippet():
    output, batch = one_video([[0.9]] * 3, duration=0.64)
    settings = LocalizationConfig(normalize="none", thresholds=(0.5,), upsample_factor=24)
    assert localize(output, batch, settings, NAMES).segments.tolist() == [[0.0, 0.64]]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes(dtype):
    output, batch = random_batch()
    moved = CASOutput(output.cas_logits.to(dtype), output.video_logits.to(dtype), magnitude=output.magnitude.to(dtype))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    same = CASOutput(*(t.to(wide) for t in (moved.cas_logits, moved.video_logits)), magnitude=moved.magnitude.to(wide))
    for field in FIELDS:
        np.testing.assert_array_equal(getattr(localize(moved, batch, SETTINGS["um"], NAMES), field),
                                      getattr(localize(same, batch, SETTINGS["um"], NAMES), field))


@pytest.mark.parametrize("change, settings, words", [
    ({"cas_logits": torch.zeros(1, 4, 6)}, {}, r"cas_logits must be \[B, T, 3\] or \[B, T, 4\] .* got \[1, 4, 6\]"),
    ({"video_logits": torch.zeros(1, 2)}, {}, r"video_logits must be \[B, 3\] or \[B, 4\] .* got \[1, 2\]"),
    ({"cas_logits": torch.full((1, 4, 3), float("nan"))}, {}, "output.cas_logits must be finite"),
    ({"video_logits": torch.full((1, 3), float("inf"))}, {}, "output.video_logits must be finite"),
    ({}, {"gate": "minmax"}, "need output.magnitude, got None"),
    ({"magnitude": torch.ones(1, 4)}, {"magnitude_thresholds": (0.5,)}, "needs a gate, got gate='none'"),
    ({}, {"upsample": "half_pixel"}, "needs batch.frame_counts, got None"),
])
def test_refusals(change, settings, words):
    output, batch = one_video([[0.9] * 4] * 3)
    with pytest.raises(ValueError, match=words):
        localize(dataclasses.replace(output, **change), batch, PLAIN.model_copy(update=settings), NAMES)


@pytest.mark.parametrize("change, words", [({"durations": None}, "durations must give"),
                                           ({"lengths": torch.tensor([0])}, "at least one snippet")])
def test_refused_batches(change, words):
    output, batch = one_video([[0.9] * 4] * 3)
    with pytest.raises(ValueError, match=words):
        localize(output, dataclasses.replace(batch, **change), PLAIN, NAMES)
