"""propose against hand tables and loops over samples."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import ROUNDING
from wtal_fast.ops import _library, propose, use_backend


@pytest.fixture(autouse=True, params=oracle.backends("propose"))
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("propose") == request.param
        yield


def of_row(values, thresholds, gate=None, extra=0.0, **options):
    """(start, end, score) of one row of values, as the oracle gives them."""
    cas = torch.tensor(values, dtype=torch.float64).reshape(1, -1, 1)
    gate = None if gate is None else torch.tensor(gate, dtype=torch.float64)[None]
    thresholds = torch.tensor(thresholds, dtype=torch.float64)
    start, end, score, _, _ = propose(cas, thresholds, torch.ones(1, 1, dtype=torch.bool), gate=gate,
                                      class_scores=torch.full((1, 1), extra), class_weight=1.0, **options)
    return list(zip(start.tolist(), end.tolist(), score.tolist(), strict=True))


def test_by_hand():
    values = [0.1, 0.1, 0.1, 0.1, 0.5, 0.9, 0.7, 0.9, 0.1, 0.3, 0.1, 0.1]
    # run [4, 7] at 0.5: inner 0.75; n = 4, so one sample on each side: 0 and 0, both below the threshold
    assert of_row(values, [0.5]) == [(4, 8, pytest.approx(0.75, **ROUNDING))]
    assert of_row(values, [0.5], outer_source="raw") == [(4, 8, pytest.approx(0.65, **ROUNDING))]
    # two samples to the left, one to the right where the end is excluded: (0.1 + 0.1 + 0.1) / 3
    assert of_row(values, [0.5], outer_source="raw", outer_ratio=0.5, outer_closed=False) == [
        (4, 8, pytest.approx(0.75 - 0.1, **ROUNDING))]
    assert of_row(values, [0.5], outer_source="raw", outer_ratio=0.5) == [
        (4, 8, pytest.approx(0.75 - (0.1 + 0.1 + 0.1 + 0.3) / 4, **ROUNDING))]
    assert of_row(values, [0.5], extra=0.25) == [(4, 8, pytest.approx(1.0, **ROUNDING))]


def test_threshold_is_reached_not_passed_and_zero_is_never_above():
    assert of_row([0.0, 0.2, 0.0], [0.2], outer_ratio=0) == [(1, 2, pytest.approx(0.2, **ROUNDING))]
    assert of_row([0.0, 0.2, 0.0], [0.0], outer_ratio=0) == [(1, 2, pytest.approx(0.2, **ROUNDING))]
    assert of_row([-0.5, 0.0], [0.0]) == []


def test_thresholds_are_compared_in_float64():
    cas = torch.full((1, 1, 1), 0.3)  # float32 0.3 is 0.30000001192...
    mask = torch.ones(1, 1, dtype=torch.bool)
    same = cas.double().flatten()
    assert len(propose(cas, same, mask)[0]) == 1
    assert len(propose(cas, same + 1e-15, mask)[0]) == 0


def test_run_at_sample_zero():
    alone, with_others = [0.9, 0.1, 0.1], [0.9, 0.1, 0.9]
    assert of_row(alone, [0.5], skip_run_at_zero=True) == []
    assert [run[:2] for run in of_row(alone, [0.5])] == [(0, 1)]
    assert [run[:2] for run in of_row(with_others, [0.5], skip_run_at_zero=True)] == [(0, 1), (2, 3)]
    assert [run[:2] for run in of_row([0.9, 0.9], [0.5], skip_run_at_zero=True)] == [(0, 2)]


def test_min_run_and_empty_outer_window():
    assert of_row([0.9, 0.1, 0.8, 0.8], [0.5], min_run=2)[0][:2] == (2, 4)
    assert of_row([0.6, 0.6], [0.5], outer_ratio=10) == [(0, 2, pytest.approx(0.6, **ROUNDING))]


def test_gate_places_the_runs_and_the_cas_scores_them():
    cas, gate = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8], [0, 0, 0, 1, 1, 1, 1, 0]
    # outer window [2, 3) and [7, 8]: 0.3 and 0.8
    assert of_row(cas, [0.5], gate=gate, outer_source="raw") == [(3, 7, pytest.approx(0.55 - 0.55, **ROUNDING))]
    assert of_row(cas, [0.5], gate=gate) == [(3, 7, pytest.approx(0.55, **ROUNDING))]


values = st.integers(-4, 8).map(lambda n: n / 8)
options = st.fixed_dictionaries({
    "outer_ratio": st.sampled_from([0.0, 0.25, 0.7, 3.0, 1e6]), "outer_closed": st.booleans(),
    "outer_source": st.sampled_from(["thresholded", "raw"]), "min_run": st.integers(1, 3),
    "skip_run_at_zero": st.booleans()})


@given(st.lists(st.tuples(values, values), min_size=1, max_size=12), st.booleans(), options)
def check_against_oracle(pairs, gated, chosen):
    row = [pair[0] for pair in pairs]
    gate = [pair[1] for pair in pairs] if gated else None
    thresholds = [0.0, 0.125, 0.5, 0.25, 1.0]
    expected = oracle.proposals_of_row(
        row, thresholds, gate, chosen["outer_ratio"], chosen["outer_closed"], chosen["outer_source"] == "raw",
        chosen["min_run"], 0.0, chosen["skip_run_at_zero"])
    found = of_row(row, thresholds, gate, **chosen)
    assert [run[:2] for run in found] == [run[:2] for run in expected]
    assert [run[2] for run in found] == pytest.approx([run[2] for run in expected], **ROUNDING)


def test_equals_the_oracle():
    check_against_oracle()


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("ratio", [4.0, 16.0, 17.0, 40.0, 1e300])
def test_windows_over_many_runs(ratio, gated, closed):
    """More runs beside a run than are walked one by one: the window is summed as a whole."""
    draw = torch.Generator().manual_seed(6)
    row, gate = (torch.rand(2, 333, generator=draw, dtype=torch.float64) - 0.2).tolist()
    gate = gate if gated else None
    expected = oracle.proposals_of_row(row, [0.1, 0.4], gate, ratio, closed)
    found = of_row(row, [0.1, 0.4], gate, outer_ratio=ratio, outer_closed=closed)
    assert [run[:2] for run in found] == [run[:2] for run in expected] and len(found) > 100
    assert [run[2] for run in found] == pytest.approx([run[2] for run in expected], **ROUNDING)


def test_endless_windows_take_time_in_proportion_to_the_samples():
    """Run by run they would take hours: 200,000 runs, each with all others in its window."""
    cas = torch.tensor([0.75, 0.25], dtype=torch.float64).repeat(200_000).reshape(1, -1, 1)
    start, _, score, *_ = propose(cas, torch.tensor([0.5]), torch.ones(1, 1).bool(), outer_ratio=1e300)
    assert len(start) == 200_000
    inner, outer = 0.75, 0.75 * 199_999 / 399_999
    torch.testing.assert_close(score - 0.2, torch.full_like(score, inner - outer), rtol=0, atol=ROUNDING["abs"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_many_videos_equal_one_at_a_time(dtype):
    draw = torch.Generator().manual_seed(1)
    cas = torch.rand(4, 30, 3, generator=draw, dtype=dtype)
    lengths, mask = torch.tensor([30, 1, 17, 0]), torch.rand(4, 3, generator=draw) < 0.6
    mask[0, 1], scores = True, torch.rand(4, 3, generator=draw, dtype=dtype)
    thresholds = torch.tensor([0.3, 0.6, 0.45], dtype=torch.float64)
    cas[2, 17:] = 99.0  # padding that would raise every mean
    start, end, score, label, video = propose(cas, thresholds, mask, lengths, class_scores=scores, class_weight=0.2)
    expected = []
    for v in range(4):
        for c in range(3):
            if mask[v, c]:
                row = cas[v, :lengths[v], c].double().tolist()
                extra = 0.2 * float(scores[v, c].double())
                runs = oracle.proposals_of_row(row, thresholds.tolist(), extra=extra)
                expected += [(v, c, *run) for run in runs]
    assert list(zip(video.tolist(), label.tolist(), start.tolist(), end.tolist(), strict=True)) == [
        row[:4] for row in expected]
    assert score.tolist() == pytest.approx([row[4] for row in expected], **ROUNDING)
    assert score.dtype == torch.float64 and len(expected) > 20
    strided = torch.stack([cas, cas], dim=-1)[..., 0]
    assert torch.equal(propose(strided, thresholds, mask, lengths, class_scores=scores, class_weight=0.2)[2], score)


@pytest.mark.parametrize("shape, thresholds", [
    ((0, 5, 2), [0.5]), ((2, 0, 2), [0.5]), ((2, 5, 0), [0.5]), ((2, 5, 2), []),
])
def test_nothing_in_nothing_out(shape, thresholds):
    found = propose(torch.ones(shape), torch.tensor(thresholds, dtype=torch.float64),
                    torch.ones(shape[0], shape[2], dtype=torch.bool))
    assert [tuple(part.shape) for part in found] == [(0,)] * 5
    assert [part.dtype for part in found] == [torch.int64, torch.int64, torch.float64, torch.int64, torch.int64]


def test_no_class_kept():
    assert len(propose(torch.ones(2, 5, 2), torch.tensor([0.5]), torch.zeros(2, 2, dtype=torch.bool))[0]) == 0
