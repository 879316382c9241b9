"""What the presets reach on a data set in the BaS-Net/UM layout: official and recommended, several seeds each.

    python -m bench.quality --data DIR [--methods basnet ...] [--variants official ...] [--seeds 0 1 2] [--output FILE]

Widths and budgets are those of the comparison with the released code on simulated THUMOS'14 features; finished runs are
kept in --runs and not repeated.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.environment import describe
from wtal_fast.engine.experiment import spread, train_folder
from wtal_fast.engine.methods import configure
from wtal_fast.engine.run_folder import RunFolder
from wtal_fast.files import read_json, save_json

WIDTHS = {"model.feature_dim": 128, "model.hidden_dim": 256, "train.learning_rate": 1e-3, "train.batch_size": 16}
BUDGETS = {
    "basnet": {"model.filter_dim": 64, "train.iterations": 300},
    "uncertainty": {"train.iterations": 400},
    "backtal": {"model.filter_dim": 64, "model.embedding_hidden_dim": 128, "model.embedding_dim": 32,
                "train.epochs": 25},
}
RELEASED = {  # average mAP of three seeds of the released code, same data, widths and budget
    "basnet": (0.294, 0.291, 0.294),
    "uncertainty": (0.323, 0.313, 0.312),
    "backtal": (0.357, 0.384, 0.387),
}


def overrides(method: str, data: Path, seed: int) -> dict:
    """The settings laid over a THUMOS'14 preset for this comparison."""
    settings = {**WIDTHS, **BUDGETS[method], "train.seed": seed, "train.selection": "last"}
    if method == "backtal":
        annotations = data.parent / "thumos14"
        settings["data.durations"] = str(annotations / "gt_backtal.json")
        settings["data.clicks"] = str(annotations / "background_clicks" / "THUMOS14_Background-Click-Annotation_A1.txt")
    return settings


def one_run(preset: str, data: Path, folder: Path, settings: dict) -> dict:
    """The metrics of one run; one that has finished with the same settings is read, one that was cut short goes on."""
    metrics = folder / "metrics.json"
    if metrics.is_file() and RunFolder(folder).config() == configure(preset, settings):
        return read_json(metrics)
    return train_folder(preset, data, folder, settings, resume=True)


def run_all(data: Path, runs: Path, methods, variants, seeds) -> dict:
    """{method/variant: mean, spread and every run's metrics}."""
    table = {}
    for method in methods:
        for variant in variants:
            results = [one_run(f"{method}/thumos14/{variant}", data, runs / f"{method}-{variant}-{seed}",
                               overrides(method, data, seed)) for seed in seeds]
            row = spread(results) | {"seeds": list(seeds), "map_of_runs": [result["map"] for result in results]}
            table[f"{method}/{variant}"] = row
            print(f"{method}/{variant}: average mAP {row['average_map_of_runs']}", flush=True)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/quality"))
    parser.add_argument("--methods", nargs="+", default=list(BUDGETS), choices=list(BUDGETS))
    parser.add_argument("--variants", nargs="+", default=["official", "recommended"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--output", type=Path, default=Path("bench/results/quality_thumos14_sim.json"))
    arguments = parser.parse_args()
    table = run_all(arguments.data, arguments.runs, arguments.methods, arguments.variants, arguments.seeds)
    save_json(arguments.output, {"environment": describe(), "released_average_map": RELEASED, "rows": table}, indent=1)


if __name__ == "__main__":
    main()
