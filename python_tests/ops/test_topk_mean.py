"""topk_mean: tables worked out by hand, laws, kernels against the reference, the CUDA kernels on CPU fibers."""

from __future__ import annotations

import ctypes
import itertools
import math

import hypothesis
import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from python_tests import tolerances
from python_tests.ops.fibers import compile_for_cpu, integers, pointer
from python_tests.ops.op_battery import DTYPES, LAYOUTS, TRITON, OpBattery, Sample, assert_equal, fewer, product
from wtal_fast import ops
from wtal_fast.ops import use_backend

NAN, INF = float("nan"), float("inf")

# one video, one class: scores, k, length, largest -> mean, selected indices
TABLE = [
    ([3.0, 1.0, 2.0], 1, 3, True, 3.0, [0]),
    ([3.0, 1.0, 2.0], 2, 3, True, 2.5, [0, 2]),
    ([3.0, 1.0, 2.0], 3, 3, True, 2.0, [0, 1, 2]),
    ([3.0, 1.0, 2.0], 2, 3, False, 1.5, [1, 2]),
    ([3.0, 1.0, 2.0], 0, 3, True, 0.0, []),
    ([1.0, 2.0, 9.0], 1, 2, True, 2.0, [1]),  # the third is padding
    ([1.0, 2.0, 9.0], 3, 2, True, 1.5, [0, 1]),  # fewer valid than k
    ([1.0, 2.0, 9.0], 2, 0, True, 0.0, []),
    ([5.0, 5.0, 5.0, 5.0], 2, 4, True, 5.0, [0, 1]),  # among equals the lower index
    ([5.0, 5.0, 5.0, 5.0], 3, 4, False, 5.0, [0, 1, 2]),
    ([1.0, 7.0, 1.0, 7.0, 7.0], 2, 5, True, 7.0, [1, 3]),
    ([0.0, -0.0, 0.0], 2, 3, True, 0.0, [0, 1]),  # -0 equals 0
    ([-0.0, 0.0, -0.0], 1, 3, False, 0.0, [0]),
    ([1.0, NAN, 2.0], 1, 3, True, NAN, [1]),  # NaN is larger than every number
    ([INF, NAN, 2.0], 2, 3, True, NAN, [0, 1]),
    ([1.0, NAN, 2.0], 2, 3, False, 1.5, [0, 2]),
    ([1.0, NAN, 2.0], 3, 3, False, NAN, [0, 1, 2]),
    ([1.0, INF, 2.0], 1, 3, True, INF, [1]),
    ([-INF, -INF, -INF], 2, 3, True, -INF, [0, 1]),
    ([-INF, INF, 0.0], 2, 3, False, -INF, [0, 2]),
    ([-1.0, -2.0, -3.0], 2, 3, True, -1.5, [0, 1]),
]


def selected_by(scores, k, lengths=None, largest=True) -> torch.Tensor:
    """Where the gradient of topk_mean goes, [B, T, C]."""
    scores = scores.clone().requires_grad_()
    mean = ops.topk_mean(scores, k, lengths, largest)
    return torch.autograd.grad(mean, scores, torch.ones_like(mean))[0] != 0


@pytest.fixture(params=fewer(["kernel", "reference"], 2))
def either(request, kernels):
    if request.param == "kernel":
        yield
    else:
        with use_backend("reference"):
            yield


