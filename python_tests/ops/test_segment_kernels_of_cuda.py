"""The CUDA kernels of the segment ops, run on fibers of the CPU: the same bits as the CPU kernels."""

from __future__ import annotations

import hypothesis
import pytest
import torch
from hypothesis import strategies as st

from python_tests.ops import test_propose_resampled as resampled
from python_tests.ops import test_segment_ops as battery
from python_tests.ops.fibers import SegmentKernels, compile_for_cpu
from python_tests.ops.test_segment_ops import columns, random_rows, row
from wtal_fast import ops
from wtal_fast.ops.propose_resampled import resample

NAN, INF = float("nan"), float("inf")
ONE = torch.ones(1, dtype=torch.float64)


@pytest.fixture(scope="module")
def fibers(tmp_path_factory):
    return SegmentKernels(compile_for_cpu("segments_cuda", tmp_path_factory.mktemp("cuda_on_cpu")))


def examples(count: int):
    """The fixtures serve all examples: they hold nothing of one."""
    return hypothesis.settings(max_examples=count,
                               suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])


def assert_kept(actual, expected, padding=(-1, 0)) -> None:
    """Padded results of a kernel against what the op keeps: the same bits, padding behind, the number last."""
    *parts, number = actual
    assert int(number) == len(expected[0])
    for part, wanted, value in zip(parts, expected, padding, strict=False):
        assert torch.equal(part[: len(wanted)], wanted)
        assert (part[len(wanted):] == value).all()


@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 2047, 2048, 2049, 9000])
def test_running_sums(fibers, count):
    values = torch.randint(0, 9, (count,))
    assert torch.equal(fibers.running_sums(values), values.cumsum(0))


@pytest.mark.parametrize("dtypes", [(torch.float32, torch.float32), (torch.float64, torch.float32),
                                    (torch.bfloat16, torch.bfloat16), (torch.float16, torch.bfloat16)], ids=str)
@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1), (17, 33)])
def test_temporal_iou(fibers, shape, dtypes):
    a, b = (random_rows(count, 1, count)[0].to(dtype) for count, dtype in zip(shape, dtypes, strict=True))
    expected = ops.temporal_iou(a, b)
    actual = fibers.temporal_iou(a, b)
    assert actual.dtype == expected.dtype and torch.equal(actual, expected)


class TestSuppression:
    def check(self, fibers, segments, scores, groups, threshold=0.4, offset=0.0):
        kept = ops.temporal_nms(segments, scores, threshold, groups, offset)
        assert_kept(fibers.temporal_nms_padded(segments, scores, groups, threshold, offset), (kept,))
        return kept

    def test_samples(self, kernels, fibers):
        for sample in battery.TestTemporalNms().samples():
            segments, scores, threshold, groups = sample.arguments
            self.check(fibers, segments, scores, groups, threshold, **sample.options)

    @pytest.mark.parametrize("count", [62, 63, 64, 126, 127, 1000])
    @pytest.mark.parametrize("groups", [1, 3, 50, 2000])
    def test_tiles_and_groups_of_every_alignment(self, kernels, fibers, count, groups):
        kept = self.check(fibers, *random_rows(count, groups, count + groups), threshold=0.2)
        assert 0 < len(kept) <= count

    def test_one_group_among_many_tiles(self, kernels, fibers):
        """A long one between short ones: its tiles wait for each other, and find where it begins."""
        segments, scores, _ = random_rows(5000, 1, 0)
        for first, end in ((0, 5000), (1, 4000), (700, 4990), (2500, 2501)):
            groups = torch.arange(5000)
            groups[first:end] = first
            self.check(fibers, segments, scores, groups, threshold=0.1)

    def test_each_hides_the_next(self, kernels, fibers):
        """The longest chain of decisions: every second one of a staircase stays."""
        start = torch.arange(700, dtype=torch.float64)
        segments, scores = torch.stack([start, start + 1.9], dim=1), torch.linspace(1, 0.5, 700, dtype=torch.float64)
        kept = self.check(fibers, segments, scores, torch.zeros(700).long(), threshold=0.3)
        assert kept.tolist() == list(range(0, 700, 2))

    def test_all_the_same(self, kernels, fibers):
        segments, scores = torch.tensor([[3.0, 5.0]]).repeat(200, 1), torch.full((200,), 0.5)
        assert self.check(fibers, segments, scores, torch.zeros(200).long()).tolist() == [0]
        segments[:, 1] = 3.0  # of no length: no overlap
        assert len(self.check(fibers, segments, scores, torch.zeros(200).long())) == 200
        assert self.check(fibers, segments, scores, torch.zeros(200).long(), offset=1.0).tolist() == [0]

    def test_groups_are_any_integers(self, kernels, fibers):
        segments, scores, _ = random_rows(40, 1, 0)
        extremes = torch.tensor([-(2**63), 2**63 - 1, 0, -1])
        self.check(fibers, segments, scores, extremes[torch.arange(40) % 4])

    @hypothesis.given(st.lists(row, max_size=70), st.sampled_from([0.1, 0.25, 0.5, 1.0]), st.sampled_from([0.0, 1.0]))
    @examples(60)
    def test_random(self, kernels, fibers, rows, threshold, offset):
        self.check(fibers, *columns(rows), threshold, offset)

    @pytest.mark.parametrize("at", [0, 1, 65, 129])
    @pytest.mark.parametrize("segment, score", [([NAN, 1.0], 0.5), ([0.0, INF], 0.5), ([1.0, 0.5], 0.5),
                                                ([0.0, 1.0], NAN), ([0.0, 1.0], -INF)])
    def test_what_is_refused(self, fibers, at, segment, score):
        segments, scores, groups = random_rows(130, 2, 0)
        segments[at], scores[at] = torch.tensor(segment), score
        kept, number = fibers.temporal_nms_padded(segments, scores, groups, 0.5, 0.0)
        assert number == -1 and (kept == -1).all()
        kept, new_scores, number = fibers.soft_temporal_nms_padded(segments, scores, groups, 0.5, 0.0, "linear", 0.5, 0)
        assert number == -1 and (kept == -1).all() and (new_scores == 0).all()


