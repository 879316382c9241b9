"""The padded forms: what the ops of variable size find, then padding; -1 where a value is refused."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from python_tests.ops import test_propose_resampled as resampled
from python_tests.ops import test_segment_ops as battery
from wtal_fast import ops

NAN, INF = float("nan"), float("inf")


def assert_padded(actual, expected, paddings) -> None:
    *parts, number = actual
    assert number.dtype == torch.int64 and number.shape == () and int(number) == len(expected[0])
    for part, wanted, padding in zip(parts, expected, paddings, strict=True):
        assert part.dtype == wanted.dtype and torch.equal(part[: len(wanted)], wanted)
        assert (part[len(wanted):] == padding).all()


@given(st.lists(battery.row, max_size=8), st.sampled_from([0.0, 1.0]), st.sampled_from(["linear", "gaussian"]))
@settings(max_examples=40)
def test_suppression(rows, offset, method):
    segments, scores, groups = battery.columns(rows)
    assert_padded(ops.temporal_nms_padded(segments, scores, 0.3, groups, offset),
                  (ops.temporal_nms(segments, scores, 0.3, groups, offset),), (-1,))
    rule = (0.3, groups, offset, method, 0.4, 0.3)
    actual = ops.soft_temporal_nms_padded(segments, scores.float(), *rule)
    assert_padded(actual, ops.soft_temporal_nms(segments, scores.float(), *rule), (-1, 0))
    assert all(len(part) == len(rows) for part in actual[:-1])


def test_proposals_and_their_capacity():
    cas, thresholds = torch.rand(2, 30, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0.4, 0.7])
    mask, lengths = torch.tensor([[True, False, True], [True, True, True]]), torch.tensor([30, 11])
    found = ops.propose(cas, thresholds, mask, lengths)
    size = len(found[0])
    assert size > 20
    for capacity in (size + 5, size):
        actual = ops.propose_padded(cas, thresholds, mask, capacity, lengths)
        assert_padded(actual, found, (0, 0, 0, -1, -1))
        assert all(len(part) == capacity for part in actual[:-1])
    *parts, number = ops.propose_padded(cas, thresholds, mask, size - 7, lengths)
    assert int(number) == size
    for part, whole in zip(parts, found, strict=True):
        assert torch.equal(part, whole[: size - 7])
    with pytest.raises(ValueError, match="capacity must be at least 0, got -1"):
        ops.propose_padded(cas, thresholds, mask, -1)


def test_resampled_proposals_and_their_capacity():
    sequences, gate, lengths, counts, durations = resampled.rows("stpn")
    levels = torch.tensor([0.4, 0.7])
    given = (sequences, lengths, counts, durations, levels, "stpn")
    options = {"gate": gate, "gate_thresholds": levels[:1]}
    found = ops.propose_resampled(*given, **options)
    size = len(found[0])
    assert size > 20 and found[3].any() and not found[3].all()
    for capacity in (size + 5, size):
        actual = ops.propose_resampled_padded(*given, capacity, 960, **options)
        assert_padded(actual, found, (0, 0, -1, False))
        assert all(len(part) == capacity for part in actual[:-1])
    *parts, number = ops.propose_resampled_padded(*given, size - 7, 960, **options)
    assert int(number) == size
    for part, whole in zip(parts, found, strict=True):
        assert torch.equal(part, whole[: size - 7])
    segments, score, row, gated, number = ops.propose_resampled_padded(*given, 3, 959, **options)
    assert int(number) == -1 and not (segments.any() or score.any() or gated.any()) and row.tolist() == [-1] * 3
    for name in ("capacity", "max_count"):
        with pytest.raises(ValueError, match=f"propose_resampled_padded: {name} must be at least 0, got -1"):
            ops.propose_resampled_padded(*given, **({"capacity": 3, "max_count": 960} | {name: -1}))


@pytest.mark.parametrize("segment, score", [([0.0, NAN], 0.5), ([INF, INF], 0.5), ([2.0, 1.0], 0.5), ([0.0, 1.0], NAN)])
def test_refused_segments(segment, score):
    segments, scores = torch.tensor([[0.0, 1.0], segment]), torch.tensor([0.5, score])
    kept, number = ops.temporal_nms_padded(segments, scores, 0.5)
    assert (kept.tolist(), int(number)) == ([-1, -1], -1)
    kept, new_scores, number = ops.soft_temporal_nms_padded(segments, scores)
    assert (kept.tolist(), new_scores.tolist(), int(number)) == ([-1, -1], [0.0, 0.0], -1)


@pytest.mark.parametrize("change", [
    {"cas": NAN}, {"gate": INF}, {"thresholds": -0.1}, {"thresholds": NAN}, {"class_scores": NAN}, {"lengths": 6},
    {"lengths": -1}], ids=str)
def test_refused_sequences(change):
    arguments = {"cas": torch.full((2, 5, 1), 0.6), "thresholds": torch.tensor([0.1, 0.5]), "capacity": 3,
                 "class_mask": torch.tensor([[False], [True]]), "lengths": torch.tensor([5, 4]),
                 "gate": torch.full((2, 5), 0.6), "class_scores": torch.ones(2, 1)}
    assert int(ops.propose_padded(**arguments)[-1]) == 2
    (name, value), = change.items()
    arguments[name].view(-1)[-1 if name not in ("cas", "gate") else -2] = value
    *parts, number = ops.propose_padded(**arguments)
    assert int(number) == -1 and [part.tolist() for part in parts] == [[0] * 3] * 3 + [[-1] * 3] * 2


@pytest.mark.parametrize("call, words", [
    (lambda: ops.temporal_nms_padded(torch.zeros(2, 3), torch.zeros(2), 0.5), "^temporal_nms_padded: segments"),
    (lambda: ops.temporal_nms_padded(torch.zeros(2, 2), torch.zeros(2), 0.0), "^temporal_nms_padded: tiou"),
    (lambda: ops.soft_temporal_nms_padded(torch.zeros(2, 2), torch.zeros(2), sigma=0), "^soft_temporal_nms_padded: si"),
    (lambda: ops.propose_padded(torch.zeros(2, 3), torch.zeros(1), torch.zeros(1, 1), 4), "^propose_padded: cas must"),
])
def test_refusals(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_opcheck():
    segments, scores, groups = battery.random_rows(6, 2, 0)
    raw = torch.ops.wtal_fast
    torch.library.opcheck(raw.temporal_nms_padded.default, (segments, scores, groups, 0.3, 1.0))
    rule = (0.3, 0.0, "linear", 0.5, 0.1)
    torch.library.opcheck(raw.soft_temporal_nms_padded.default, (segments, scores, groups, *rule))
    cas = torch.rand(2, 9, 2, generator=torch.Generator().manual_seed(0))
    arguments = (cas, torch.tensor([0.3, 0.6]), torch.ones(2, 2, dtype=torch.bool), torch.tensor([9, 4]), cas[:, :, 0])
    torch.library.opcheck(raw.propose_padded.default,
                          (*arguments, 0.25, True, False, 1, False, torch.ones(2, 2), 0.2, 7))
    *rows, durations = resampled.rows("none")
    torch.library.opcheck(raw.propose_resampled_padded.default, (
        rows[0], *rows[2:], durations, torch.tensor([0.4]), "none", rows[1], torch.tensor([0.5]), 0.25, True, 1, False,
        durations, 0.2, 40, 9))


def test_sizes_need_no_values():
    """In one graph, whatever the values are: sizes depend on shapes alone."""
    torch._dynamo.reset()
    compiled = torch.compile(lambda *given: ops.temporal_nms_padded(given[0], given[1], 0.3, given[2]), fullgraph=True,
                             backend="aot_eager")
    rows = battery.random_rows(40, 3, 1)
    assert_padded(compiled(*rows), (ops.temporal_nms(rows[0], rows[1], 0.3, rows[2]),), (-1,))
