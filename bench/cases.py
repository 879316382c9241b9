"""What is measured: for each name that `python -m bench.run` takes, ours and the baselines on equal inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from bench import baselines, cases_evaluate, cases_postprocessing, cases_steps
from bench.case import Case, Plan
from wtal_fast import ops

SAME_SUMS = {"rtol": 1e-5, "atol": 1e-6}  # float32 sums in another order


def gradient_too(function, scores: Tensor, k: int, dim: int) -> Callable[[], object]:
    """A call of function(scores, k, dim) and its backward; the gradient comes back as a view [B, T, C]."""
    scores = scores.detach().requires_grad_()
    weights = torch.linspace(-1, 1, 16 * 21).view(16, 21)

    def call():
        mean = function(scores, k, dim)
        gradient, = torch.autograd.grad(mean, scores, weights)
        return mean.detach(), gradient.transpose(1, dim)

    return call


def _ours(scores: Tensor, k: int, dim: int) -> Tensor:
    return ops.topk_mean(scores, k, dim=dim)


def topk_mean(plan: Plan) -> Iterator[Case]:
    """T/8 of T snippets, as UM and BackTAL pool them, on THUMOS'14 batches and on upsampled ones."""
    topk, sort = "torch.topk(sorted=False).mean, better layout", "sort and slice (released BaS-Net)"
    for steps in plan.pick(tiny=(16,), quick=(750,), full=(750, 10000)):
        k = steps // 8
        by_time = torch.randn(16, steps, 21, generator=torch.Generator().manual_seed(0))
        layouts = {1: by_time, 2: by_time.transpose(1, 2).contiguous()}
        for dim, scores in layouts.items():
            shape = f"(16, {steps}, 21) [B, T, C]" if dim == 1 else f"(16, 21, {steps}) [B, C, T]"
            yield Case(
                f"topk_mean forward, {shape}, k={k}, float32",
                partial(_ours, scores, k, dim),
                {topk: [partial(baselines.topk_then_mean, each, k, axis) for axis, each in layouts.items()],
                 sort: [partial(baselines.sort_then_mean, by_time, k, 1)]},
                SAME_SUMS, {topk: 6.0 if dim == 1 else 8.0}, backends=("reference",),
                released={} if plan.size == "tiny" else {
                    topk: f"topk and mean, (16, {steps}, 21)", sort: f"sort and slice, (16, {steps}, 21)"})
            yield Case(
                f"topk_mean forward and backward, {shape}, k={k}, float32",
                gradient_too(_ours, scores, k, dim),
                {topk: [gradient_too(baselines.topk_then_mean, each, k, axis) for axis, each in layouts.items()]},
                SAME_SUMS, {topk: 6.0})


CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {
    "topk_mean": topk_mean, **cases_steps.CASES, **cases_postprocessing.CASES, **cases_evaluate.CASES}