class TestSoftSuppression:
    def check(self, fibers, segments, scores, groups, *rule):
        kept = torch.ops.wtal_fast.soft_temporal_nms(segments, scores, groups, *rule)
        assert_kept(fibers.soft_temporal_nms_padded(segments, scores, groups, *rule), kept)

    def test_samples(self, kernels, fibers):
        for sample in battery.TestSoftTemporalNms().samples():
            options = sample.options
            segments, scores, threshold, groups = sample.arguments
            self.check(fibers, segments, scores, groups, threshold, options["offset"], options["method"], 0.5,
                       options["min_score"])

    @pytest.mark.parametrize("method", ["linear", "gaussian"])
    @pytest.mark.parametrize("count, groups", [(63, 1), (64, 1), (65, 1), (200, 1), (200, 150)])
    def test_more_and_fewer_than_threads(self, kernels, fibers, count, groups, method):
        segments, scores, names = random_rows(count, groups, count)
        self.check(fibers, segments, scores, names - 2, 0.2, 0.0, method, 0.3, 0.01)

    @hypothesis.given(st.lists(row, max_size=12), st.sampled_from([0.25, 0.5]), st.sampled_from([0.0, 1.0]),
                      st.sampled_from(["linear", "gaussian"]), st.sampled_from([0.0, 1e-3, 0.3]))
    @examples(40)
    def test_random(self, kernels, fibers, rows, threshold, offset, method, least):
        self.check(fibers, *columns(rows), threshold, offset, method, 0.4, least)


