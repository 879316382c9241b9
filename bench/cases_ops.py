"""The ops of training, forward and backward, against stock PyTorch, torch.compile and the released code."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from bench import baselines
from bench.case import FLOOR, Case, Plan, compiled
from bench.environment import has_amx
from bench.floors import product_floor
from bench.released.backtal import attention_conv1d, similarity
from bench.released.layers import SLOPE
from wtal_fast import ops

SAME_SUMS = {"rtol": 1e-5, "atol": 1e-6}  # float32 sums in another order
SAME_PRODUCTS = {"rtol": 1e-3, "atol": 1e-3}  # float32 sums of thousands of products
HALVES = (torch.bfloat16, torch.float16)
BFLOAT16 = {"rtol": 5e-2, "atol": 5e-2}  # bfloat16 against float32, values of the order of 1
PROVIDERS = ("reference", "triton")  # ours on these too, beside the default
TOPK, SORT = "torch.topk(sorted=False).mean, better layout", "sort and slice (released BaS-Net)"
GATHER = "sort and gather (released UM)"
EAGER, COMPILED = "PyTorch eager", "torch.compile of the eager spelling"
BRANCHES = "released AttentionConv1d of both branches, restated, fp32"
CONV, COSINES = "released AttentionConv1d, restated, fp32", "released cosines, restated"


def draw(*shape: int, plan: Plan, dtype: torch.dtype = torch.float32, seed: int = 0) -> Tensor:
    """Normal random numbers, equal on every device."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(plan.device, dtype)


def gradient_too(function: Callable, *inputs: Tensor) -> Callable[[], list[Tensor]]:
    """A call of function(*inputs) and its backward: the output and the gradients of all inputs."""
    leaves = [tensor.detach().requires_grad_() for tensor in inputs]
    weights: list[Tensor] = []

    def call() -> list[Tensor]:
        output = function(*leaves)
        if not weights:
            weights.append(torch.linspace(-1, 1, output.numel(), device=output.device).view_as(output).to(output.dtype))
        return [output.detach(), *torch.autograd.grad(output, leaves, weights[0])]

    return call


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def topk_mean(plan: Plan) -> Iterator[Case]:
    """T/8 of T snippets: batches of THUMOS'14 and ActivityNet, upsampled ones, one video of 100,000 snippets."""
    shapes = plan.pick(tiny=((2, 16, 3),), quick=((16, 750, 21), (128, 100, 101)),
                       full=((16, 750, 21), (16, 10_000, 21), (128, 100, 101), (1, 100_000, 21)))
    for shape in shapes:
        yield from _topk_mean(plan, shape, torch.float32, judged=shape in ((16, 750, 21), (16, 10_000, 21)))
    for dtype in HALVES:
        yield from _topk_mean(plan, shapes[0], dtype, judged=False)


def _topk_mean(plan: Plan, shape: tuple[int, int, int], dtype: torch.dtype, judged: bool) -> Iterator[Case]:
    batch, steps, classes = shape
    k = steps // 8
    by_time = _untied(shape, k, plan).to(dtype)
    layouts = {1: by_time, 2: by_time.transpose(1, 2).contiguous()}
    tolerance = SAME_SUMS if dtype == torch.float32 else {"rtol": 2e-2, "atol": 1e-2}
    sort = f"sort and slice, (16, {steps}, 21)"
    topk = f"topk and mean, (16, {steps}, 21)"
    for dim, scores in layouts.items():
        name = f"{shape} [B, T, C]" if dim == 1 else f"({batch}, {classes}, {steps}) [B, C, T]"
        name = f"{name}, k={k}, {_name(dtype)}"
        yield Case(
            f"topk_mean forward, {name}", partial(_mean, scores, k, dim),
            {TOPK: [partial(baselines.topk_then_mean, each, k, axis) for axis, each in layouts.items()],
             SORT: [partial(baselines.sort_then_mean, by_time, k, 1)],
             COMPILED: [partial(compiled(partial(baselines.topk_then_mean, k=k, dim=dim)), scores)]},
            tolerance, {TOPK: 6.0 if dim == 1 else 8.0} if judged else {}, backends=PROVIDERS,
            released={TOPK: topk, SORT: sort} if judged else {})
        if dtype != torch.float32:
            continue  # short floats tie, and torch.topk says not which of equal scores it takes
        # The gradients are compared as views [B, T, C], whatever the layout.
        theirs = [partial(_by_time, gradient_too(partial(baselines.topk_then_mean, k=k, dim=axis), each), axis)
                  for axis, each in layouts.items()]
        yield Case(
            f"topk_mean forward and backward, {name}",
            partial(_by_time, gradient_too(partial(_mean, k=k, dim=dim), scores), dim), {TOPK: theirs},
            tolerance, {TOPK: 6.0} if judged else {})


