"""propose_resampled against resample + propose, and resampling against hand tables and NumPy."""

import sys

import numpy as np
import pytest
import torch

from python_tests.ops import segment_oracles as oracle
from python_tests.tolerances import ROUNDING
from wtal_fast.ops import _library, propose, propose_resampled, use_backend
from wtal_fast.ops.propose_resampled import resample

CLOSE = {"rtol": ROUNDING["rel"], "atol": ROUNDING["abs"]}


@pytest.fixture(autouse=True, params=oracle.backends("propose_resampled"))
def backend(request):
    with use_backend(request.param):
        assert _library.backend_of("propose_resampled") == request.param
        yield


def rows(resize: str, dtype=torch.float32, seed: int = 0):
    """Sequences [7, 40] with a gate, lengths from 1 up, and counts as `resize` has them."""
    draw = torch.Generator().manual_seed(seed)
    sequences, gate = torch.rand(2, 7, 40, generator=draw, dtype=dtype)
    sequences[3], gate[2] = (sequences[3] * 4).round() / 4, (gate[2] * 4).round() / 4  # plateaus on the thresholds
    lengths = torch.tensor([40, 1, 2, 33, 17, 40, 8])
    counts = {"stpn": lengths * 24, "none": lengths,
              "half_pixel": torch.tensor([400, 9, 1, 64, 129, 13, 0])}[resize]  # more, fewer and no samples
    return sequences, gate, lengths, counts, torch.arange(7).double() + 0.5


THRESHOLDS = torch.tensor([0.0, 0.25, 0.5, 0.3, 1.0], dtype=torch.float64)


