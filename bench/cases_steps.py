"""Training steps of the three methods against the released code and against their bare matrix products."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import torch

from bench.case import FLOOR, Case, Plan, compiled
from bench.environment import has_amx
from bench.floors import step_floor
from bench.training import METHODS, NAMES, Shape, Step, our_step, random_batch, released_step

RELEASED = "released training step, restated, fp32"
COMPILED = "torch.compile of the released network, fp32"
FP32_TARGETS = {"basnet": 1.6, "uncertainty": 1.1, "backtal": 3.0}
BF16_TARGETS = {"basnet": 6.0, "uncertainty": 4.0, "backtal": 11.0}
SAME_LOSS = {"rtol": 1e-4, "atol": 1e-4}  # float32: the loss and the gradient norms
LIKE_LOSS = {"rtol": 0.1, "atol": 0.05}  # bfloat16 against float32


def shapes(plan: Plan) -> Shape:
    """THUMOS'14 at the released widths, or narrow."""
    return plan.pick(tiny=Shape(2, 24, 16, 16), quick=Shape(4, 200, 256, 256), full=Shape())


def step_cases(method: str, plan: Plan) -> Iterator[Case]:
    """fp32 and bf16 on the same batch; timed with dropout, compared without."""
    shape = shapes(plan)
    batch = random_batch(shape, plan.device)
    for precision in ("fp32", "bf16"):
        bf16 = precision == "bf16"
        ours = our_step(method, batch, shape, precision=precision)
        theirs = released_step(method, ours)
        same = partial(_loss_only, theirs) if bf16 else theirs.without_dropout
        baselines, checked = {RELEASED: [theirs]}, {RELEASED: same}
        if not bf16:
            through_compiler = compiled_step(method, ours)
            baselines[COMPILED], checked[COMPILED] = [through_compiler], through_compiler.without_dropout
        targets = {RELEASED: (BF16_TARGETS if bf16 else FP32_TARGETS)[method], FLOOR: 0.65 if bf16 else 0.8}
        yield Case(
            f"{NAMES[method]} training step, {precision}, {shape}", ours, baselines,
            LIKE_LOSS if bf16 else SAME_LOSS, targets,
            checked=partial(_loss_only, ours) if bf16 else ours.without_dropout,
            checked_baselines=checked,
            floor=step_floor(ours.model, shape, torch.bfloat16 if bf16 else torch.float32, plan.device),
            released={RELEASED: f"{NAMES[method]} training step"}, judged=not bf16 or has_amx())


def compiled_step(method: str, ours: Step) -> Step:
    """The released step with its network through torch.compile; its loss loops over videos and stays as it is."""
    step = released_step(method, ours)
    network = compiled(step.model)
    return replace(step, forward=lambda batch: network(batch.features))


def _loss_only(step) -> torch.Tensor:
    return step.without_dropout()[0]


CASES: dict[str, Callable[[Plan], Iterator[Case]]] = {f"step_{method}": partial(step_cases, method)
                                                       for method in METHODS}
