"""The segment ops on a GPU: the same bits as on the CPU, every time, and in CUDA graphs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from python_tests.conftest import require
from python_tests.localization.test_pipeline import FIELDS, NAMES, SETTINGS, random_batch
from python_tests.ops import test_propose_resampled as resampled
from python_tests.ops import test_segment_ops as battery
from python_tests.ops.op_battery import DTYPES, LAYOUTS, tensors_of
from python_tests.tolerances import RELEASED_DETECTIONS
from wtal_fast import ops
from wtal_fast.localization import localize
from wtal_fast.ops import _library

pytestmark = pytest.mark.gpu

NAN = float("nan")
OPS = {"temporal_iou": battery.TestTemporalIou, "temporal_nms": battery.TestTemporalNms,
       "soft_temporal_nms": battery.TestSoftTemporalNms, "propose": battery.TestPropose,
       "average_precision": battery.TestAveragePrecision}


@pytest.fixture(autouse=True)
def device():
    library, why = _library.library("_C_cuda")
    require("cuda", torch.cuda.is_available(), "no CUDA device")
    require("cuda", library, why)


def on_gpu(value):
    """Tensors on the GPU, with the strides they have and what lies around them."""
    if not isinstance(value, torch.Tensor):
        return value
    whole = torch.empty(0, dtype=value.dtype).set_(value.untyped_storage())
    return whole.cuda().as_strided(value.shape, value.stride(), value.storage_offset())


def assert_same(actual, expected, what: str) -> None:
    for value, wanted in zip(tensors_of(actual), tensors_of(expected), strict=True):
        assert value.is_cuda
        torch.testing.assert_close(value.cpu(), wanted, rtol=0, atol=0, equal_nan=True,
                                   msg=lambda text: f"{what}\n{text}")


@pytest.mark.parametrize("name", [*OPS, "temporal_nms_padded", "soft_temporal_nms_padded", "propose_padded",
                                  "propose_resampled", "propose_resampled_padded"])
def test_compiled_kernels_run(name):
    assert _library.backend_of(name, "cuda") == "native"


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", OPS)
def test_equals_the_cpu_every_time(name, dtype, layout):
    for sample in OPS[name]().samples():
        arguments, options = sample.to(dtype, LAYOUTS[layout])
        expected = OPS[name].function(*arguments, **options)
        there = tuple(map(on_gpu, arguments)), {key: on_gpu(value) for key, value in options.items()}
        for _ in range(2):
            assert_same(OPS[name].function(*there[0], **there[1]), expected, sample.name)


@pytest.mark.parametrize("count, groups", [(100_000, 1), (200_000, 2_000), (150_000, 100_000)])
def test_large_sets(count, groups):
    given = battery.random_rows(count, groups, 0)
    segments, scores, names = given
    segments = segments * (count / groups / 100)
    there = [on_gpu(value) for value in (segments, scores, names)]
    assert_same(ops.temporal_nms(*there[:2], 0.3, there[2]), ops.temporal_nms(segments, scores, 0.3, names), "nms")
    if groups == 1:
        return
    assert_same(ops.soft_temporal_nms(*there[:2], 0.3, there[2], sigma=0.3),
                ops.soft_temporal_nms(segments, scores, 0.3, names, sigma=0.3), "soft nms")
    truths, _, gt_groups = battery.random_rows(count // 5, groups, 1)
    truths, tiou = truths * (count / groups / 100), torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    expected = ops.average_precision(segments, scores, names, truths, gt_groups, 20, tiou)
    assert_same(ops.average_precision(*there, on_gpu(truths), on_gpu(gt_groups), 20, tiou), expected, "precision")


def test_long_videos():
    draw = torch.Generator().manual_seed(0)
    cas = torch.nn.functional.avg_pool1d(torch.rand(3, 2, 100_000, generator=draw, dtype=torch.float64), 25, 1, 12)
    given = (cas.transpose(1, 2), torch.linspace(0.3, 0.7, 17, dtype=torch.float64), torch.ones(3, 2).bool())
    assert_same(ops.propose(*map(on_gpu, given)), ops.propose(*given), "propose")


@pytest.mark.parametrize("gated", [False, True], ids=["no gate", "gate"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("resize", ["stpn", "half_pixel", "none"])
def test_resampled_proposals(resize, dtype, gated):
    sequences, gate, lengths, counts, durations = resampled.rows(resize, dtype)
    given = (sequences, lengths, counts, durations, resampled.THRESHOLDS, resize, gate if gated else None,
             resampled.THRESHOLDS[1:3] if gated else None)
    expected = ops.propose_resampled(*given)
    assert len(expected[0]) > 20
    for most in (None, 960):
        assert_same(ops.propose_resampled(*map(on_gpu, given), max_count=most), expected, f"max_count={most}")


def test_resampled_proposals_of_long_videos():
    draw = torch.Generator().manual_seed(0)
    sequences, lengths = torch.rand(6, 20_000, generator=draw), torch.tensor([20_000, 19_999, 1, 2, 777, 12_345])
    levels = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    given = (sequences, lengths, lengths * 24, lengths.double(), levels, "stpn")
    assert_same(ops.propose_resampled(*map(on_gpu, given)), ops.propose_resampled(*given), "propose_resampled")


def recorded(function):
    """function's results and the graph that computes them again."""
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        results = function()
    return results, graph


