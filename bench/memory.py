"""Peak memory of training steps and ops, ours and the released code's, each alone in a process of its own.

    python -m bench.memory [name ...] [--quick] [--threads 2] [--device cpu] [--output FILE]

A step is measured from before its model and batch exist (weights, gradients, Adam's moments and features count), an op
from after its inputs exist. On the CPU that is the growth of the resident set, on a GPU of the allocator's peak.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from bench.case import Plan
from bench.cases_ops import draw, gradient_too
from bench.cases_steps import shapes
from bench.environment import describe, reset_peak, resident_bytes
from bench.released.backtal import attention_conv1d
from bench.training import METHODS, our_step, random_batch, released_step
from wtal_fast import ops
from wtal_fast.files import save_json

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "bench" / "results" / "memory.json"
FIRST_SNIPPETS = 16  # of a step that only makes Adam's moments
TARGETS = {"step_backtal": 2.0, "affinity_conv1d": 3.0}  # how many times less than the released code
CONTENDERS = {"ours": "fp32", "ours, bf16": "bf16", "released": "fp32"}


def step_bytes(method: str, contender: str, plan: Plan) -> int:
    """Most bytes that a training step holds at once, once Adam has its moments."""
    before, shape = _held(plan.device), shapes(plan)
    step = our_step(method, random_batch(shape, plan.device), shape, precision=CONTENDERS[contender])
    if contender == "released":
        step = released_step(method, step)
    whole, step.batch = step.batch, random_batch(replace(shape, snippets=FIRST_SNIPPETS), plan.device)
    step()
    step.batch = whole
    _forget_peak(plan.device)
    step()
    return _peak(plan.device) - before


def convolution_bytes(contender: str, plan: Plan) -> int:
    """Most bytes that a forward and backward affinity convolution needs besides its inputs."""
    shape = shapes(plan)
    dtype = torch.bfloat16 if CONTENDERS[contender] == "bf16" else torch.float32
    x = draw(shape.videos, shape.snippets, shape.hidden, plan=plan, dtype=dtype)
    affinity = draw(shape.videos, shape.snippets, 3, plan=plan, dtype=dtype, seed=1)
    weight = draw(shape.hidden, shape.hidden, 3, plan=plan, dtype=dtype, seed=2)
    if contender == "released":
        inputs = x.transpose(1, 2).contiguous(), affinity.transpose(1, 2).contiguous(), weight
        del x
        call = gradient_too(attention_conv1d, *inputs)
    else:
        call = gradient_too(partial(ops.affinity_conv1d, layout="official"), x, affinity, weight)
    before = _held(plan.device)
    _forget_peak(plan.device)
    call()
    return _peak(plan.device) - before


MEASURED: dict[str, Callable[[str, Plan], int]] = {
    **{f"step_{method}": partial(step_bytes, method) for method in METHODS}, "affinity_conv1d": convolution_bytes}


def _held(device: str) -> int:
    return torch.cuda.memory_allocated() if device == "cuda" else resident_bytes("VmRSS")


def _forget_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    else:
        reset_peak()


def _peak(device: str) -> int:
    if device == "cuda":
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated()
    return resident_bytes("VmHWM")


def alone(name: str, contender: str, plan: Plan, threads: int) -> int:
    """The bytes of one contender, measured in a fresh process."""
    request = json.dumps([name, contender, plan.size, plan.device, threads])
    done = subprocess.run([sys.executable, "-m", "bench.memory", "--alone", request], cwd=ROOT, capture_output=True,
                          text=True)
    if done.returncode:
        sys.exit(f"{name}, {contender}: {done.stderr[-2000:]}")
    return int(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=[], metavar="name", help=f"of {', '.join(MEASURED)}; all")
    parser.add_argument("--quick", action="store_true", help="smaller shapes; nothing is saved")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--alone", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        name, contender, size, device, threads = json.loads(options.alone)
        torch.set_num_threads(threads)
        MEASURED[name](contender, Plan("tiny", device))  # libraries and thread pools do not count
        print(MEASURED[name](contender, Plan(size, device)))
        return
    if unknown := set(options.names) - MEASURED.keys():
        parser.error(f"no case {', '.join(sorted(unknown))}; known: {', '.join(MEASURED)}")
    plan, rows = Plan("quick" if options.quick else "full", options.device), []
    for name in options.names or MEASURED:
        found = {contender: alone(name, contender, plan, options.threads) for contender in CONTENDERS}
        row = {"case": name, "shape": str(shapes(plan)), "bytes": found, "ratio": found["released"] / found["ours"],
               "target": TARGETS.get(name)}
        rows.append(row)
        words = ", ".join(f"{contender} {size / 1e6:.0f} MB" for contender, size in found.items())
        print(f"{name}: {words}; ratio {row['ratio']:.2f}"
              + (f" (target {row['target']:g})" if row["target"] else ""), flush=True)
    if not options.quick:
        save_json(options.output, {"environment": describe(), "rows": rows}, indent=1)


if __name__ == "__main__":
    main()
