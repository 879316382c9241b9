"""What the mean over classes in the released class loss costs where there are many: 20, 100 and 200 simulated classes.

    python -m bench.class_counts [--methods basnet uncertainty] [--classes 20 100 200] [--seeds 0 1] [--output FILE]

The released BaS-Net and UM average the binary cross-entropy over videos and classes (class_loss=bce), which shrinks the
class gradient with the number of classes against every other term; the papers sum over classes (class_loss=ce). Both
are trained on the same simulated features from the same preset, in which only that setting differs. Reported are the
video classification mAP, the detection mAP at tIoU 0.5 and the share of test videos with any class above the
preset's class threshold: where nothing passes it there are no detections.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import torch

from bench.environment import describe
from wtal_fast.config import DataConfig
from wtal_fast.data.simulated import simulate_features
from wtal_fast.engine.infer import detect
from wtal_fast.engine.methods import configure
from wtal_fast.engine.train import fit
from wtal_fast.evaluation import detection_map, video_classification_map
from wtal_fast.files import save_json

PRESET = {"basnet": "basnet/activitynet12/recommended", "uncertainty": "uncertainty/activitynet12/recommended"}
SNIPPETS, WIDTH = 50, 64
SETTINGS = {
    "model.feature_dim": WIDTH, "model.hidden_dim": 128, "data.num_snippets": SNIPPETS, "train.epochs": 25,
    "train.learning_rate": 1e-3, "train.batch_size": 32, "data.train_subset": "train", "data.test_subset": "test",
}
NARROW = {"basnet": {"model.filter_dim": 32}, "uncertainty": {}}


def simulated(num_classes: int, seed: int):
    """(train, test): four training videos and two test videos a class, one instance or a few in each."""
    config = DataConfig(num_snippets=SNIPPETS)
    shape = {"num_classes": num_classes, "feature_dim": WIDTH, "mean_length": SNIPPETS, "seed": seed, "instances": 2.0,
             "action_snippets": 12.0, "config": config}
    return (simulate_features(4 * num_classes, subset="train", **shape),
            simulate_features(2 * num_classes, subset="test", **shape))


def one_run(method: str, class_loss: str, num_classes: int, seed: int) -> dict:
    """The three figures of one training."""
    train, test = simulated(num_classes, seed)
    settings = SETTINGS | NARROW[method] | {"loss.class_loss": class_loss, "train.seed": seed}
    config = configure(PRESET[method], settings)
    fitted = fit(config, train, None, "cpu", show=False)
    found = detect(fitted.trained.model, test, config, "cpu")
    metrics = detection_map(test.annotations, found, (0.5,))
    scores = video_scores(fitted.trained.model, test, config)
    kept = (scores >= config.localization.class_threshold).any(1).float().mean()
    video_map, _ = video_classification_map(test.labels.numpy(), scores.numpy())
    return {"video_map": float(video_map), "map_50": float(metrics.average_map), "videos_with_a_class": float(kept)}


def video_scores(model, dataset, config) -> torch.Tensor:
    """Class probabilities of every video [V, C]."""
    batch = dataset.batch(torch.arange(len(dataset)), config.data.num_snippets, "uniform")
    with torch.inference_mode():
        logits = model(batch.features, None).video_logits
    return logits.softmax(1)[:, : len(dataset.class_names)]


def run_all(methods, classes, seeds) -> list[dict]:
    """A row for each method, number of classes and class loss: means over the seeds and every run."""
    rows = []
    for method in methods:
        for num_classes in classes:
            for class_loss in ("bce", "ce"):
                runs = [one_run(method, class_loss, num_classes, seed) for seed in seeds]
                row = {"method": method, "classes": num_classes, "class_loss": class_loss, "runs": runs}
                row |= {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
                rows.append(row)
                print(f"{method} {num_classes} classes {class_loss}: video mAP {100 * row['video_map']:.1f}, mAP@.5 "
                      f"{100 * row['map_50']:.1f}, videos with a class {100 * row['videos_with_a_class']:.0f} %",
                      flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", default=sorted(PRESET))
    parser.add_argument("--classes", nargs="+", type=int, default=[20, 100, 200])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1])
    parser.add_argument("--output", type=Path, default=Path("bench/results/class_counts.json"))
    arguments = parser.parse_args()
    rows = run_all(arguments.methods, arguments.classes, arguments.seeds)
    save_json(arguments.output, {"environment": describe(), "settings": SETTINGS, "rows": rows}, indent=1)


if __name__ == "__main__":
    main()