class TestProposals:
    def check(self, fibers, cas, thresholds, mask, lengths, gate, *rule):
        found = torch.ops.wtal_fast.propose(cas, thresholds, mask, lengths, gate, *rule)
        size = len(found[0])
        for capacity in {size, size + 3, max(0, size - 1), 0}:
            actual = fibers.propose_padded(cas, thresholds, mask, lengths, gate, *rule, capacity)
            assert int(actual[-1]) == size
            for part, wanted, padding in zip(actual, found, (0, 0, 0, -1, -1), strict=False):
                assert torch.equal(part[:size], wanted[:capacity]) and (part[size:] == padding).all()
        return size

    def given(self, fibers, sample):
        cas, thresholds, mask, *rest = sample.arguments
        lengths, gate = rest if rest else (sample.options["lengths"], sample.options["gate"])
        options, scores = sample.options, sample.options.get("class_scores", cas.new_ones(mask.shape))
        return self.check(
            fibers, cas, thresholds, mask, lengths, gate, options["outer_ratio"], options["outer_closed"],
            options["outer_source"] == "raw", options["min_run"], options["skip_run_at_zero"], scores, 0.2)

    def test_samples(self, kernels, fibers):
        for sample in battery.TestPropose().samples():
            self.given(fibers, sample)

    @hypothesis.given(battery.TestPropose().examples(False))
    @examples(60)
    def test_random(self, kernels, fibers, sample):
        self.given(fibers, sample)

    @pytest.mark.parametrize("raw, ratio", [(False, 0.25), (True, 0.25), (False, 30.0)])
    @pytest.mark.parametrize("time, levels", [(31, 1), (32, 40), (33, 2), (64, 33), (255, 3), (256, 3), (257, 3),
                                              (3000, 2)])
    def test_runs_across_words_and_blocks(self, kernels, fibers, time, levels, raw, ratio):
        draw = torch.Generator().manual_seed(time)
        cas = torch.rand(2, time + 40, 2, generator=draw, dtype=torch.float64) - 0.3
        cas[1] = torch.nn.functional.avg_pool1d(cas[1].T[None], 41, 1, 20)[0].T * 3  # long runs
        thresholds = torch.rand(levels, generator=draw, dtype=torch.float64) * 0.5
        cas, mask = cas[:, :time], torch.ones(2, 2, dtype=torch.bool)
        scores = torch.rand(2, 2, generator=draw, dtype=torch.float64)
        size = self.check(fibers, cas, thresholds, mask, torch.tensor([time, time - 1]), None, ratio, True, raw,
                          1, False, scores, 0.2)
        assert size > 0

    def test_other_strides_and_numbers(self, kernels, fibers):
        cas = torch.rand(2, 3, 70).half().transpose(1, 2)
        gate = torch.rand(70, 2).T
        self.check(fibers, cas, torch.tensor([0.5, 0.75]), torch.ones(3, 2).bool().T, torch.tensor([70, 70]), gate,
                   1.5, False, False, 2, True, torch.rand(3, 2).T, 0.5)

    @pytest.mark.parametrize("change", [
        {"cas": NAN}, {"cas": INF}, {"gate": NAN}, {"thresholds": NAN}, {"thresholds": -0.5}, {"class_scores": INF},
        {"lengths": -1}, {"lengths": 71}], ids=str)
    def test_what_is_refused(self, fibers, change):
        given = {"cas": torch.rand(2, 70, 1, dtype=torch.float64), "thresholds": torch.tensor([0.2, 0.5]),
                 "mask": torch.tensor([[False], [True]]), "lengths": torch.tensor([70, 70]), "gate": torch.rand(2, 70),
                 "class_scores": torch.ones(2, 1)}

        def number():
            *first, scores = given.values()
            return int(fibers.propose_padded(*first, 0.25, True, False, 1, False, scores, 0.2, 8)[-1])

        assert number() > 0
        (name, value), = change.items()
        given[name].view(-1)[-1] = value
        assert number() == -1
        if name in ("cas", "gate", "class_scores"):  # the class that is not asked for
            given[name].copy_(given[name].nan_to_num(0, 0, 0))
            given[name].view(-1)[0] = value
            assert number() > 0


