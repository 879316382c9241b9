"""Settings tried for the recommended presets, scored on held-out training videos; the test videos are never read.

    python -m bench.tuning --data DIR --method basnet [--seeds 0 1] 'key=value key=value' 'key=value' ...

Each argument is one candidate: settings laid over the official preset ("" is the official preset itself). Candidates
that differ in localization alone share one training. Every candidate is appended to --output with its mean average mAP.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from pathlib import Path

import torch

from bench.environment import describe
from bench.quality import overrides
from wtal_fast.data.loading import load_folder
from wtal_fast.engine.infer import detect, score
from wtal_fast.engine.methods import build_model, configure
from wtal_fast.engine.train import fit
from wtal_fast.files import read_json, save_json
from wtal_fast.preset_files import parse_overrides

HOLDOUT, HOLDOUT_SEED = 0.3, 0


def trained(config, train, cache: Path):
    """The model of `config` fitted on `train`; kept in `cache` under everything that training depends on."""
    content = config.model_dump(mode="json")
    parts = {name: content[name] for name in ("method", "data", "model", "loss", "train")}
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"{config.method}-{key}.pt"
    if path.is_file():
        model = build_model(config, len(train.class_names))
        model.load_state_dict(torch.load(path, weights_only=True))
        return model.eval()
    model = fit(config, train, None, "cpu", show=False).trained.model
    cache.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), path)
    return model


def try_candidate(method: str, data: Path, settings: dict, seeds, cache: Path, variant: str) -> dict:
    """Mean average mAP of one candidate on the held-out videos, and that of each seed."""
    values, curves = [], []
    for seed in seeds:
        config = configure(f"{method}/thumos14/{variant}", overrides(method, data, seed) | settings)
        train = load_folder(data, config.data, "train", class_names=config.data.class_names)
        train, held_out = train.split_holdout(HOLDOUT, HOLDOUT_SEED)
        metrics = score(detect(trained(config, train, cache), held_out, config), held_out, config, "hold-out")
        values.append(metrics.average_map)
        curves.append(metrics.map)
    return {"environment": describe(), "method": method, "base": variant, "settings": settings, "seeds": list(seeds),
            "average_map": statistics.mean(values), "average_map_of_runs": values,
            "map": [statistics.mean(column) for column in zip(*curves, strict=True)]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("candidates", nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--method", required=True)
    parser.add_argument("--variant", default="official")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--cache", type=Path, default=Path("runs/tuning"))
    parser.add_argument("--output", type=Path, default=Path("bench/results/tuning_thumos14_sim.json"))
    arguments = parser.parse_args()
    for text in arguments.candidates:
        settings = parse_overrides(text.split())
        row = try_candidate(arguments.method, arguments.data, settings, arguments.seeds, arguments.cache,
                            arguments.variant)
        rows = read_json(arguments.output) if arguments.output.is_file() else []
        save_json(arguments.output, [*rows, row], indent=1)
        print(f"{row['average_map']:.4f} {arguments.method} {text or arguments.variant}", flush=True)


if __name__ == "__main__":
    main()
