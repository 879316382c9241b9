"""`wtal-fast evaluate`: score a detection file against a ground truth. Never imports torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    detections: Annotated[Path, typer.Argument(help="Detections, ActivityNet JSON.")],
    ground_truth: Annotated[Path, typer.Argument(help="Ground truth, ActivityNet JSON.")],
    subset: Annotated[str, typer.Option(help="Subset of the ground truth that is scored.")] = "test",
    tiou: Annotated[str, typer.Option(help="tIoU thresholds: start:step:end or a,b,c.")] = "0.1:0.1:0.9",
    protocol: Annotated[str, typer.Option(help="activitynet[_numpy], thumos14 or wtalc[_unt].")] = "activitynet",
    ambiguous: Annotated[Path | None, typer.Option(help="Ambiguous_test.txt, read by thumos14 and wtalc.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write metrics.json here.")] = None,
) -> None:
    """Print the mAP of DETECTIONS at each tIoU."""
    from wtal_fast.engine.evaluate import evaluate
    from wtal_fast.engine.output_paths import check_output_file
    from wtal_fast.files import save_json

    if output is not None:
        check_output_file(output)
    metrics = evaluate(ground_truth, detections, subset=subset, tiou=tiou, protocol=protocol, ambiguous=ambiguous)
    print_metrics({"": metrics.to_json()})
    if output is not None:
        save_json(output, metrics.to_json(), indent=1)


def print_metrics(rows: dict[str, dict]) -> None:
    """A table: one row for each named metrics.json, mAP in per cent at each tIoU and their mean."""
    from rich.console import Console
    from rich.table import Table

    first = next(iter(rows.values()))
    console = Console(width=None if Console().is_terminal else 120)
    console.print(f"mAP (%), {first['protocol']} protocol, subset {first['subset']}: {first['num_videos']} videos, "
                  f"{first['num_instances']} instances", highlight=False)
    table = Table("", *(f"{tiou:g}" for tiou in first["tiou"]), "average", "detections")
    for name, metrics in rows.items():
        values = [f"{100 * value:.1f}" for value in (*metrics["map"], metrics["average_map"])]
        table.add_row(name, *values, str(metrics["num_detections"]))
    console.print(table)
