"""What training in bfloat16 costs in mAP: the official presets in fp32 and in bf16, paired over seeds.

    python -m bench.precision --data DIR [--methods basnet ...] [--seeds 0 1 2 3 4] [--output FILE]

Both runs of a pair start from the same weights and see the same batches and dropout masks. Data, widths and budgets are
those of bench.quality; finished runs are kept in --runs and not repeated, and the result file grows pair by pair.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from bench.environment import describe
from bench.quality import BUDGETS, one_run, overrides
from wtal_fast.files import save_json

PRECISIONS = ("fp32", "bf16")
LOWEST_DIFFERENCE = -0.005  # average mAP that bfloat16 may lose, mean of all seeds
OUTPUT = Path(__file__).parent / "results" / "quality_bf16_thumos14_sim.json"


def paired(method: str, data: Path, runs: Path, seed: int) -> dict[str, float]:
    """Average mAP of one seed by precision."""
    settings = overrides(method, data, seed)
    return {precision: one_run(f"{method}/thumos14/official", data, runs / f"{method}-{precision}-{seed}",
                               settings | {"train.precision": precision})["average_map"] for precision in PRECISIONS}


def summary(pairs: dict[int, dict[str, float]]) -> dict:
    """Every pair, and the mean difference with its standard error."""
    differences = [pair["bf16"] - pair["fp32"] for pair in pairs.values()]
    error = statistics.stdev(differences) / len(differences) ** 0.5 if len(differences) > 1 else None
    return {"seeds": list(pairs), **{name: [pair[name] for pair in pairs.values()] for name in PRECISIONS},
            "difference": differences, "mean_difference": statistics.mean(differences),
            "standard_error": error, "lowest_allowed": LOWEST_DIFFERENCE}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/precision"))
    parser.add_argument("--methods", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    pairs = {method: {} for method in options.methods}
    for seed in options.seeds:
        for method, found in pairs.items():
            found[seed] = pair = paired(method, options.data, options.runs, seed)
            print(f"{method}, seed {seed}: " + ", ".join(f"{name} {pair[name]:.4f}" for name in PRECISIONS)
                  + f", difference {pair['bf16'] - pair['fp32']:+.4f}", flush=True)
            rows = {name: summary(done) for name, done in pairs.items() if done}
            save_json(options.output, {"environment": describe(), "rows": rows}, indent=1)
    for method, row in rows.items():
        print(f"{method}: mean difference {row['mean_difference']:+.4f} (at least {LOWEST_DIFFERENCE})", flush=True)


if __name__ == "__main__":
    main()