def _untied(shape: tuple[int, int, int], k: int, plan: Plan) -> Tensor:
    """Scores [B, T, C] whose k-th largest is no other's equal, so that all agree on what is taken."""
    for seed in itertools.count():
        scores = draw(*shape, plan=plan, seed=seed)
        best = scores.topk(k + 1, 1).values  # [B, k + 1, C]
        if bool((best[:, k - 1] > best[:, k]).all()):
            return scores


def _mean(scores: Tensor, k: int, dim: int) -> Tensor:
    return ops.topk_mean(scores, k, dim=dim)


def _by_time(call: Callable[[], list[Tensor]], dim: int) -> list[Tensor]:
    mean, gradient = call()
    return [mean, gradient.transpose(1, dim)]


def topk_select_mean(plan: Plan) -> Iterator[Case]:
    """UM's mean feature of T/9 snippets; the gradient is that of the features."""
    for steps in plan.pick(tiny=(18,), quick=(100,), full=(100, 750)):
        shape = plan.pick(tiny=(2, steps, 8), quick=(16, steps, 256), full=(16, steps, 2048))
        features, keys, k = draw(*shape, plan=plan), draw(*shape[:2], plan=plan, seed=1), steps // 9
        calls = {name: partial(function, keys=keys, k=k) for name, function in (
            ("", ops.topk_select_mean), (GATHER, baselines.sort_then_gather), (EAGER, baselines.topk_then_select))}
        calls[COMPILED] = partial(compiled(baselines.topk_then_select), keys=keys, k=k)
        for kind, timed in (("forward", lambda call, x: partial(call, x)), ("forward and backward", gradient_too)):
            yield Case(f"topk_select_mean {kind}, {shape}, k={k}, float32", timed(calls[""], features),
                       {name: [timed(call, features)] for name, call in calls.items()
                        if name and not (name == COMPILED and kind != "forward")},
                       SAME_SUMS, {}, backends=PROVIDERS)
        for dtype in HALVES:
            yield Case(f"topk_select_mean forward, {shape}, k={k}, {_name(dtype)}",
                       partial(calls[""], features.to(dtype)), {GATHER: [partial(calls[GATHER], features.to(dtype))]},
                       BFLOAT16, {}, backends=PROVIDERS)


def local_affinity(plan: Plan) -> Iterator[Case]:
    """Cosines of neighbouring embeddings, three taps; the released code has them in [B, E, T]."""
    shapes = plan.pick(tiny=((2, 9, 4),), quick=((16, 750, 32),),
                       full=((16, 750, 32), (128, 100, 32), (1, 100_000, 32)))
    for shape in shapes:
        embedding = draw(*shape, plan=plan)
        released = partial(_released_cosines, embedding.transpose(1, 2).contiguous())
        yield Case(f"local_affinity forward, {shape}, h=3, float32", partial(ops.local_affinity, embedding),
                   {COSINES: [released], EAGER: [partial(baselines.neighbour_cosines, embedding)],
                    COMPILED: [partial(compiled(baselines.neighbour_cosines), embedding)]},
                   SAME_SUMS, {}, backends=PROVIDERS)
        yield Case(f"local_affinity forward and backward, {shape}, h=3, float32",
                   gradient_too(ops.local_affinity, embedding),
                   {COSINES: [gradient_too(_cosines_by_time, embedding)],
                    EAGER: [gradient_too(baselines.neighbour_cosines, embedding)]},
                   {"rtol": 1e-4, "atol": 1e-5}, {}, backends=PROVIDERS)
        for dtype in HALVES:
            half = embedding.to(dtype)
            yield Case(f"local_affinity forward, {shape}, h=3, {_name(dtype)}", partial(ops.local_affinity, half),
                       {EAGER: [partial(baselines.neighbour_cosines, half)]}, BFLOAT16, {}, backends=PROVIDERS)


def _released_cosines(embedding: Tensor) -> Tensor:
    return similarity(embedding).transpose(1, 2)


def _cosines_by_time(embedding: Tensor) -> Tensor:
    return similarity(embedding.transpose(1, 2)).transpose(1, 2)


def affinity_conv1d(plan: Plan) -> Iterator[Case]:
    """BackTAL's convolution at the size of its second layer, as released and as in the paper, then ActivityNet's 100
    snippets and one video of 100,000, narrower. The memory of its backward is that of `python -m bench.memory`."""
    shape = plan.pick(tiny=(2, 12, 8), quick=(4, 200, 256), full=(16, 750, 2048))
    yield from _affinity_conv1d(plan, shape, judged=True)
    for shape in plan.pick(tiny=(), quick=(), full=((128, 100, 512), (1, 100_000, 256))):
        yield from _affinity_conv1d(plan, shape, judged=False)