@pytest.mark.parametrize("closed, min_run, lone, ratio", [(True, 1, True, 0.25), (False, 2, False, 3.0)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("resize", ["stpn", "half_pixel", "none"])
def test_equals_resampling_and_proposing(resize, dtype, closed, min_run, lone, ratio):
    sequences, gate, lengths, counts, durations = rows(resize, dtype)
    scores = torch.linspace(0, 1, 7, dtype=torch.float64)
    options = {"outer_ratio": ratio, "outer_closed": closed, "min_run": min_run, "skip_run_at_zero": lone}
    segments, score, row, gated = propose_resampled(
        sequences, lengths, counts, durations, THRESHOLDS, resize, gate, THRESHOLDS[1:3], class_scores=scores,
        class_weight=0.5, **options)
    expected = {}
    with use_backend("reference"):
        cas = resample(sequences, lengths, counts, resize)[:, :, None]
        for kind, levels, steering in ((False, THRESHOLDS, None), (True, THRESHOLDS[1:3], resample(
                gate, lengths, counts, resize))):
            expected[kind] = propose(cas, levels, torch.ones(7, 1, dtype=torch.bool), counts, steering,
                                     outer_source="raw" if kind else "thresholded", class_scores=scores[:, None],
                                     class_weight=0.5, **options)
    assert (row.diff() >= 0).all() and len(row) > 40
    for kind, (start, end, wanted, _, video) in expected.items():
        here = gated == kind
        assert torch.equal(row[here], video)
        share = torch.stack([start, end], dim=1).double() / counts[video][:, None]
        torch.testing.assert_close(segments[here], share * durations[video][:, None], **CLOSE)
        torch.testing.assert_close(score[here], wanted, **CLOSE)


@pytest.mark.parametrize("resize", ["stpn", "half_pixel", "none"])
def test_samples_are_those_of_the_reference_to_the_last_bit(resize):
    """Runs of the native kernel end where the reference's samples, used as thresholds, say."""
    sequences, _, lengths, counts, durations = rows(resize, seed=1)
    levels = resample(sequences[:1], lengths[:1], counts[:1], resize)[0, 5:300:17].contiguous()
    found = propose_resampled(sequences, lengths, counts, durations, levels, resize)
    with use_backend("reference"):
        wanted = propose_resampled(sequences, lengths, counts, durations, levels, resize)
    assert torch.equal(found[0], wanted[0]) and torch.equal(found[2], wanted[2])
    torch.testing.assert_close(found[1], wanted[1], **CLOSE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("samples", [16, 64, 99, 100, 101, 117, 130, 333, 1600])
def test_half_pixel_samples_inside_and_at_the_edges(samples, dtype):
    """Each sample of some is a threshold: one bit off, and a run would begin or end elsewhere."""
    sequence = torch.rand(1, 100, generator=torch.Generator().manual_seed(samples), dtype=dtype)
    length, count = torch.tensor([100]), torch.tensor([samples])
    levels = resample(sequence, length, count, "half_pixel")[0, :: samples // 16].contiguous()
    found = propose_resampled(sequence, length, count, length.double(), levels, "half_pixel")
    with use_backend("reference"):
        wanted = propose_resampled(sequence, length, count, length.double(), levels, "half_pixel")
    assert torch.equal(found[0], wanted[0]) and len(found[0]) >= 16
    torch.testing.assert_close(found[1], wanted[1], **CLOSE)


def test_padding_and_threads_do_not_matter():
    sequences, gate, lengths, counts, durations = rows("stpn")
    plain = propose_resampled(sequences, lengths, counts, durations, THRESHOLDS, "stpn", gate, THRESHOLDS)
    beyond = torch.arange(40) >= lengths[:, None]
    threads = torch.get_num_threads()
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        again = propose_resampled(sequences.masked_fill(beyond, torch.nan), lengths, counts, durations, THRESHOLDS,
                                  "stpn", gate.masked_fill(beyond, torch.inf), THRESHOLDS)
        assert all(torch.equal(*pair) for pair in zip(plain, again, strict=True))
    torch.set_num_threads(threads)


def test_chunks_of_rows_make_no_difference(monkeypatch):
    """Of the reference: the native kernel takes one row at a time."""
    sequences, gate, lengths, counts, durations = rows("stpn")
    arguments = (sequences, lengths, counts, durations, THRESHOLDS, "stpn", gate, THRESHOLDS)
    whole = propose_resampled(*arguments)
    monkeypatch.setattr(sys.modules["wtal_fast.ops.propose_resampled"], "SAMPLES_PER_CHUNK", 2000)
    assert all(torch.equal(*pair) for pair in zip(whole, propose_resampled(*arguments), strict=True))


def test_stpn_is_linear_and_goes_on_past_the_last_snippet():
    values, lengths = torch.tensor([[0.0, 4.0, 2.0], [0.0, 4.0, 50.0], [3.0, 9.0, 9.0]]), torch.tensor([3, 2, 1])
    found = resample(values, lengths, lengths * 4, "stpn")
    assert found[0].tolist() == pytest.approx([0, 1, 2, 3, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5], **ROUNDING)
    assert found[1, :8].tolist() == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7], **ROUNDING)
    assert found[2, :4].tolist() == [3.0] * 4


@pytest.mark.parametrize("length, count", [(1, 3), (4, 4), (4, 7), (7, 3), (12, 50), (100, 31)])
def test_half_pixel_equals_interpolation_with_repeated_edges(length, count):
    values = np.random.default_rng(0).random(length)
    padded = torch.tensor([values.tolist() + [9.0] * 5])
    found = resample(padded, torch.tensor([length]), torch.tensor([count]), "half_pixel")
    position = ((np.arange(count) + 0.5) * (length / count) - 0.5).astype(np.float32)
    expected = np.interp(position, np.arange(length), values)
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=float(np.finfo(np.float32).eps))


def test_no_resampling():
    assert resample(torch.tensor([[1.0, 2.0]]), torch.tensor([2]), torch.tensor([2]), "none").tolist() == [[1.0, 2.0]]


def test_nothing_in_nothing_out():
    none = torch.zeros(0, dtype=torch.int64)
    found = propose_resampled(torch.zeros(0, 5), none, none, torch.zeros(0), THRESHOLDS, "none")
    assert [tuple(part.shape) for part in found] == [(0, 2), (0,), (0,), (0,)]
    assert [part.dtype for part in found] == [torch.float64, torch.float64, torch.int64, torch.bool]


def test_opcheck():
    sequences, gate, lengths, counts, durations = rows("stpn")
    for steering in (None, gate):
        arguments = (sequences, lengths, counts, durations, THRESHOLDS, "stpn", steering, THRESHOLDS[:2])
        torch.library.opcheck(torch.ops.wtal_fast.propose_resampled.default,
                              (*arguments, 0.25, True, 1, True, durations, 0.2, None))


GOOD = {"sequences": torch.zeros(2, 5), "lengths": torch.tensor([5, 4]), "counts": torch.tensor([10, 8]),
        "durations": torch.ones(2), "thresholds": torch.tensor([0.5]), "resize": "stpn"}


@pytest.mark.parametrize("change, error, words", [
    ({"sequences": torch.zeros(2, 5, 1)}, ValueError, r"sequences must be \[R, T\], got \[2, 5, 1\]"),
    ({"sequences": torch.full((2, 5), torch.nan)}, ValueError, "sequences must be finite"),
    ({"sequences": torch.zeros(2, 5).half()}, TypeError, "sequences must be float32 or float64, got torch.float16"),
    ({"lengths": torch.tensor([5, 0])}, ValueError, r"lengths must be in 1..5, got 0..5"),
    ({"lengths": torch.tensor([5.0, 4.0])}, TypeError, "lengths must be int64, got torch.float32"),
    ({"lengths": torch.tensor([5])}, ValueError, r"lengths must be \[2\] .* got \[1\]"),
    ({"counts": torch.tensor([10, 9])}, ValueError, "do not fit resize='stpn': 9 samples of 4 snippets in row 1"),
    ({"counts": torch.tensor([10, 9]), "resize": "none"}, ValueError, "10 samples of 5 snippets in row 0"),
    ({"counts": torch.tensor([-1, 9]), "resize": "half_pixel"}, ValueError, "-1 samples"),
    ({"thresholds": torch.tensor([-0.5])}, ValueError, "thresholds must be finite and >= 0, got -0.5"),
    ({"thresholds": torch.tensor([torch.nan])}, ValueError, "thresholds must be finite and >= 0, got nan"),
    ({"gate": torch.zeros(2, 5), "gate_thresholds": torch.tensor([0.5, -1.0])}, ValueError,
     "gate_thresholds must be finite and >= 0, got -1.0"),
    ({"max_count": 9}, ValueError, "counts do not fit resize='stpn', max_count=9: 10 samples of 5 snippets in row 0"),
    ({"durations": torch.ones(2, device="meta")}, ValueError,
     "durations must be on the device of sequences, cpu, got meta"),
    ({"gate": torch.full((2, 5), torch.inf)}, ValueError, "gate must be finite"),
    ({"gate": torch.zeros(2, 4)}, ValueError, r"gate must be \[2, 5\]"),
    ({"resize": "cubic"}, ValueError, "resize must be one of"),
    ({"outer_ratio": -1.0}, ValueError, "outer_ratio must be >= 0"),
    ({"min_run": 0}, ValueError, "min_run must be at least 1 sample, got 0"),
])
def test_refusals(change, error, words):
    with pytest.raises(error, match=words):
        propose_resampled(**(GOOD | change))
