"""localize against the detections of the released post-processing: toy vectors and 30 THUMOS'14 videos."""

import json

import numpy as np
import pytest
import torch

from python_tests.localization import released
from python_tests.tolerances import RELEASED_DETECTIONS
from wtal_fast.localization import localize
from wtal_fast.structures import CASOutput


@pytest.fixture(scope="module")
def toy(shared):
    return json.loads((shared / "golden/toy_vectors.json").read_text())


def by_class(detections):
    return {label: rows for (_, label), rows in released.table(detections).items()}


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for key, rows in expected.items():
        np.testing.assert_allclose(found[key], rows, **RELEASED_DETECTIONS)


def of_kept(kept):
    """Rows [class, score, start, end] of the toy vectors as (start, end, score)."""
    return {label: np.asarray(rows)[:, [2, 3, 1]] for label, rows in kept.items()}


def of_results(results):
    labels = {row["label"] for row in results}
    return {label: np.asarray([[*row["segment"], row["score"]] for row in results if row["label"] == label])
            for label in labels}


CLASS_LOGITS = torch.tensor([[0.5, 0.1, 0.4]], dtype=torch.float64).log()


@pytest.mark.parametrize("method", ["basnet", "um", "backtal"])
def test_recorded_videos(shared, method):
    output, videos, settings, class_names = released.recorded(shared / "golden", method)
    found = released.table(localize(output, videos, settings, class_names))
    assert_same(found, released.released_table(shared / f"golden/official/loc_{method}_official.json"))


def test_recorded_videos_in_parts_and_beside_longer_ones(shared):
    output, videos, settings, class_names = released.recorded(shared / "golden", "um")
    whole = localize(output, videos, settings, class_names)
    padded = torch.cat([output.cas_logits, torch.full((30, 40, 20), 50.0)], dim=1)  # what lies after lengths is ignored
    magnitude = torch.cat([output.magnitude, torch.full((30, 40), float("nan"))], dim=1)
    again = localize(CASOutput(padded, output.video_logits, magnitude=magnitude), videos, settings, class_names)
    for name in ("segments", "scores", "classes", "video_index"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))


def test_toy_basnet(toy):
    cas = released.wave((1, 12, 4), 0.83, 0.4, 2.0)
    logits = torch.tensor([[0.0, -30.0, 0.0, -30.0]])  # classes 0 and 2
    videos, names = released.batch(cas, [30 * released.SECONDS_PER_SNIPPET]), ("0", "1", "2")
    output = CASOutput(cas_logits=cas, video_logits=logits)
    assert_same(by_class(localize(output, videos, released.BASNET, names)), of_kept(toy["post_basnet"]["kept"]))
    unsuppressed = localize(output, videos, released.BASNET.model_copy(update={"nms": "none"}), names)
    assert {str(c): int((unsuppressed.classes == c).sum()) for c in (0, 2)} == toy["post_basnet"]["n_raw"]


def test_toy_um(toy):
    cas, magnitude = released.wave((1, 12, 3), 0.83, 0.4, 2.0), 50 * released.wave((1, 12), 1.1, 0.2).abs() + 5
    settings = released.UM.model_copy(update={"gate_action_divisor": 3})
    videos, names = released.batch(cas, [30 * released.SECONDS_PER_SNIPPET]), ("0", "1", "2")
    output = CASOutput(cas_logits=cas, video_logits=CLASS_LOGITS, magnitude=magnitude)
    assert_same(by_class(localize(output, videos, settings, names)), of_kept(toy["post_um"]["kept"]))
    unsuppressed = localize(output, videos, settings.model_copy(update={"nms": "none"}), names)
    assert {str(c): int((unsuppressed.classes == c).sum()) for c in (0, 2)} == toy["post_um"]["n_raw"]


@pytest.mark.parametrize("entry, settings", [
    ("post_backtal_thumos", released.BACKTAL_THUMOS),
    ("post_backtal_anet", released.BACKTAL_ACTIVITYNET.model_copy(update={"class_threshold": 0.09})),  # 0.1: the edge
])
def test_toy_backtal(toy, entry, settings):
    cas = released.wave((1, 4, 12), 0.83, 0.4, 2.0).transpose(1, 2).float()
    magnitude = released.wave((1, 5, 12), 1.1, 0.2).float().norm(dim=1)
    videos = released.batch(cas, [20.0], frame_counts=torch.tensor([50]))
    output = CASOutput(cas_logits=cas, video_logits=CLASS_LOGITS, magnitude=magnitude)
    assert_same(by_class(localize(output, videos, settings, ("a", "b", "c"))), of_results(toy[entry]["result"]))
