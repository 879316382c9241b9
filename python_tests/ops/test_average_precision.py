"""average_precision against hand tables and loops over everything."""

import math
import random

import pytest
import torch

from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import ROUNDING
from wtal_fast.ops import _library, average_precision, use_backend

TIOU = [0.1, 0.3, 0.30000000000000004, 0.5, 0.75, 1.0]


@pytest.fixture(autouse=True, params=oracle.backends("average_precision"))
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("average_precision") == request.param
        yield


def ap(pred, gt, num_classes, tiou=TIOU):
    """pred: (segment, score, group) rows; gt: (segment, group) rows."""
    return average_precision(
        torch.tensor([row[0] for row in pred], dtype=torch.float64).reshape(-1, 2),
        torch.tensor([row[1] for row in pred], dtype=torch.float64), torch.tensor([row[2] for row in pred]).long(),
        torch.tensor([row[0] for row in gt], dtype=torch.float64).reshape(-1, 2),
        torch.tensor([row[1] for row in gt]).long(), num_classes, tiou)


def random_case(draw: random.Random):
    """Few distinct times and scores, so that ties, duplicates and empty segments are common."""
    def segment():
        return sorted(draw.randint(0, 8) / 2 for _ in range(2))

    classes, videos = draw.randint(1, 3), draw.randint(1, 3)
    pred = [(segment(), draw.randint(0, 5) / 4, draw.randrange(videos * classes)) for _ in range(draw.randint(0, 12))]
    gt = [(segment(), draw.randrange(videos * classes)) for _ in range(draw.randint(0, 8))]
    return pred, gt, classes


def test_by_hand():
    gt = [([0, 10], 0), ([20, 30], 0)]
    pred = [([0, 10], 0.9, 0), ([0, 9], 0.8, 0), ([20, 28], 0.7, 0)]
    # hit, duplicate, hit: precision 1, 1/2, 2/3; recall 1/2, 1/2, 1
    assert ap(pred, gt, 1, [0.5]).tolist() == [[pytest.approx(0.5 + 0.5 * 2 / 3, **ROUNDING)]]
    assert ap(pred, gt, 1, [0.9]).tolist() == [[pytest.approx(0.5, **ROUNDING)]]  # 0.8 of the third is too little


def test_duplicate_takes_the_next_best_instance():
    gt = [([0, 10], 0), ([2, 12], 0)]
    pred = [([0, 10], 0.9, 0), ([0, 10], 0.8, 0)]
    assert ap(pred, gt, 1, [0.5]).tolist() == [[1.0]]
    assert ap(pred, gt, 1, [0.8]).tolist() == [[0.5]]


def test_equal_overlap_claims_the_later_instance():
    gt = [([0, 2], 0), ([4, 6], 0)]
    wide, exact = ([0, 6], 0.9, 0), ([4, 6], 0.8, 0)  # the wide one overlaps both by a third and takes [4, 6]
    assert ap([wide, exact], gt, 1, [0.3]).tolist() == [[0.5]]
    assert ap([wide, ([0, 2], 0.8, 0)], gt, 1, [0.3]).tolist() == [[1.0]]


def test_other_groups_do_not_match_and_missing_classes_are_told_apart():
    result = ap([([0, 1], 0.9, 3)], [([0, 1], 0), ([0, 1], 1)], 3)  # video 1, class 0; class 2 has no ground truth
    assert result[:, :2].tolist() == [[0.0, 0.0]] * len(TIOU)
    assert all(math.isnan(value) for value in result[:, 2].tolist())


def test_empty():
    assert ap([], [([0, 1], 0)], 1).tolist() == [[0.0]] * len(TIOU)
    assert torch.isnan(ap([([0, 1], 0.5, 0)], [], 1)).all()
    assert ap([], [], 2, []).shape == (0, 2)


def test_random_sets_equal_the_oracle():
    draw = random.Random(0)
    for _ in range(200):
        pred, gt, classes = random_case(draw)
        result = ap(pred, gt, classes).tolist()
        columns = [[row[i] for row in pred] for i in range(3)] + [[row[i] for row in gt] for i in range(2)]
        for level, row in zip(TIOU, result, strict=True):
            expected = oracle.average_precision(*columns, classes, level)
            assert row == pytest.approx(expected, nan_ok=True, **ROUNDING)


def test_float32_input_and_other_strides():
    pred, gt, classes = random_case(random.Random(5))
    wide = torch.tensor([[row[0][0], 7.0, row[0][1]] for row in pred])
    arguments = (torch.tensor([row[1] for row in pred]), torch.tensor([row[2] for row in pred]),
                 torch.tensor([row[0] for row in gt]), torch.tensor([row[1] for row in gt]), classes, TIOU)
    result = average_precision(wide[:, ::2], *arguments)
    assert result.dtype == torch.float64
    assert torch.equal(result.nan_to_num(-1), ap(pred, gt, classes).nan_to_num(-1))


@pytest.mark.parametrize("score, level", [(math.nan, 0.5), (0.5, 1.5), (0.5, 0.0)])
def test_without_validation_a_refused_value_makes_all_nan(score, level):
    one, group, values = torch.tensor([[0.0, 1.0]]), torch.tensor([0]), torch.tensor([score])
    given = (one, values, group, one, group, 2, [0.25, level])
    with pytest.raises(ValueError, match=r"pred_scores must be finite|must be in \(0, 1\]"):
        average_precision(*given)
    assert average_precision(*given, validate=False).isnan().all()
    assert average_precision(one, values.nan_to_num(0), *given[2:6], [0.25], validate=False)[0, 0] == 1
