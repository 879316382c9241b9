"""A run of THUMOS'14's size, 100 epochs with an evaluation after each, against the released code's on the same device.

The released run is not done whole: 20 steps and one evaluation are timed and multiplied, and the result says so.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from bench.cases_evaluate import in_pandas
from bench.cases_postprocessing import localize_case, simulated_detections, simulated_truth
from bench.gpu.part import main
from bench.gpu.simulated import SIZES, simulated_sets
from bench.gpu.steps import SHAPES
from bench.training import METHODS, our_step, random_batch, released_step, settings
from wtal_fast.engine.methods import configure
from wtal_fast.engine.train import fit

EPOCHS = {"full": 100, "quick": 4, "tiny": 2}
RELEASED_STEPS = {"full": 20, "quick": 3, "tiny": 2}
TARGETS = {"seconds": 15, "ratio": 100}


def measure(device: str, size: str) -> Iterator[dict]:
    """One row a method; a part that fails has its error instead of its numbers."""
    rows = []
    for method in METHODS:
        rows.append({"method": method, "epochs": EPOCHS[size]})
        for _ in _measured(rows[-1], method, device, size):
            yield {"targets": TARGETS, "rows": rows}


def _measured(row: dict, method: str, device: str, size: str) -> Iterator[None]:
    """Completes `row`, part by part."""
    for part in (_ours, _released):
        try:
            row |= part(method, device, size)
        except Exception as error:  # what was measured before must not be lost
            row[f"error_{part.__name__.strip('_')}"] = f"{type(error).__name__}: {str(error)[:500]}"
        if device == "cuda":
            torch.cuda.empty_cache()
        yield
    if "seconds" in row and "released_seconds_extrapolated" in row:
        row["ratio_extrapolated"] = row["released_seconds_extrapolated"] / row["seconds"]
    yield


def _ours(method: str, device: str, size: str) -> dict:
    """Wall time of fit: moving the data to the device, 100 epochs and 100 evaluations."""
    shape = SHAPES[size]
    values = settings(method, shape, dropout=True) | {
        "train.epochs": EPOCHS[size], "train.batch_size": shape.videos, "data.num_snippets": shape.snippets,
        "train.precision": "bf16", "data.class_names": None, "train.selection": "last"}
    if method == "backtal":
        values["data.clicks"] = "simulated"
    config = configure(f"{method}/thumos14/recommended", values)
    train, test = simulated_sets(size, config.data)
    steps = -(-len(train) // shape.videos)
    config = config.model_copy(update={"train": config.train.model_copy(update={"eval_every": steps})})
    started = time.perf_counter()
    fit(config, train, test, device, show=False)
    if device == "cuda":
        torch.cuda.synchronize()
    return {"seconds": time.perf_counter() - started, "precision": "bf16", "steps": steps * EPOCHS[size],
            "evaluations": EPOCHS[size], "test_videos": len(test)}


def _released(method: str, device: str, size: str) -> dict:
    """Seconds of the released formulation in fp32: its step, and one evaluation (forward pass of one video at a time,
    post-processing in NumPy, mAP in pandas), multiplied to the same number of each."""
    shape = SHAPES[size]
    step = released_step(method, our_step(method, random_batch(shape, device), shape))
    for _ in range(2):
        float(step())
    started = time.perf_counter()
    for _ in range(RELEASED_STEPS[size]):
        float(step())
    step_seconds = (time.perf_counter() - started) / RELEASED_STEPS[size]
    evaluation = _released_evaluation(method, step.model.eval(), size, device)
    steps = -(-SIZES[size][0] // shape.videos) * EPOCHS[size]
    return {"released_step_seconds": step_seconds, "released_evaluation_seconds": evaluation,
            "released_precision": "fp32", "released_is": f"extrapolated from {RELEASED_STEPS[size]} steps and one "
            "evaluation", "released_seconds_extrapolated": steps * step_seconds + EPOCHS[size] * evaluation}


@torch.no_grad()
def _released_evaluation(method: str, model, size: str, device: str) -> float:
    """Forward passes of the test videos one at a time, post-processing of simulated outputs, mAP of simulated
    detections: as many as the released code has on THUMOS'14."""
    shape, (_, videos, _), count = SHAPES[size], SIZES[size], {"full": 16_763, "quick": 1_000, "tiny": 50}[size]
    batch = random_batch(replace(shape, videos=1), device)
    (post_processing,), = localize_case(method, videos, shape.snippets).baselines.values()
    draw = np.random.default_rng(0)
    truth = simulated_truth(draw, videos, 20)
    mean_precision = in_pandas(truth, simulated_detections(draw, truth, count), np.linspace(0.1, 0.9, 9))
    started = time.perf_counter()
    for _ in range(videos):
        outputs = model(batch.features)
        [tensor.cpu() for tensor in torch.utils._pytree.tree_leaves(outputs)]
    post_processing()
    mean_precision()
    return time.perf_counter() - started


if __name__ == "__main__":
    main(measure, __doc__)