class TestResampledProposals:
    def check(self, fibers, sequences, lengths, counts, durations, levels, resize, gate, gate_levels, *rule):
        given = (sequences, lengths, counts, durations, levels, resize, gate, gate_levels, *rule)
        found = torch.ops.wtal_fast.propose_resampled(*given, None)
        size, most = len(found[0]), fibers.largest(counts)
        assert most == max([0, *counts.tolist()])
        for capacity, largest in ((size, most), (size + 3, most + 100), (max(0, size - 1), most), (0, most)):
            *parts, number = fibers.propose_resampled_padded(*given, largest, capacity)
            assert int(number) == size
            for part, wanted, padding in zip(parts, found, (0, 0, -1, False), strict=True):
                assert torch.equal(part[:size], wanted[:capacity]) and (part[size:] == padding).all()
        return size

    @pytest.mark.parametrize("closed, min_run, lone, ratio", [(True, 1, True, 0.25), (False, 2, False, 3.0)])
    @pytest.mark.parametrize("gated", [False, True], ids=["no gate", "gate"])
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
    @pytest.mark.parametrize("resize", ["stpn", "half_pixel", "none"])
    def test_samples(self, kernels, fibers, resize, dtype, gated, closed, min_run, lone, ratio):
        sequences, gate, lengths, counts, durations = resampled.rows(resize, dtype)
        size = self.check(fibers, sequences, lengths, counts, durations, resampled.THRESHOLDS, resize,
                          gate if gated else None, resampled.THRESHOLDS[1:3], ratio, closed, min_run, lone,
                          torch.linspace(0, 1, 7, dtype=torch.float64), 0.5)
        assert size > 20

    @pytest.mark.parametrize("resize, factor", [("stpn", 24), ("stpn", 7), ("stpn", 1), ("half_pixel", 16.3),
                                                ("half_pixel", 0.4), ("none", 1)])
    def test_thresholds_that_are_samples(self, kernels, fibers, resize, factor):
        """Each sample lies exactly where the CPU has it, else a run would begin or end one sample off."""
        draw = torch.Generator().manual_seed(0)
        sequences = torch.rand(2, 30, generator=draw)
        lengths = torch.tensor([30, 23])
        counts = (lengths * factor).long()
        samples = resample(sequences[:1], lengths[:1], counts[:1], resize)[0]
        levels = samples[:: len(samples) // 8 + 1].contiguous()
        gate = sequences.flip(0).double()
        assert self.check(fibers, sequences, lengths, counts, lengths.double(), levels, resize, gate, levels[:2], 0.25,
                          True, 1, True, torch.ones(2), 0.2) > 20

    @hypothesis.given(st.data())
    @examples(40)
    def test_random(self, kernels, fibers, data):
        resize = data.draw(st.sampled_from(["stpn", "half_pixel", "none"]))
        lengths = torch.tensor(data.draw(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
        factors = data.draw(st.lists(st.integers(0, 40), min_size=len(lengths), max_size=len(lengths)))
        counts = {"stpn": lengths * torch.tensor(factors), "none": lengths, "half_pixel": torch.tensor(factors)}[resize]
        values = st.lists(battery.level, min_size=9 * len(lengths), max_size=9 * len(lengths))
        sequences = torch.tensor(data.draw(values)).reshape(-1, 9)
        gate = data.draw(st.none() | values)
        self.check(fibers, sequences, lengths, counts, lengths / 3, ONE * 0.25, resize,
                   None if gate is None else torch.tensor(gate).reshape(-1, 9), torch.tensor([0.5, 0.125]),
                   data.draw(st.sampled_from([0.0, 0.25, 3.0])), data.draw(st.booleans()), data.draw(st.integers(1, 3)),
                   data.draw(st.booleans()), torch.ones(len(lengths)), 0.2)

    @pytest.mark.parametrize("resize", ["stpn", "half_pixel"])
    def test_numbers_near_overflow(self, kernels, fibers, resize):
        """The largest that are accepted: the line past the last snippet stays finite."""
        largest = torch.finfo(torch.float32).max / 8
        sequences = torch.tensor([[largest, -largest, largest, largest], [0.0, 0.0, -largest, largest]])
        given = (sequences, torch.tensor([4, 4]), torch.tensor([40, 40]), torch.ones(2), ONE / 2, resize, None, ONE,
                 0.25, True, 1, False, torch.ones(2), 0.2)
        assert self.check(fibers, *given) == 3
        assert torch.ops.wtal_fast.propose_resampled(*given, None)[1].isfinite().all()
        above = largest * (1 + 1e-6)
        for value in (above, -above):
            with pytest.raises(ValueError, match="finite and far from overflow"):
                ops.propose_resampled(sequences.index_fill(1, torch.tensor([2]), value), *given[1:6])

    @pytest.mark.parametrize("change", [
        {"sequences": NAN}, {"sequences": -INF}, {"gate": INF}, {"lengths": 0}, {"lengths": -3}, {"lengths": 71},
        {"counts": 141}, {"counts": -2}, {"counts": 2**40}, {"thresholds": NAN}, {"gate_thresholds": -0.5},
        {"gate_thresholds": INF}], ids=str)
    def test_what_is_refused(self, fibers, change):
        given = {"sequences": torch.rand(2, 70), "lengths": torch.tensor([70, 70]), "counts": torch.tensor([140, 140]),
                 "durations": torch.ones(2), "thresholds": torch.tensor([0.2, 0.5]), "resize": "stpn",
                 "gate": torch.rand(2, 70), "gate_thresholds": torch.tensor([0.3])}

        def number(most=140):
            return int(fibers.propose_resampled_padded(*given.values(), 0.25, True, 1, False, torch.ones(2), 0.2, most,
                                                       8)[-1])

        assert number() > 0 and number(139) == -1
        (name, value), = change.items()
        given[name].view(-1)[-1] = value
        assert number() == -1
        if name in ("sequences", "gate"):  # behind the last snippet of a row
            given["lengths"], given["counts"] = torch.tensor([70, 69]), torch.tensor([140, 138])
            assert number() > 0


class TestPrecision:
    def check(self, fibers, *arguments):
        expected = ops.average_precision(*arguments)
        actual, refused = fibers.average_precision(*arguments)
        assert not refused
        torch.testing.assert_close(actual, expected, rtol=0, atol=0, equal_nan=True)
        return expected

    def test_samples(self, kernels, fibers):
        for sample in battery.TestAveragePrecision().samples():
            self.check(fibers, *sample.arguments)

    @pytest.mark.parametrize("preds, instances, videos, classes, levels", [
        (300, 80, 3, 2, 9), (1000, 300, 1, 1, 3), (400, 200, 2, 1, 33), (60, 40, 5, 3, 64), (130, 3, 2, 2, 5),
        (64, 65, 1, 1, 2), (50, 60, 3, 4, 0)])
    def test_sizes(self, kernels, fibers, preds, instances, videos, classes, levels):
        segments, scores, groups = random_rows(preds, videos * classes, preds)
        truths, _, gt_groups = random_rows(instances, videos * classes, instances)
        tiou = torch.rand(levels, dtype=torch.float64, generator=torch.Generator().manual_seed(levels)) * 0.6 + 0.1
        self.check(fibers, segments, scores, groups, truths, gt_groups, classes, tiou)

    @hypothesis.given(battery.TestAveragePrecision().examples(False))
    @examples(40)
    def test_random(self, kernels, fibers, sample):
        *arguments, tiou = sample.arguments
        self.check(fibers, *arguments, torch.tensor(tiou, dtype=torch.float64))

    def test_more_than_fit_in_a_warp(self, kernels, fibers):
        """100 instances of one group, which every detection reaches: ties go to the later one."""
        one, zeros = torch.tensor([[0.0, 4.0]]), torch.zeros(130, dtype=torch.int64)
        result = self.check(fibers, one.repeat(130, 1), torch.rand(130), zeros, one.repeat(100, 1), zeros[:100], 1,
                            torch.tensor([0.5, 1.0], dtype=torch.float64))
        assert result.tolist() == [[1.0], [1.0]]

    @pytest.mark.parametrize("name, index, value", [
        (0, 0, NAN), (0, 1, -1.0), (1, 3, NAN), (2, 2, -1), (3, 0, INF), (3, 1, -1.0), (4, 1, -3), (6, 0, 0.0),
        (6, 0, NAN), (6, 0, 1.5)])
    def test_what_is_refused(self, fibers, name, index, value):
        segments, scores, groups = random_rows(9, 4, 3)
        truths, _, gt_groups = random_rows(5, 4, 4)
        arguments = [segments + 1, scores, groups, truths + 1, gt_groups, 2, ONE / 2]
        result, refused = fibers.average_precision(*arguments)
        assert not refused and not result.isnan().all()
        arguments[name].view(-1)[index] = value
        result, refused = fibers.average_precision(*arguments)
        assert refused and result.isnan().all()
        assert ops.average_precision(*arguments, validate=False).isnan().all()


def test_the_same_bits_every_time(fibers):
    segments, scores, groups = random_rows(1500, 3, 0)
    runs = [fibers.temporal_nms_padded(segments, scores, groups, 0.3, 0.0)[0] for _ in range(5)]
    assert all(torch.equal(runs[0], again) for again in runs[1:])