class TestTopkMean(OpBattery):
    function = staticmethod(ops.topk_mean)
    kernels_of = ("topk_mean", "topk_mean_backward")
    triton_kernels_of = kernels_of
    differentiable = True

    def samples(self):
        generator = torch.Generator().manual_seed(0)
        samples = [Sample("no video", (torch.zeros(0, 5, 3), 2)), Sample("no class", (torch.zeros(2, 5, 0), 2)),
                   Sample("no snippet", (torch.zeros(2, 0, 3), 0))]
        for steps, channels in fewer([(7, 3), (1, 1), (63, 8), (64, 11), (65, 40), (257, 21)], 6):
            choices = product(tied=[False, True], k_per_video=[False, True], padded=[False, True],
                              largest=[True, False], dim=[1, 2])
            for options in fewer(choices, 11):
                tied = options.pop("tied")
                scores = torch.randn(3, steps, channels, generator=generator, dtype=torch.float64)
                if tied:
                    scores = (scores * 2).round() / 2
                    scores[0, steps // 2] = NAN
                    scores[1, steps // 3] = INF
                    scores[2, :: 3] = -INF
                k = torch.tensor([1, steps, steps // 2]) if options.pop("k_per_video") else (steps + 7) // 8
                lengths = torch.tensor([steps, steps // 2, 0]) if options.pop("padded") else None
                if options["dim"] == 2:
                    scores = scores.transpose(1, 2).contiguous()
                name = f"T={steps} C={channels} tied={tied} k={k} lengths={lengths} {options}"
                samples.append(Sample(name, (scores, k, lengths), options))
        return samples

    def smooth_samples(self):
        generator = torch.Generator().manual_seed(1)
        scores = torch.randperm(24, generator=generator).double().view(2, 6, 2)  # no ties
        return [Sample(f"{k} {options}", (scores, k), options) for k in (1, 3, 6)
                for options in product(largest=[True, False], lengths=[None, torch.tensor([6, 2])])]

    def raw_samples(self):
        raw = torch.ops.wtal_fast
        counts, lengths = torch.tensor([2, 3]), torch.tensor([5, 1])
        for dtype, requires_grad in itertools.product(DTYPES, (False, True)):
            dense = torch.randn(2, 5, 3).to(dtype)
            for layout in ("contiguous", "transposed", "every second"):
                scores = LAYOUTS[layout](dense).detach().requires_grad_(requires_grad)
                for arguments in ((2, None, None, True), (0, counts, lengths, False)):
                    yield raw.topk_mean.default, (scores, *arguments)
                    _, last = raw.topk_mean(scores.detach(), *arguments)
                    if not requires_grad:
                        yield raw.topk_mean_backward.default, (torch.randn(2, 3).to(dtype), scores, last, *arguments)

    def wrong_arguments(self):
        scores, counts = torch.zeros(2, 5, 3), torch.tensor([1, 2])

        def call(*arguments, **options):
            return lambda: ops.topk_mean(*arguments, **options)

        return {
            "no tensor": (call([[1.0]], 1), TypeError, "scores must be a tensor, got list"),
            "integers": (call(scores.long(), 1), TypeError, "scores must be float32.*got torch.int64"),
            "complex": (call(scores.to(torch.complex64), 1), TypeError, "got torch.complex64"),
            "two dimensions": (call(scores[0], 1), ValueError, r"scores must be \[B, T, C\], got \[5, 3\]"),
            "four dimensions": (call(scores[None], 1, dim=2), ValueError, r"must be \[B, C, T\], got \[1, 2, 5, 3\]"),
            "dim": (call(scores, 1, dim=0), ValueError, "dim must be 1 .* or 2 .*, got 0"),
            "k above T": (call(scores, 6), ValueError, r"k must be in 0\.\.T = 0\.\.5, got 6"),
            "k above T of the other axis": (call(scores, 4, dim=2), ValueError, r"0\.\.3, got 4"),
            "k below 0": (call(scores, -1), ValueError, "got -1"),
            "k of a fraction": (call(scores, 1.5), TypeError, "k must be an int or an int64 tensor .* got float"),
            "k a bool": (call(scores, True), TypeError, "got bool"),
            "k of int32": (call(scores, counts.int()), TypeError, "k must be int64, got torch.int32"),
            "k of another batch": (call(scores, counts[:1]), ValueError, r"k must be \[B\] = \[2\], got \[1\]"),
            "k above T in a tensor": (call(scores, counts * 3), ValueError, "k must be .*5, got values from 3 to 6"),
            "lengths a list": (call(scores, 1, [5, 5]), TypeError, "lengths must be an int64 tensor.*got list"),
            "lengths of float": (call(scores, 1, torch.ones(2)), TypeError, "lengths must be int64, got torch.float32"),
            "lengths of two axes": (call(scores, 1, counts[None]), ValueError, r"lengths must be \[B\] .*got \[1, 2\]"),
            "lengths above T": (call(scores, 1, torch.tensor([5, 6])), ValueError, r"lengths must be .*from 5 to 6"),
            "lengths below 0": (call(scores, 1, torch.tensor([5, -1])), ValueError, "from -1 to 5"),
            "device of lengths": (call(scores, 1, counts.to("meta")), ValueError, "lengths must be on .*cpu, got meta"),
            "device of k": (call(scores, counts.to("meta")), ValueError, "k must be on the device .* cpu, got"),
        }


@pytest.mark.parametrize("scores, k, length, largest, mean, selected", TABLE)
@pytest.mark.parametrize("dtype", fewer(DTYPES, 2), ids=str)
@pytest.mark.parametrize("per_video", fewer([False, True], 2))
def test_table(either, scores, k, length, largest, mean, selected, dtype, per_video):
    scores = torch.tensor(scores, dtype=dtype).view(1, -1, 1)
    k = torch.tensor([k]) if per_video else k
    lengths = torch.tensor([length])
    result = ops.topk_mean(scores, k, lengths, largest)
    assert result.shape == (1, 1) and result.dtype == dtype
    torch.testing.assert_close(result.item(), mean, rtol=0, atol=0, equal_nan=True)
    mask = selected_by(scores, k, lengths, largest).flatten()
    assert mask.nonzero().flatten().tolist() == selected
    across = ops.topk_mean(scores.transpose(1, 2), k, lengths, largest, dim=2)
    torch.testing.assert_close(across, result, rtol=0, atol=0, equal_nan=True)


def test_gradient_is_the_mean_of_the_incoming_one(either):
    scores = torch.tensor([[[4.0, 0.0], [3.0, 9.0], [5.0, 1.0]]], requires_grad=True)  # [1, 3, 2]
    ops.topk_mean(scores, 2).backward(torch.tensor([[10.0, 100.0]]))
    assert scores.grad.tolist() == [[[5.0, 0.0], [0.0, 50.0], [5.0, 50.0]]]


numbers = st.one_of(st.integers(-3, 3).map(float), st.floats(width=32), st.sampled_from([NAN, INF, -INF, 0.0, -0.0]))


@st.composite
def batches(draw):
    """scores [1, T, 1], k, largest: values that often tie, and all that a float can be."""
    values = draw(st.lists(numbers, min_size=1, max_size=90 if not TRITON else 20))
    return torch.tensor(values).view(1, -1, 1), draw(st.integers(0, len(values))), draw(st.booleans())


def examples(count: int):
    """So many; a few under the interpreter. The fixture that chooses the kernels may serve all of them."""
    once = [hypothesis.HealthCheck.function_scoped_fixture]
    return hypothesis.settings(max_examples=count // 20 if TRITON else count, suppress_health_check=once)


@hypothesis.given(batches())
@examples(200)
def test_selection_is_that_of_a_stable_sort(kernels, batch):
    scores, k, largest = batch
    values = scores.flatten().tolist()
    sign = -1 if largest else 1

    def place(t):
        nan = math.isnan(values[t])
        return sign * nan, 0.0 if nan else sign * values[t]

    order = sorted(range(len(values)), key=place)
    mask = selected_by(scores, k, None, largest).flatten()
    assert mask.nonzero().flatten().tolist() == sorted(order[:k])


@hypothesis.given(batches(), st.randoms(use_true_random=False))
@examples(100)
def test_laws(kernels, batch, random):
    scores, k, largest = batch
    scores = scores.nan_to_num(0, 100, -100).clamp(-100, 100).double()
    mean = ops.topk_mean(scores, k, None, largest)
    close = tolerances.EXACT_FORMULA
    order = list(range(scores.shape[1]))
    random.shuffle(order)
    torch.testing.assert_close(ops.topk_mean(scores[:, order], k, None, largest), mean, **close)
    torch.testing.assert_close(-ops.topk_mean(-scores, k, None, not largest), mean, **close)
    if k:
        torch.testing.assert_close(ops.topk_mean(scores + 3, k, None, largest), mean + 3, **close)
    padded = torch.cat([scores, torch.full_like(scores, NAN)], dim=1)
    torch.testing.assert_close(ops.topk_mean(padded, k, torch.tensor([scores.shape[1]]), largest), mean, rtol=0, atol=0)


LONG_ROWS = {  # numpy generator, n -> scores; rows of thousands are selected on digits of the keys
    "normal": lambda random, n: random.normal(size=n),
    "a few values": lambda random, n: random.integers(-2, 3, n) / 2,
    "one far away": lambda random, n: np.where(np.arange(n) == n // 3, 1e30, 1 + random.random(n) * 1e-5),
    "neighbours": lambda random, n: 1 + random.integers(0, 9, n) * 2.0**-23,
    "all magnitudes": lambda random, n: random.choice([-1, 1], n) * 10 ** random.uniform(-44, 38, n),
    "no numbers": lambda random, n: random.choice([NAN, INF, -INF, 0.0, -0.0, 1.0], n),
}


@pytest.mark.parametrize("name", LONG_ROWS)
def test_long_rows_are_those_of_a_stable_sort(kernels, name):
    random = np.random.default_rng(0)
    for steps in (2047, 2048, 5001) if not TRITON else (65,):  # the interpreter is slow
        scores = torch.from_numpy(LONG_ROWS[name](random, steps).astype("float32")).view(1, -1, 1)
        for k, largest in itertools.product((1, steps // 8, steps - 1), (True, False)):
            found = selected_by(scores, k, None, largest).flatten()
            plain = scores.flatten() + 0.0  # no -0
            assert torch.equal(found.nonzero().flatten(), plain.sort(stable=True, descending=largest)[1][:k].sort()[0])


def test_a_batch_is_its_videos(kernels):
    scores, lengths = torch.randn(5, 40, 9), torch.tensor([40, 0, 7, 1, 39])
    k = torch.tensor([3, 3, 20, 1, 39])
    whole = ops.topk_mean(scores, k, lengths)
    parts = [ops.topk_mean(scores[b: b + 1], k[b: b + 1], lengths[b: b + 1]) for b in range(5)]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)


def test_offsets_beyond_32_bits(kernels, tmp_path):
    """Two snippets more than 2**31 numbers apart, in a sparse file."""
    stride = 2**31 + 3
    path = tmp_path / "sparse"
    with open(path, "wb") as file:
        file.truncate(4 * (stride + 1))
    stored = torch.from_file(str(path), shared=True, size=stride + 1)
    stored[0], stored[stride] = 1.0, 3.0
    scores = stored.as_strided((1, 2, 1), (1, stride, 1))
    assert ops.topk_mean(scores, 1).item() == 3.0
    assert ops.topk_mean(scores, 2).item() == 2.0


def test_autocast_leaves_the_dtype(kernels):
    with torch.autocast("cpu", torch.bfloat16):
        assert ops.topk_mean(torch.randn(1, 4, 2), 2).dtype == torch.float32
        assert ops.topk_mean(torch.randn(1, 4, 2).bfloat16(), 2).dtype == torch.bfloat16


def test_counts_out_of_range_are_clamped_where_they_are_not_read(kernels):
    """As on a GPU: the op itself, below the checks of the public function."""
    scores = torch.tensor([[[1.0], [2.0], [4.0]]] * 3)  # [3, 3, 1]
    k, lengths = torch.tensor([9, -2, 2]), torch.tensor([2, 3, 99])
    mean, last = torch.ops.wtal_fast.topk_mean(scores, 0, k, lengths, True)
    assert mean.tolist() == [[1.5], [0.0], [3.0]] and last.tolist() == [[0], [-1], [1]]


@pytest.fixture(scope="session")
def cuda_on_cpu(tmp_path_factory):
    """The CUDA kernels compiled for fibers of the CPU."""
    return compile_for_cpu("topk_mean_cuda", tmp_path_factory.mktemp("cuda_on_cpu"))


def run_cuda_on_cpu(library, scores, k, k_per_video, lengths, largest, variant, grad_mean):
    """Mean, last index and gradient of the CUDA kernels; k and lengths as in the dispatcher op."""
    shape = (*scores.shape,)
    mean, last = torch.empty(shape[0], shape[2], dtype=scores.dtype), torch.empty(shape[0], shape[2], dtype=torch.int64)
    grad = torch.empty_like(scores)
    for kernel in (variant, 4):
        library.topk_mean(
            integers(*shape), DTYPES.index(scores.dtype), kernel, pointer(scores), integers(*scores.stride()),
            ctypes.c_int64(k), pointer(k_per_video), pointer(lengths), int(largest),
            pointer(mean), pointer(last), pointer(grad_mean), pointer(grad), integers(*grad.stride()))
    return mean, last, grad


CUDA_CASES = [  # T, ties, largest
    (1, False, True),
    (33, True, True),
    (97, True, False),
    (300, False, False),
    (300, True, True),
]


@pytest.mark.skipif(TRITON, reason="native: no Triton kernel in it")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("variant", range(4), ids=["short in a warp", "long in a warp", "in a block", "streamed"])
def test_cuda_kernels_on_cpu(cuda_on_cpu, dtype, variant):
    generator = torch.Generator().manual_seed(2)
    for steps, tied, largest in CUDA_CASES:
        scores = torch.randn(2, steps, 3, generator=generator).to(dtype)
        if tied:
            scores = (scores * 2).round() / 2
            scores[0, steps // 2], scores[1, 0] = NAN, INF
            scores = scores.transpose(1, 2).contiguous().transpose(1, 2)
        grad_mean = torch.randn(2, 3, generator=generator).to(dtype)
        counts = ((steps + 7) // 8, None, None)
        if tied:
            counts = (0, torch.tensor([steps // 3, steps]), torch.tensor([steps, steps // 2]))
        actual = run_cuda_on_cpu(cuda_on_cpu, scores, *counts, largest, variant, grad_mean)
        with use_backend("reference"):
            mean, last = torch.ops.wtal_fast.topk_mean(scores, *counts, largest)
            grad = torch.ops.wtal_fast.topk_mean_backward(grad_mean, scores, last, *counts, largest)
        assert_equal(actual, [mean, last, grad], dtype, f"T={steps} tied={tied}")
