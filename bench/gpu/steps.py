"""The training step as the engine runs it, resident and recorded, against the bare matrix products it needs."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch

from bench.floors import step_floor
from bench.gpu.part import main, median_seconds
from bench.gpu.simulated import simulated_sets
from bench.training import METHODS, Shape, settings
from wtal_fast.engine.distributed import Processes
from wtal_fast.engine.feed import placed
from wtal_fast.engine.methods import configure
from wtal_fast.engine.precision import matrix_mode
from wtal_fast.engine.trainer import Trainer

SHAPES = {"full": Shape(), "quick": Shape(8, 200, 256, 256), "tiny": Shape(3, 20, 16, 16)}
TARGET = 1.5  # of the floor, bf16
STEPS = {"full": 26, "quick": 20, "tiny": 8}


def measure(device: str, size: str) -> Iterator[dict]:
    """One row a method, precision and kind of step."""
    rows = []
    for method in METHODS:
        for precision in ("bf16", "tf32") if device == "cuda" else ("bf16",):
            for graph in ("on", "off") if device == "cuda" else ("off",):
                try:
                    rows.append(_row(method, precision, graph, device, size))
                except Exception as error:  # one kind that fails must not hide the others
                    rows.append({"method": method, "precision": precision, "cuda_graph": graph,
                                 "error": f"{type(error).__name__}: {str(error)[:500]}"})
                if device == "cuda":
                    torch.cuda.empty_cache()
                yield {"target": TARGET, "rows": rows}


def _row(method: str, precision: str, graph: str, device: str, size: str) -> dict:
    shape = SHAPES[size]
    values = settings(method, shape, dropout=True) | {
        "train.precision": precision, "train.cuda_graph": graph, "train.batch_size": shape.videos,
        "data.num_snippets": shape.snippets, "train.iterations": 1000, "data.class_names": None}
    if method == "backtal":
        values["data.clicks"] = "simulated"
    config = configure(f"{method}/thumos14/official", values)
    train, _ = simulated_sets(size, config.data)
    trainer = Trainer(config, placed(train, torch.device(device), "memory"), torch.device(device), Processes())
    for _ in range(2 * trainer.plan.steps_per_epoch):
        trainer.read([trainer.advance()])
    _finish(device)
    started, unread = time.perf_counter(), []
    for _ in range(STEPS[size]):
        unread.append(trainer.advance())
    trainer.read(unread)
    _finish(device)
    seconds = (time.perf_counter() - started) / STEPS[size]
    floor = step_floor(trainer.model, shape, torch.bfloat16 if precision == "bf16" else torch.float32, device)
    videos = sum(len(trainer.plan.indices(trainer.step - 1 - back)) for back in range(STEPS[size])) / STEPS[size]
    with matrix_mode(precision):
        bare = min(median_seconds(call, device) for call in floor.calls) * floor.share * videos / shape.videos
    memory = torch.cuda.max_memory_allocated() if device == "cuda" else None
    return {"method": method, "precision": precision, "cuda_graph": graph, "shape": str(shape),
            "videos_a_step": videos, "seconds_a_step": seconds, "floor_seconds": bare, "over_floor": seconds / bare,
            "peak_bytes": memory}


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main(measure, __doc__)
