"""Training steps by one process and by several on this machine, with the same batches and the same result.

    python -m bench.scaling [--processes 2] [--steps 8] [--quick] [--output FILE]

BaS-Net in fp32 through `wtal-fast train`, 16 videos of 750 snippets a batch; each number of processes has all cores.
The weights after the last step have to agree, or nothing is written. Steps are timed by the run itself, the first two
not.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from bench.environment import describe
from wtal_fast.engine.checkpoint import load_tensors
from wtal_fast.files import save_json

ROOT = Path(__file__).parents[1]
OUTPUT = ROOT / "bench" / "results" / "scaling.json"
SAME_WEIGHTS = {"rtol": 1e-3, "atol": 1e-5}  # gradients summed in another order, then Adam's steps from there
UNTIMED = 2
SIZES = {"full": (32, 750, 1024, 16), "quick": (8, 60, 32, 4)}  # videos, snippets, channels, batch


def write_set(folder: Path, videos: int, snippets: int, width: int) -> None:
    """A data folder of random features with one action in each video."""
    draw, database = np.random.default_rng(0), {}
    for number in range(videos + 2):
        subset, name = ("train", f"train_{number}") if number < videos else ("test", f"test_{number}")
        features = draw.random((snippets, width), np.float32)
        for stream, columns in (("rgb", slice(0, width // 2)), ("flow", slice(width // 2, width))):
            path = folder / "features" / subset / stream / f"{name}.npy"
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, features[:, columns])
        label = f"class {number % 2}"
        database[name] = {"subset": subset, "annotations": [{"segment": ["5", "20"], "label": label}]}
    (folder / "gt.json").write_text(json.dumps({"database": database}))
    for subset in ("train", "test"):
        names = [name for name, entry in database.items() if entry["subset"] == subset]
        (folder / f"split_{subset}.txt").write_text("\n".join(names) + "\n")


def train(data: Path, output: Path, processes: int, steps: int, size: str) -> tuple[list[float], dict]:
    """Seconds of each step after the first two, and the weights after the last."""
    _, snippets, width, batch = SIZES[size]
    settings = [f"model.feature_dim={width}", f"model.hidden_dim={width}", f"model.filter_dim={width // 4}",
                f"data.num_snippets={snippets}", f"train.batch_size={batch}", f"train.iterations={steps}",
                "data.class_names=null"]
    command = [sys.executable, "-m", "wtal_fast", "train", "basnet/thumos14/official", "--data", str(data), "--output",
               str(output), "--processes", str(processes), *settings]
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{processes} processes: {result.stderr[-2000:]}")
    rows = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    weights, _ = load_tensors(output / "checkpoint" / "last" / "model.safetensors")
    return [row["seconds"] for row in rows if "seconds" in row][UNTIMED:], weights


def measure(processes: int, steps: int, size: str) -> dict:
    """One process and `processes` of them; ends the program where their weights differ."""
    videos, snippets, width, batch = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_set(data, videos, snippets, width)
        single, expected = train(data, Path(folder) / "one", 1, steps, size)
        several, found = train(data, Path(folder) / "several", processes, steps, size)
    for name, tensor in expected.items():
        try:
            torch.testing.assert_close(found[name], tensor, **SAME_WEIGHTS)
        except AssertionError as error:
            sys.exit(f"{name} differs between 1 and {processes} processes, so no time is given\n{error}")
    one, many = statistics.median(single), statistics.median(several)
    return {"method": "basnet", "shape": f"B={batch}, T={snippets}, {width} wide", "processes": processes,
            "seconds_of_one": one, "seconds": many, "ratio": one / many, "steps": len(single),
            "largest_difference": max(float((found[name] - expected[name]).abs().max()) for name in expected)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="small shapes; nothing is saved")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    row = measure(options.processes, options.steps, "quick" if options.quick else "full")
    print(f"BaS-Net, {row['shape']}, {os.cpu_count()} cores: 1 process {row['seconds_of_one']:.3f} s a step, "
          f"{row['processes']} processes {row['seconds']:.3f} s, {row['ratio']:.2f} times as fast")
    if not options.quick:
        save_json(options.output, {"environment": describe(), "rows": [row]}, indent=1)


if __name__ == "__main__":
    main()
