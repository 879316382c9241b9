"""batched_nms and seg_voting against loops over every segment; nms_1d_cpu's edges."""

import math

import pytest
import torch

from python_tests.tolerances import FLOAT32_SUMS
from wtal_fast.compat import batched_nms, nms_1d_cpu
from wtal_fast.compat.actionformer import seg_voting


def overlap(a, b):
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]))
    union = (a[1] - a[0]) + (b[1] - b[0]) - inter
    return inter / union if union > 0 else 0.0


def suppressed(rows, scores, threshold, min_score, limit, soft, sigma):
    """(index, new score) of one class, best first."""
    left = {i: s for i, s in scores.items() if soft or not min_score > 0 or s > min_score}
    kept = []
    while left:
        best = max(left, key=lambda i: (left[i], -i))
        kept.append((best, left.pop(best)))
        for i in list(left):
            iou = overlap(rows[best], rows[i])
            if soft:
                left[i] *= math.exp(-iou * iou / sigma)
            if left[i] < min_score or not soft and iou >= threshold:
                del left[i]
    return kept[:limit] if limit > 0 else kept


@pytest.mark.parametrize("soft", [True, False])
@pytest.mark.parametrize("multiclass", [True, False])
@pytest.mark.parametrize("limit", [5, 200])
def test_batched_nms(soft, multiclass, limit):
    torch.manual_seed(1)
    start = 30 * torch.rand(80)
    segs, scores, classes = torch.stack([start, start + 8 * torch.rand(80)], 1), torch.rand(80), torch.arange(80) % 3
    found = batched_nms(segs, scores, classes, 0.4, 0.1, limit, use_soft_nms=soft, multiclass=multiclass, sigma=0.6,
                        voting_thresh=0.7)
    rows, kept = segs.tolist(), []
    for group in range(3) if multiclass else [None]:
        here = {i: float(scores[i]) for i in range(80) if group in (None, int(classes[i]))}
        kept += suppressed(rows, here, 0.4, 0.1, limit, soft, 0.6)
    kept = sorted(kept, key=lambda pair: -pair[1])[:limit]
    index = torch.tensor([pair[0] for pair in kept])
    expected = segs[index]
    if not multiclass:
        votes = [[(float(scores[j]) * overlap(rows[i], rows[j]), rows[j]) for j in range(80)
                  if overlap(rows[i], rows[j]) >= 0.7] for i in index.tolist()]
        expected = torch.tensor([[sum(w * row[side] for w, row in vote) / sum(w for w, _ in vote) for side in (0, 1)]
                                 for vote in votes])
    assert 1 < len(index) <= limit
    assert found[2].tolist() == classes[index].tolist()
    torch.testing.assert_close(found[0], expected, **FLOAT32_SUMS)
    torch.testing.assert_close(found[1], torch.tensor([pair[1] for pair in kept]), **FLOAT32_SUMS)


def test_voting_by_hand():
    segs = torch.tensor([[0.0, 10.0], [0.0, 8.0], [20.0, 30.0]])
    refined = seg_voting(segs[:1], segs, torch.tensor([0.5, 0.25, 0.9]), 0.75)  # weights 0.5 and 0.25 * 0.8
    torch.testing.assert_close(refined, torch.tensor([[0.0, (0.5 * 10 + 0.2 * 8) / 0.7]]))


def test_empty():
    none = torch.zeros(0, 2), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    segs, scores, classes = batched_nms(*none, 0.5, 0.1, 10)
    assert (segs.shape, scores.shape, classes.shape, classes.dtype) == ((0, 2), (0,), (0,), torch.int64)
    assert nms_1d_cpu.nms(*none[:2], 0.5).tolist() == []
    assert nms_1d_cpu.softnms(*none[:2], torch.zeros(0, 3), 0.5, 0.5, 0.1, 2).tolist() == []


def test_hard_nms_may_leave_nothing():
    segs, scores, classes = batched_nms(torch.tensor([[0.0, 1.0]]), torch.tensor([0.1]), torch.tensor([4]), 0.5, 0.2,
                                        10, use_soft_nms=False)
    assert (segs.shape, scores.shape, classes.tolist()) == ((0, 2), (0,), [])


def test_refusals():
    with pytest.raises(ValueError, match="method must be 0, 1 or 2, got 3"):
        nms_1d_cpu.softnms(torch.zeros(1, 2), torch.ones(1), torch.zeros(1, 3), 0.5, 0.5, 0.1, 3)