@pytest.mark.parametrize("function", [
    lambda segments, scores, groups: ops.temporal_nms_padded(segments, scores, 0.3, groups),
    lambda segments, scores, groups: ops.soft_temporal_nms_padded(segments, scores, 0.3, groups),
], ids=["hard", "soft"])
def test_suppression_in_a_graph(function):
    given = [on_gpu(value) for value in battery.random_rows(700, 5, 0)]
    results, graph = recorded(lambda: function(*given))
    for seed in (1, 2):
        for value, fresh in zip(given, battery.random_rows(700, 5, seed), strict=True):
            value.copy_(fresh)
        graph.replay()
        assert_same(results, function(*battery.random_rows(700, 5, seed)), f"seed {seed}")
    given[1][3] = NAN
    graph.replay()
    assert int(results[-1]) == -1 and (results[0] == -1).all()


def test_proposals_in_a_graph():
    cas, mask = torch.rand(4, 300, 3, device="cuda"), torch.ones(4, 3, dtype=torch.bool, device="cuda")
    thresholds, lengths = torch.tensor([0.3, 0.8], device="cuda"), torch.tensor([300, 7, 0, 120], device="cuda")
    results, graph = recorded(lambda: ops.propose_padded(cas, thresholds, mask, 2000, lengths))
    for capacity_is_enough in (True, False):
        cas.uniform_() if capacity_is_enough else cas.copy_((torch.arange(300) % 2)[:, None].expand(300, 3) + 0.1)
        graph.replay()
        here = [tensor.cpu() for tensor in (cas, thresholds, mask)]
        assert_same(results, ops.propose_padded(*here, 2000, lengths.cpu()), f"{capacity_is_enough}")


def test_resampled_proposals_in_a_graph():
    def columns(seed):
        sequences, gate, lengths, counts, durations = resampled.rows("stpn", seed=seed)
        return (sequences, lengths, counts, durations, resampled.THRESHOLDS, "stpn", 3000, 960, gate,
                resampled.THRESHOLDS[:2])

    given = [on_gpu(value) for value in columns(0)]
    results, graph = recorded(lambda: ops.propose_resampled_padded(*given))
    given[0].copy_(columns(1)[0])
    given[8].copy_(columns(1)[8])
    graph.replay()
    assert_same(results, ops.propose_resampled_padded(*columns(1)), "replayed")
    given[2][0] = 984
    graph.replay()
    assert int(results[-1]) == -1 and not results[1].any() and (results[2] == -1).all()


def test_average_precision_in_a_graph():
    def columns(seed):
        segments, scores, groups = battery.random_rows(300, 12, seed)
        truths, _, gt_groups = battery.random_rows(60, 12, seed + 100)
        return segments, scores, groups, truths, gt_groups

    tiou, given = torch.tensor([0.5, 0.3, 0.7], dtype=torch.float64), [on_gpu(value) for value in columns(0)]
    there = tiou.cuda()
    result, graph = recorded(lambda: ops.average_precision(*given, 4, there))
    for value, fresh in zip(given, columns(1), strict=True):
        value.copy_(fresh)
    graph.replay()
    assert_same(result, ops.average_precision(*columns(1), 4, tiou), "replayed")
    given[1][7] = NAN
    graph.replay()
    assert result.isnan().all()
    with pytest.raises(ValueError, match="must be on cuda:0 where a CUDA graph records, got cpu"):
        recorded(lambda: ops.average_precision(*given, 4, tiou, validate=False))


@pytest.mark.parametrize("name", OPS)
def test_several_devices_are_refused(name):
    sample = OPS[name]().samples()[-1]
    first, *rest = sample.arguments
    with pytest.raises(ValueError, match="device"):
        OPS[name].function(on_gpu(first), *rest, **sample.options)


@pytest.mark.parametrize("function, place, value, words", [
    (lambda s, c, g: ops.temporal_nms(s, c, 0.5, g), 1, NAN, "scores must be finite, got nan in row 2"),
    (lambda s, c, g: ops.temporal_nms(s, c, 0.5, g), 0, -9.0, "end >= start"),
    (lambda s, c, g: ops.soft_temporal_nms(s, c, 0.5, g), 0, NAN, "segments must be finite"),
    (lambda s, c, g: ops.propose(s[None], c, s[:1] == s[:1]), 0, NAN, "cas must be finite"),
    (lambda s, c, g: ops.propose(s[None], c, s[:1] == s[:1]), 1, -1, "finite and >= 0, got -1"),
    (lambda s, c, g: ops.propose_resampled(s, g * 0 + 2, g * 0 + 4, c, c, "stpn"), 0, NAN, "sequences must be finite"),
    (lambda s, c, g: ops.propose_resampled(s, g, g, c, c, "none"), 2, 3, r"lengths must be in 1..2, got .*\.3"),
    (lambda s, c, g: ops.average_precision(s, c, g, s, g, 2, [0.5]), 1, NAN, "pred_scores must be finite"),
    (lambda s, c, g: ops.average_precision(s, c, g, s, g, 2, [0.5]), 2, -1, "must be >= 0, got -1"),
])
def test_bad_values_are_refused(function, place, value, words):
    given = [on_gpu(tensor) for tensor in battery.random_rows(3, 2, 0)]
    given[place].view(-1)[-1] = value
    with pytest.raises(ValueError, match=words):
        function(*given)


@pytest.mark.parametrize("name", SETTINGS)
def test_localization_equals_that_on_the_cpu(name):
    def moved(item):
        return dataclasses.replace(item, **{field.name: on_gpu(getattr(item, field.name))
                                            for field in dataclasses.fields(item)})

    output, batch = random_batch()
    expected = localize(output, batch, SETTINGS[name], NAMES)
    actual = localize(moved(output), moved(batch), SETTINGS[name], NAMES)
    assert len(expected) > 5
    for field in FIELDS:
        np.testing.assert_allclose(getattr(actual, field), getattr(expected, field), **RELEASED_DETECTIONS)
