"""The five ops on segments through the battery: every dtype and layout against loops, opcheck, refusals."""

from __future__ import annotations

import pytest
import torch
from hypothesis import strategies as st

from python_tests.ops import segment_oracles as oracle
from python_tests.ops.op_battery import OpBattery, Sample, laid_out, product
from wtal_fast import ops

NAN, INF = float("nan"), float("inf")
THRESHOLDS = [0.0, 0.125, 0.5, 0.25, 1.0]
TIOU = [0.1, 0.25, 1 / 3, 0.5, 0.5, 0.75, 1.0]

quarter = st.integers(0, 40).map(lambda n: n / 4)  # few times and scores, all of them exact in bfloat16: many ties
row = st.tuples(st.tuples(quarter, quarter).map(sorted), st.integers(0, 6).map(lambda n: n / 8), st.integers(0, 3))
level = st.integers(-4, 8).map(lambda n: n / 8)


def rows(empty: bool, largest: int = 12):
    return st.just([]) if empty else st.lists(row, min_size=1, max_size=largest)


def columns(given: list) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Segments [N, 2], scores [N], groups [N] of rows."""
    return (torch.tensor([one[0] for one in given], dtype=torch.float64).reshape(-1, 2),
            torch.tensor([one[1] for one in given], dtype=torch.float64),
            torch.tensor([one[2] for one in given], dtype=torch.int64))


def random_rows(count: int, groups: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    start = torch.randint(0, 200, (count,), generator=draw).double() / 8
    length = torch.randint(0, 60, (count,), generator=draw).double() / 8
    scores = torch.randint(0, 2 * count + 1, (count,), generator=draw).double() / (2 * count + 1)
    return torch.stack([start, start + length], dim=1), scores, torch.randint(0, groups, (count,), generator=draw)


SEGMENTS, SCORES, GROUPS = torch.tensor([[0.0, 1.0], [2.0, 3.0]]), torch.tensor([0.5, 0.25]), torch.tensor([0, 1])


def refusals(function, good: dict, wrong: dict) -> dict:
    """{what is wrong: (call, exception, pattern)} of {what: (changed arguments, exception, pattern)}."""
    return {what: (lambda change=change: function(**(good | change)), error, pattern)
            for what, (change, error, pattern) in wrong.items()}


SUPPRESSION_ERRORS = {
    "no tensor": ({"segments": [[0.0, 1.0]]}, TypeError, "segments must be a tensor, got list"),
    "three columns": ({"segments": torch.zeros(2, 3)}, ValueError, r"segments must be \[N, 2\].*got \[2, 3\]"),
    "one axis": ({"segments": torch.zeros(2)}, ValueError, r"segments must be \[N, 2\].*got \[2\]"),
    "integers": ({"segments": SEGMENTS.long()}, TypeError, "floating point, got torch.int64"),
    "end before start": ({"segments": torch.tensor([[0.0, 1.0], [3.0, 2.0]])}, ValueError,
                         r"end >= start, got \[3.0, 2.0\] in row 1"),
    "NaN segment": ({"segments": torch.tensor([[0.0, NAN], [2.0, 3.0]])}, ValueError, "finite with end >= start"),
    "endless segment": ({"segments": torch.tensor([[0.0, INF], [2.0, 3.0]])}, ValueError, "finite with end >= start"),
    "another count of scores": ({"scores": torch.zeros(3)}, ValueError, r"scores must be \[2\].*got \[3\]"),
    "NaN score": ({"scores": torch.tensor([0.5, NAN])}, ValueError, "scores must be finite, got nan in row 1"),
    "infinite score": ({"scores": torch.tensor([-INF, 0.5])}, ValueError, "scores must be finite, got -inf in row 0"),
    "scores of integers": ({"scores": torch.tensor([1, 2])}, TypeError, "scores must be .*got torch.int64"),
    "groups of floats": ({"groups": torch.zeros(2)}, TypeError, "groups must be an int64 tensor, got torch.float32"),
    "another count of groups": ({"groups": torch.zeros(3).long()}, ValueError, r"groups must be \[2\].*got \[3\]"),
    "two devices": ({"groups": torch.zeros(2, device="meta").long()}, ValueError, "one device, got cpu, cpu, meta"),
    "threshold 0": ({"tiou_threshold": 0.0}, ValueError, "tiou_threshold must be > 0, got 0.0"),
    "negative threshold": ({"tiou_threshold": -0.5}, ValueError, "tiou_threshold must be > 0, got -0.5"),
    "NaN threshold": ({"tiou_threshold": NAN}, ValueError, "tiou_threshold must be > 0, got nan"),
    "negative offset": ({"offset": -1.0}, ValueError, "offset must be >= 0 seconds, got -1.0"),
    "endless offset": ({"offset": INF}, ValueError, "offset must be >= 0 seconds, got inf"),
}


class TestTemporalIou(OpBattery):
    function = staticmethod(ops.temporal_iou)
    kernels_of = ("temporal_iou",)

    def samples(self):
        return [Sample(f"{n} by {m}", (random_rows(n, 1, 0)[0], random_rows(m, 1, 1)[0]))
                for n, m in ((0, 0), (0, 3), (3, 0), (1, 1), (17, 33), (130, 65))]

    def examples(self, empty):
        return st.tuples(rows(empty), rows(False)).map(
            lambda pair: Sample("random", (columns(pair[0])[0], columns(pair[1])[0])))

    def expected(self, arguments, options):
        a, b = arguments
        table = [[oracle.iou(x, y) for y in b.tolist()] for x in a.tolist()]
        return [torch.tensor(table, dtype=torch.float64).reshape(len(a), len(b)).to(a.dtype)]

    def raw_samples(self):
        return [(torch.ops.wtal_fast.temporal_iou.default, given)
                for given in laid_out((random_rows(5, 1, 0)[0], random_rows(3, 1, 1)[0]))]

    def wrong_arguments(self):
        wrong = {
            "three columns": ({"a": torch.zeros(3, 3)}, ValueError, r"a must be \[N, 2\].*got \[3, 3\]"),
            "one axis": ({"a": torch.zeros(2)}, ValueError, r"a must be \[N, 2\].*got \[2\]"),
            "three axes": ({"a": torch.zeros(1, 1, 2)}, ValueError, r"a must be \[N, 2\].*got \[1, 1, 2\]"),
            "integers": ({"a": torch.zeros(3, 2).long()}, TypeError, "a must be floating point, got torch.int64"),
            "complex": ({"a": torch.zeros(3, 2).cfloat()}, TypeError, "a must be floating point, got torch.complex64"),
            "bools": ({"a": torch.zeros(3, 2).bool()}, TypeError, "a must be floating point, got torch.bool"),
            "a list": ({"a": [[0.0, 1.0]]}, TypeError, "a must be a tensor, got list"),
            "nothing": ({"a": None}, TypeError, "a must be a tensor, got NoneType"),
            "an array": ({"b": SEGMENTS.numpy()}, TypeError, "b must be a tensor, got ndarray"),
            "b of one axis": ({"b": torch.zeros(4)}, ValueError, r"b must be \[N, 2\].*got \[4\]"),
            "b of one column": ({"b": torch.zeros(4, 1)}, ValueError, r"b must be \[N, 2\].*got \[4, 1\]"),
            "b of integers": ({"b": torch.zeros(1, 2).int()}, TypeError, "b must be floating point, got torch.int32"),
            "two devices": ({"b": SEGMENTS.to("meta")}, ValueError, "on one device, got cpu and meta"),
        }
        return refusals(ops.temporal_iou, {"a": SEGMENTS, "b": SEGMENTS}, wrong)


class TestTemporalNms(OpBattery):
    function = staticmethod(ops.temporal_nms)
    kernels_of = ("temporal_nms",)

    def samples(self):
        return [Sample(f"{count} in {groups} {options}", (segments, scores, 0.4, names), options)
                for count, groups in ((0, 1), (1, 1), (33, 2), (150, 1), (300, 40))
                for segments, scores, names in [random_rows(count, groups, count)]
                for options in product(offset=[0.0, 1.0])]

    def examples(self, empty):
        return st.tuples(rows(empty), st.sampled_from([0.1, 0.25, 0.5, 1.0, 2.0]), st.sampled_from([0.0, 1.0])).map(
            lambda given: Sample("random", (*columns(given[0])[:2], given[1], columns(given[0])[2], given[2])))

    def expected(self, arguments, options):
        segments, scores, threshold, groups, offset = arguments
        kept = oracle.nms(segments.tolist(), scores.tolist(), threshold, groups.tolist(), offset)
        return [torch.tensor(kept, dtype=torch.int64)]

    def raw_samples(self):
        segments, scores, groups = random_rows(9, 2, 3)
        return [(torch.ops.wtal_fast.temporal_nms.default, (*given, 0.3, 1.0))
                for given in laid_out((segments, scores, groups))]

    def wrong_arguments(self):
        good = {"segments": SEGMENTS, "scores": SCORES, "tiou_threshold": 0.5}
        return refusals(ops.temporal_nms, good, SUPPRESSION_ERRORS)


class TestSoftTemporalNms(OpBattery):
    function = staticmethod(ops.soft_temporal_nms)
    kernels_of = ("soft_temporal_nms",)

    def samples(self):
        return [Sample(f"{count} in {groups} {options}", (segments, scores, 0.4, names), options)
                for count, groups in ((0, 1), (1, 1), (33, 2), (120, 9))
                for segments, scores, names in [random_rows(count, groups, count)]
                for options in product(offset=[0.0, 1.0], method=["linear", "gaussian"], min_score=[0.0, 0.05])]

    def examples(self, empty):
        rule = st.tuples(st.sampled_from([0.25, 0.5, 1.0]), st.sampled_from([0.0, 1.0]),
                         st.sampled_from(["linear", "gaussian"]), st.sampled_from([0.0, 1e-3, 0.3]))

        def sample(given):
            (segments, scores, groups), (threshold, offset, method, least) = columns(given[0]), given[1]
            return Sample("random", (segments, scores, threshold, groups, offset, method, 0.4, least))

        return st.tuples(rows(empty), rule).map(sample)

    def expected(self, arguments, options):
        segments, scores, threshold, groups, *rest = arguments
        kept, values = oracle.soft_nms(segments.tolist(), scores.tolist(), threshold, groups.tolist(), *rest)
        return [torch.tensor(kept, dtype=torch.int64), torch.tensor(values, dtype=torch.float64).to(scores.dtype)]

    def raw_samples(self):
        segments, scores, groups = random_rows(9, 2, 3)
        return [(torch.ops.wtal_fast.soft_temporal_nms.default,
                 (*given, 0.3, 0.0, ("linear", "gaussian")[number % 2], 0.5, 0.001))
                for number, given in enumerate(laid_out((segments, scores, groups)))]

    def wrong_arguments(self):
        good = {"segments": SEGMENTS, "scores": SCORES, "tiou_threshold": 0.5}
        more = {
            "method": ({"method": "cubic"}, ValueError, r"method must be one of .*'gaussian'\), got 'cubic'"),
            "sigma 0": ({"sigma": 0.0}, ValueError, "sigma must be > 0, got 0.0"),
            "NaN sigma": ({"sigma": NAN}, ValueError, "sigma must be > 0, got nan"),
            "negative min_score": ({"min_score": -1.0}, ValueError, "min_score must be >= 0, got -1.0"),
        }
        return refusals(ops.soft_temporal_nms, good, SUPPRESSION_ERRORS | more)


class TestPropose(OpBattery):
    function = staticmethod(ops.propose)
    kernels_of = ("propose",)

    def samples(self):
        draw = torch.Generator().manual_seed(4)
        samples = []
        for videos, time, classes in ((0, 4, 2), (2, 0, 2), (2, 5, 0), (1, 1, 1), (3, 40, 3), (2, 200, 2)):
            cas = torch.randint(-8, 17, (videos, time, classes), generator=draw).double() / 16
            mask = torch.rand(videos, classes, generator=draw) < 0.7
            lengths = torch.randint(0, time + 1, (videos,), generator=draw)
            gate = torch.randint(0, 17, (videos, time), generator=draw).double() / 16
            scores = torch.randint(0, 9, (videos, classes), generator=draw).double() / 8
            choices = product(outer_closed=[True, False], outer_source=["thresholded", "raw"], min_run=[1, 2],
                              skip_run_at_zero=[False, True], gate=[None, gate], outer_ratio=[0.25, 20.0])
            for options in choices[time % 5::5]:
                samples.append(Sample(f"{list(cas.shape)} {options}", (cas, torch.tensor(THRESHOLDS).double(), mask),
                                      {"lengths": lengths, "class_scores": scores, **options}))
        return samples

    def examples(self, empty):
        @st.composite
        def draw_one(draw):
            videos, time, classes = 0 if empty else draw(st.integers(1, 3)), draw(st.integers(1, 9)), 2
            cas = draw(st.lists(level, min_size=videos * time * classes, max_size=videos * time * classes))
            gate = draw(st.none() | st.lists(level, min_size=videos * time, max_size=videos * time))
            mask = draw(st.lists(st.booleans(), min_size=videos * classes, max_size=videos * classes))
            lengths = draw(st.lists(st.integers(0, time), min_size=videos, max_size=videos))
            options = draw(st.fixed_dictionaries({
                "outer_ratio": st.sampled_from([0.0, 0.25, 0.7, 3.0, 1e6]), "outer_closed": st.booleans(),
                "outer_source": st.sampled_from(["thresholded", "raw"]), "min_run": st.integers(1, 3),
                "skip_run_at_zero": st.booleans()}))
            gate = None if gate is None else torch.tensor(gate, dtype=torch.float64).reshape(videos, time)
            return Sample("random", (
                torch.tensor(cas, dtype=torch.float64).reshape(videos, time, classes),
                torch.tensor(THRESHOLDS, dtype=torch.float64), torch.tensor(mask).bool().reshape(videos, classes),
                torch.tensor(lengths, dtype=torch.int64), gate), options)

        return draw_one()

    def expected(self, arguments, options):
        cas, thresholds, mask, lengths, gate = arguments
        found = []
        for v, c in mask.nonzero().tolist():
            size = int(lengths[v])
            runs = oracle.proposals_of_row(
                cas[v, :size, c].tolist(), thresholds.tolist(), None if gate is None else gate[v, :size].tolist(),
                options["outer_ratio"], options["outer_closed"], options["outer_source"] == "raw", options["min_run"],
                0.2, options["skip_run_at_zero"])
            found += [(*run, c, v) for run in runs]
        kinds = (torch.int64, torch.int64, torch.float64, torch.int64, torch.int64)
        return [torch.tensor([run[place] for run in found], dtype=kind) for place, kind in enumerate(kinds)]

    def raw_samples(self):
        draw = torch.Generator().manual_seed(0)
        cas, gate = torch.rand(2, 9, 2, generator=draw), torch.rand(2, 9, generator=draw)
        given = (cas, torch.tensor([0.3, 0.6]), torch.ones(2, 2, dtype=torch.bool), torch.tensor([9, 4]))
        rest = (0.25, True, False, 1, False, torch.ones(2, 2), 0.2)
        pairs = zip(laid_out((*given, gate, *rest)), laid_out((*given, None, *rest)), strict=True)
        return [(torch.ops.wtal_fast.propose.default, pair[number % 2]) for number, pair in enumerate(pairs)]

    def wrong_arguments(self):
        good = {"cas": torch.zeros(2, 5, 3), "thresholds": torch.tensor([0.5]),
                "class_mask": torch.ones(2, 3, dtype=torch.bool)}
        far = torch.zeros(2, device="meta").long()
        return refusals(ops.propose, good, {
            "two axes": ({"cas": torch.zeros(5, 3)}, ValueError, r"cas must be \[V, T, C\], got \[5, 3\]"),
            "no tensor": ({"cas": [[[0.5]]]}, ValueError, r"cas must be \[V, T, C\], got list"),
            "NaN cas": ({"cas": torch.full((2, 5, 3), NAN)}, ValueError, "cas must be finite, got 30 values"),
            "infinite cas": ({"cas": torch.full((2, 5, 3), INF)}, ValueError, "cas must be finite, got 30 values"),
            "integers": ({"cas": torch.zeros(2, 5, 3).long()}, TypeError, "cas must be floating.*got torch.int64"),
            "one threshold": ({"thresholds": torch.tensor(0.5)}, ValueError, r"thresholds must be a tensor \[M\]"),
            "a list of thresholds": ({"thresholds": [0.5]}, ValueError, r"thresholds must be .*got list"),
            "negative threshold": ({"thresholds": torch.tensor([-0.5])}, ValueError,
                                   "thresholds must be finite and >= 0, got -0.5"),
            "NaN threshold": ({"thresholds": torch.tensor([0.5, NAN])}, ValueError, "finite and >= 0, got nan"),
            "mask of floats": ({"class_mask": torch.ones(2, 3)}, TypeError, "class_mask must be bool .*torch.float32"),
            "mask of other classes": ({"class_mask": torch.ones(2, 2).bool()}, ValueError, r"\[2, 3\].*got \[2, 2\]"),
            "lengths above T": ({"lengths": torch.tensor([5, 6])}, ValueError, r"lengths must be in 0..5, got 5..6"),
            "negative length": ({"lengths": torch.tensor([5, -1])}, ValueError, r"lengths must be in 0..5, got -1..5"),
            "lengths of others": ({"lengths": torch.tensor([5])}, ValueError, r"lengths must be \[2\].*got \[1\]"),
            "lengths of int32": ({"lengths": torch.tensor([5, 5]).int()}, TypeError, "lengths int64, .*torch.int32"),
            "gate of other samples": ({"gate": torch.zeros(2, 4)}, ValueError, r"gate must be \[2, 5\].*got \[2, 4\]"),
            "NaN gate": ({"gate": torch.full((2, 5), NAN)}, ValueError, "gate must be finite, got 10 values"),
            "class_scores": ({"class_scores": torch.zeros(3, 2)}, ValueError, r"class_scores must be \[2, 3\]"),
            "two devices": ({"lengths": far}, ValueError, "lengths must be on the device of cas, cpu, got meta"),
            "outer_source": ({"outer_source": "both"}, ValueError, "outer_source must be one of"),
            "outer_ratio": ({"outer_ratio": -0.1}, ValueError, "outer_ratio must be >= 0, got -0.1"),
            "min_run": ({"min_run": 0}, ValueError, "min_run must be at least 1 sample, got 0"),
        })


class TestAveragePrecision(OpBattery):
    function = staticmethod(ops.average_precision)
    kernels_of = ("average_precision",)

    def samples(self):
        samples = []
        for preds, instances, videos, classes in ((0, 0, 1, 1), (0, 5, 2, 2), (7, 0, 2, 2), (40, 20, 3, 2),
                                                  (200, 90, 5, 7)):
            segments, scores, groups = random_rows(preds, videos * classes, preds)
            truths, _, gt_groups = random_rows(instances, videos * classes, instances + 1)
            samples.append(Sample(f"{preds} for {instances}", (segments, scores, groups, truths, gt_groups, classes,
                                                               torch.tensor(TIOU, dtype=torch.float64))))
        return samples

    def examples(self, empty):
        def sample(given):
            pred, gt, classes = columns(given[0]), columns(given[1]), given[2]
            return Sample("random", (*pred, gt[0], gt[2], classes, TIOU))

        return st.tuples(rows(empty), rows(False, 8), st.integers(1, 3)).map(sample)

    def expected(self, arguments, options):
        pred, scores, groups, gt, gt_groups, classes, levels = arguments
        lists = [tensor.tolist() for tensor in (pred, scores, groups, gt, gt_groups)]
        table = [oracle.average_precision(*lists, classes, one) for one in levels]
        return [torch.tensor(table, dtype=torch.float64)]

    def raw_samples(self):
        segments, scores, groups = random_rows(9, 4, 3)
        truths, _, gt_groups = random_rows(5, 4, 4)
        given = (segments, scores, groups, truths, gt_groups, 1, torch.tensor([0.25, 0.5]), True)
        return [(torch.ops.wtal_fast.average_precision.default, arguments) for arguments in laid_out(given)]

    def wrong_arguments(self):
        one, group = torch.tensor([[0.0, 1.0]]), torch.tensor([0])
        good = {"pred_segments": one, "pred_scores": torch.tensor([0.5]), "pred_groups": group, "gt_segments": one,
                "gt_groups": group, "num_classes": 1, "tiou_thresholds": [0.5]}
        return refusals(ops.average_precision, good, {
            "end before start": ({"pred_segments": torch.tensor([[1.0, 0.0]])}, ValueError,
                                 "pred_segments must be finite with end >= start"),
            "NaN instance": ({"gt_segments": torch.tensor([[0.0, NAN]])}, ValueError, "gt_segments must be finite"),
            "three columns": ({"gt_segments": torch.zeros(1, 3)}, ValueError, r"gt_segments must be \[N, 2\]"),
            "integers": ({"pred_segments": one.long()}, TypeError, "pred_segments must be floating point"),
            "NaN score": ({"pred_scores": torch.tensor([NAN])}, ValueError, "pred_scores must be finite, got nan"),
            "scores of others": ({"pred_scores": torch.zeros(2)}, ValueError, r"pred_scores must be \[1\].*got \[2\]"),
            "groups of floats": ({"pred_groups": torch.tensor([0.0])}, TypeError, "pred_groups must be an int64"),
            "groups of others": ({"gt_groups": torch.tensor([0, 1])}, ValueError, r"gt_groups must be \[1\].*\[2\]"),
            "negative group": ({"gt_groups": torch.tensor([-1])}, ValueError, "gt_groups must be >= 0, got -1"),
            "negative prediction group": ({"pred_groups": torch.tensor([-7])}, ValueError, "pred_groups.*got -7"),
            "no class": ({"num_classes": 0}, ValueError, "num_classes must be at least 1, got 0"),
            "threshold 0": ({"tiou_thresholds": [0.0]}, ValueError, r"must be in \(0, 1\], got \[0.0\]"),
            "threshold above 1": ({"tiou_thresholds": [0.5, 2.0]}, ValueError, r"in \(0, 1\], got \[0.5, 2.0\]"),
            "NaN threshold": ({"tiou_thresholds": [NAN]}, ValueError, r"must be in \(0, 1\], got \[nan\]"),
            "one threshold": ({"tiou_thresholds": 0.5}, ValueError, r"tiou_thresholds must be \[Q\], got \[\]"),
            "two devices": ({"pred_groups": group.to("meta")}, ValueError, "on one device, got cpu, meta"),
        })


@pytest.mark.parametrize("scores", [[0.0, -0.0], [-0.0, 0.0]])
def test_negative_zero_ties_with_zero(scores):
    segments = torch.tensor([[0.0, 4.0], [0.0, 4.0]])
    assert ops.temporal_nms(segments, torch.tensor(scores), 0.5).tolist() == [0]
