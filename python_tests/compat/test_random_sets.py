"""The NMS drop-ins on random rows with equal scores, duplicates and segments without length, against loops."""

from __future__ import annotations

import math

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from python_tests.tolerances import FLOAT32_SUMS
from wtal_fast.compat import nms, nms_1d_cpu

EPSILON = 1e-6  # what the extension adds to lengths; thresholds here keep away from every overlap
quarter = st.integers(0, 24).map(lambda n: n / 4)
row = st.tuples(st.integers(0, 5).map(lambda n: n / 8), quarter, quarter).map(lambda r: (r[0], *sorted(r[1:])))
rows = st.lists(row, min_size=1, max_size=14)
threshold = st.sampled_from([0.1013, 0.3511, 0.5507, 0.7019])


def overlap(a, b, added=0.0, longer=0.0) -> float:
    inter = max(0.0, min(a[2], b[2]) - max(a[1], b[1]) + added)
    union = (a[2] - a[1] + added + longer) + (b[2] - b[1] + added + longer) - inter
    return inter / union if union > 0 else 0.0


@settings(max_examples=200)
@given(rows, threshold)
def test_nms_of_lists(given_rows, thresh):
    """Row form [class, score, start, end]; equal scores as NumPy's ascending sort gives them, read backwards."""
    proposals = [[3, score, start, end] for score, start, end in given_rows]
    waiting = [given_rows[i] for i in np.array([one[0] for one in given_rows]).argsort()[::-1]]
    kept = []
    while waiting:
        best, *waiting = waiting
        kept.append([3.0, *best])
        waiting = [one for one in waiting if overlap(best, one, added=1.0) < thresh]
    assert nms(proposals, thresh) == kept
    assert nms(np.array(proposals), thresh) == kept


@settings(max_examples=200)
@given(rows, threshold)
def test_nms_of_the_extension(given_rows, thresh):
    waiting = sorted(range(len(given_rows)), key=lambda i: (-given_rows[i][0], i))
    kept = []
    while waiting:
        best, *waiting = waiting
        kept.append(best)
        waiting = [i for i in waiting if overlap(given_rows[best], given_rows[i], longer=EPSILON) < thresh]
    segments, scores = torch.tensor([one[1:] for one in given_rows]), torch.tensor([one[0] for one in given_rows])
    assert nms_1d_cpu.nms(segments, scores, iou_threshold=thresh).tolist() == kept


@settings(max_examples=200)
@given(rows, threshold, st.sampled_from([0, 1, 2]), st.sampled_from([0.001, 0.2017]))
def test_softnms_of_the_extension(given_rows, thresh, method, min_score):
    segments, scores = torch.tensor([one[1:] for one in given_rows]), torch.tensor([one[0] for one in given_rows])
    left, kept, values = dict(enumerate(scores.tolist())), [], []
    while left:
        best = min(left, key=lambda i: (-left[i], i))
        kept.append(best)
        values.append(left.pop(best))
        for i in list(left):
            iou = overlap(given_rows[best], given_rows[i])
            if method == 2:
                left[i] *= math.exp(-iou * iou / 0.5)
            elif iou >= thresh:
                left[i] *= 1 - iou if method == 1 else 0.0
            if left[i] < min_score:
                del left[i]
    dets = segments.new_full((len(given_rows), 3), math.nan)
    found = nms_1d_cpu.softnms(segments, scores, dets, thresh, 0.5, min_score, method)
    assert found.tolist() == kept
    np.testing.assert_allclose(dets[:len(found), 2], values, **FLOAT32_SUMS)
    np.testing.assert_array_equal(dets[:len(found), :2], segments[found])