def _affinity_conv1d(plan: Plan, size: tuple[int, int, int], judged: bool) -> Iterator[Case]:
    batch, steps, width = size
    x, affinity, weight = _conv_inputs(plan, *size)
    shape = f"B={batch}, T={steps}, {width}->{width}, h=3"
    by_channel = [x.transpose(1, 2).contiguous(), affinity.transpose(1, 2).contiguous(), weight]
    floor = partial(product_floor, batch * steps, 3 * width, width, device=plan.device)
    released = partial(_released_conv, *by_channel)
    official = partial(ops.affinity_conv1d, layout="official")
    row = {CONV: "AttentionConv1d forward"} if judged else {}
    yield Case(f"affinity_conv1d forward, float32, {shape}", partial(official, x, affinity, weight),
               {CONV: [released]}, SAME_PRODUCTS, {FLOOR: 1 / 1.10} if judged else {}, backends=PROVIDERS,
               floor=floor(dtype=torch.float32), released=row)
    yield Case(f"affinity_conv1d forward and backward, float32, {shape}",
               gradient_too(official, x, affinity, weight),
               {CONV: [gradient_too(_released_by_time, x, affinity, weight)]},
               SAME_PRODUCTS, {CONV: 1.4} if judged else {}, backends=PROVIDERS)
    for dtype in HALVES:
        half = [tensor.to(dtype) for tensor in (x, affinity, weight)]
        targets = {CONV: 6.0, FLOOR: 1 / 1.25} if judged and dtype == torch.bfloat16 else {}
        yield Case(f"affinity_conv1d forward, {_name(dtype)}, {shape}", partial(official, *half), {CONV: [released]},
                   BFLOAT16, targets, floor=floor(dtype=dtype), released=row, judged=has_amx())
    if judged:
        yield Case(f"affinity_conv1d forward, layout of the paper, float32, {shape}",
                   partial(ops.affinity_conv1d, x, affinity, weight),
                   {EAGER: [partial(baselines.affinity_after_products, x, affinity, weight)],
                    COMPILED: [partial(compiled(baselines.affinity_after_products), x, affinity, weight)]},
                   SAME_PRODUCTS, {}, floor=floor(dtype=torch.float32))


def _conv_inputs(plan: Plan, batch: int, steps: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """x [B, T, D], affinity [B, T, 3] in -1..1 and a weight [D, D, 3] that keeps outputs of the order of 1."""
    return (draw(batch, steps, width, plan=plan), draw(batch, steps, 3, plan=plan, seed=1).tanh(),
            draw(width, width, 3, plan=plan, seed=2) / (3 * width) ** 0.5)


def two_branch_conv1d(plan: Plan) -> Iterator[Case]:
    """BackTAL's first layer on the features and on the suppressed features; the features need no gradient."""
    batch, steps, width = plan.pick(tiny=(2, 12, 8), quick=(4, 200, 256), full=(16, 750, 2048))
    x, affinity, weight = _conv_inputs(plan, batch, steps, width)
    foreground = draw(batch, steps, plan=plan, seed=3).sigmoid()
    by_channel = x.transpose(1, 2).contiguous()

    def ours(foreground: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
        return ops.two_branch_conv1d(x.to(weight.dtype), foreground, weight, None, affinity, "official", SLOPE)

    def released(foreground: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
        inputs = (by_channel, by_channel * foreground.unsqueeze(1))
        outputs = [attention_conv1d(each, affinity.transpose(1, 2), weight) for each in inputs]
        return torch.nn.functional.leaky_relu(torch.stack(outputs), SLOPE).transpose(2, 3)

    floor = partial(product_floor, batch * steps, 3 * width, width, device=plan.device)
    shape, inputs = f"B={batch}, T={steps}, {width}->{width}, h=3", (foreground, affinity, weight)
    for kind, timed, products in (("forward", partial, 1), ("forward and backward", gradient_too, 2)):
        bare = floor(dtype=torch.float32)
        yield Case(f"two_branch_conv1d {kind}, float32, {shape}", timed(ours, *inputs),
                   {BRANCHES: [timed(released, *inputs)]}, SAME_PRODUCTS, {}, backends=PROVIDERS,
                   floor=replace(bare, share=products * bare.share))
    for dtype in HALVES:
        yield Case(f"two_branch_conv1d forward, {_name(dtype)}, {shape}",
                   partial(ours, *(tensor.to(dtype) for tensor in inputs)), {BRANCHES: [partial(released, *inputs)]},
                   BFLOAT16, {}, floor=floor(dtype=dtype))


def _released_conv(x: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
    return attention_conv1d(x, affinity, weight).transpose(1, 2)


def _released_by_time(x: Tensor, affinity: Tensor, weight: Tensor) -> Tensor:
    return _released_conv(x.transpose(1, 2), affinity.transpose(1, 2), weight)


CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {
    "topk_mean": topk_mean, "topk_select_mean": topk_select_mean, "local_affinity": local_affinity,
    "affinity_conv1d": affinity_conv1d, "two_branch_conv1d": two_branch_conv1d}
