"""Sampling and gathering a batch, and the loss that loops over videos in the released code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.case import Case, Plan
from bench.released import backtal_loss
from bench.released.sampling import random_perturb
from bench.training import Shape, random_batch
from wtal_fast.data import sampling
from wtal_fast.data.features import FeatureSet
from wtal_fast.losses.backtal import BackTALLoss
from wtal_fast.structures import CASOutput, FeatureBatch

LOOP, MEMCPY = "released random_perturb, restated", "memcpy of the same bytes"
LOSS = "released BackTAL loss, restated"


def sample_indices(plan: Plan) -> Iterator[Case]:
    """The snippets of one batch: videos of 100 to 2,000 snippets, 750 of each.

    The draws differ, so what is compared is what ours makes of the uniform numbers that give the released loop's draws.
    """
    videos, snippets = plan.pick(tiny=(2, 20), quick=(16, 750), full=(16, 750))
    lengths = torch.randint(100, 2000, (videos,), generator=torch.Generator().manual_seed(0))
    np.random.seed(0)
    drawn = torch.stack([torch.from_numpy(random_perturb(length, snippets)) for length in lengths.tolist()])
    low = sampling.uniform(lengths, snippets)
    high = torch.cat([low[:, 1:], lengths[:, None] - 1], 1)
    uniform = (drawn - low + 0.5).double() / (high - low + 1)
    generator = torch.Generator()
    yield Case(f"snippet indices of a batch, {videos} videos, {snippets} of 100 to 2,000 snippets",
               lambda: sampling.stratified_perturb(lengths, snippets, generator),
               {LOOP: [lambda: [random_perturb(length, snippets) for length in lengths.tolist()]]},
               {"rtol": 0, "atol": 0}, {LOOP: 100}, checked=partial(sampling.perturbed, lengths, snippets, uniform),
               checked_baselines={LOOP: lambda: drawn}, released={LOOP: "sampling of one batch"})


def sample_gather(plan: Plan) -> Iterator[Case]:
    """The features of one batch out of a set in memory, into memory that a training reuses."""
    videos, snippets, width = plan.pick(tiny=(2, 20, 8), quick=(16, 200, 512), full=(16, 750, 2048))
    lengths = torch.full((2 * videos,), snippets + snippets // 3)
    values = torch.randn(int(lengths.sum()), width)
    features = FeatureSet(values, torch.cumsum(lengths, 0) - lengths, lengths)
    index = torch.randperm(2 * videos, generator=torch.Generator().manual_seed(0))[:videos]
    rows = sampling.stratified_perturb(lengths[index], snippets, torch.Generator().manual_seed(0))
    ours, theirs = torch.empty(videos, snippets, width), torch.empty(videos, snippets, width)
    source = features.gather(index, rows)
    yield Case(f"features of a batch, ({videos}, {snippets}, {width}) float32, from a set of {2 * videos} videos",
               partial(features.gather, index, rows, out=ours), {MEMCPY: [partial(theirs.copy_, source)]},
               {"rtol": 0, "atol": 0}, {MEMCPY: 0.6})


def loss_backtal(plan: Plan) -> Iterator[Case]:
    """The whole BackTAL loss and its gradients from the outputs of a network."""
    shape = plan.pick(tiny=Shape(2, 24, 8, 8, 3), quick=Shape(features=8), full=Shape(features=8))
    batch = random_batch(shape, plan.device)
    generator = torch.Generator().manual_seed(1)
    size = (shape.videos, shape.snippets)
    base, suppressed = (torch.randn(*size, shape.classes + 1, generator=generator).to(plan.device) for _ in range(2))
    embedding = torch.randn(*size, 32, generator=generator).to(plan.device)
    foreground = torch.rand(*size, generator=generator).to(plan.device)
    leaves = [tensor.requires_grad_() for tensor in (base, suppressed, foreground, embedding)]
    yield Case(f"BackTAL loss forward and backward, B={shape.videos}, T={shape.snippets}, C={shape.classes}",
               partial(_with_gradients, _our_loss, leaves, batch),
               {LOSS: [partial(_with_gradients, _released_loss, leaves, batch)]},
               {"rtol": 1e-4, "atol": 1e-6}, {})


def _pooled(cas: Tensor) -> Tensor:
    return torch.topk(cas, max(1, cas.shape[1] // 8), dim=1).values.mean(1)


def _our_loss(base: Tensor, suppressed: Tensor, foreground: Tensor, embedding: Tensor, batch: FeatureBatch) -> Tensor:
    output = CASOutput(suppressed, _pooled(suppressed), base, _pooled(base), foreground, F.normalize(embedding, dim=2))
    return BackTALLoss()(output, batch)["total"]


def _released_loss(base: Tensor, suppressed: Tensor, foreground: Tensor, embedding: Tensor,
                   batch: FeatureBatch) -> Tensor:
    branches = [(_pooled(cas), cas.transpose(1, 2)) for cas in (base, suppressed)]
    return backtal_loss.loss((*branches, foreground, F.normalize(embedding, dim=2).transpose(1, 2)), batch)


def _with_gradients(loss: Callable[..., Tensor], leaves: list[Tensor], batch: FeatureBatch) -> list[Tensor]:
    total = loss(*leaves, batch)
    return [total.detach(), *torch.autograd.grad(total, leaves)]


CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {
    "sampling_indices": sample_indices, "sampling_gather": sample_gather, "loss_backtal": loss_backtal}
