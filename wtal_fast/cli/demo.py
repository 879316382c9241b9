"""`wtal-fast demo`: train, localize and score all methods on the bundled smartwatch streams."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    output: Annotated[Path | None, typer.Option(help="Folder of the runs; by default a new one under runs/.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of training.")] = 0,
) -> None:
    """Train the three methods on real smartwatch recordings and print their mAP beside two baselines."""
    from wtal_fast.cli.evaluate import print_metrics
    from wtal_fast.engine.demo import run_demo
    from wtal_fast.engine.output_paths import check_output_folder

    output = check_output_folder(output or _unused(Path("runs")))
    rows = run_demo(output, seed)
    print_metrics(rows)
    typer.echo(f"runs, checkpoints, detections.json and metrics.json of each method: {output}")


def _unused(parent: Path) -> Path:
    number = 1
    while (parent / f"demo-{number}").exists():
        number += 1
    return parent / f"demo-{number}"
