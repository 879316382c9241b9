"""The demo's table and picture for README.md.

    python -m bench.demo [--seed 0] [--runs FOLDER]

Writes bench/results/demo.json and docs/demo.png (the latter needs the plot extra).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

from bench.environment import describe
from bench.readme import METHOD_NAMES
from wtal_fast.data.streams import load_streams
from wtal_fast.engine.demo import METHODS, run_demo
from wtal_fast.evaluation.activitynet_json import read_detections
from wtal_fast.files import save_json
from wtal_fast.structures import Detections

ROOT = Path(__file__).parents[1]
STREAM = 3  # any test stream would do
SHOWN_SCORE = 0.3  # share of a stream's best score below which the picture leaves a detection out
COLOURS = {"abduction": "#4477aa", "forward_elevation": "#ee6677", "internal_rotation": "#228833",
           "external_rotation": "#ccbb44", "row": "#aa3377"}


def picture(runs: Path, path: Path) -> None:
    """One test stream: a channel of its signal, the true actions, and what each method finds."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    _, test = load_streams()
    name, truth = test.video_ids[STREAM], test.annotations
    rows = truth.video_index == STREAM
    figure, axes = pyplot.subplots(2, 1, figsize=(9, 3.2), sharex=True, height_ratios=[1, 2], layout="constrained")
    signal = test.features.video(STREAM)[:, 14].numpy()  # spread of the acceleration's length
    axes[0].plot(np.arange(len(signal)) * 0.64, signal, color="#555555", linewidth=0.8)
    axes[0].set_yticks([])
    title = f"{name}: spread of the acceleration, true actions, detections (opacity: score)"
    axes[0].set_title(title, fontsize=9, loc="left")
    lanes = ["true", *METHODS]
    for label, (start, end) in zip(truth.classes[rows], truth.segments[rows], strict=True):
        axes[1].barh(0, end - start, left=start, height=0.7, color=COLOURS[truth.class_names[label]])
    for lane, method in enumerate(METHODS, 1):
        found = read_detections(runs / method / "detections.json")
        for label, score, (start, end) in shown(found, name):
            axes[1].barh(lane, end - start, left=start, height=0.7, color=COLOURS[label], alpha=score)
    axes[1].set_yticks(range(len(lanes)), [METHOD_NAMES.get(lane, lane) for lane in lanes])
    axes[1].invert_yaxis()
    axes[1].set_xlabel("seconds")
    handles = [Patch(color=colour, label=label.replace("_", " ")) for label, colour in COLOURS.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=8, frameon=False)
    figure.savefig(path, dpi=130)


def shown(found: Detections, video: str):
    """(label, score relative to the stream's best, segment) of the detections worth drawing: of those that overlap, the
    best."""
    rows = np.flatnonzero(found.video_index == found.video_ids.index(video))
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    taken: list[np.ndarray] = []
    for row in rows:
        segment, relative = found.segments[row], found.scores[row] / found.scores[rows[0]]
        if relative < SHOWN_SCORE or any(min(segment[1], end) > max(segment[0], start) for start, end in taken):
            continue
        taken.append(segment)
        yield found.class_names[found.classes[row]], float(relative), segment


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=Path, help="folder for the runs, by default a temporary one")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        runs = arguments.runs or Path(temporary)
        rows = run_demo(runs, arguments.seed)
        content = {"environment": describe(), "seed": arguments.seed, "rows": rows}
        save_json(ROOT / "bench/results/demo.json", content, indent=1)
        picture(runs, ROOT / "docs/demo.png")


if __name__ == "__main__":
    main()
