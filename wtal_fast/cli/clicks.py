"""`wtal-fast clicks`: simulate clicks, turn click files into other forms, and compare annotators."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Simulate click files, convert them, compare annotators.")

GroundTruth = Annotated[Path, typer.Argument(help="Ground truth: ActivityNet JSON, CSV, W-TALC arrays.")]
Durations = Annotated[Path | None, typer.Option(help="Ground truth with durations, where GROUND_TRUTH has none.")]
Output = Annotated[Path, typer.Option(help="Click file to write.")]
Form = Annotated[str, typer.Option("--to", help="backtal (COIN tool), sfnet, lacp (points in frames) or json.")]


@app.command()
def simulate(
    ground_truth: GroundTruth,
    output: Output,
    to: Form = "backtal",
    subset: Annotated[str, typer.Option(help="Subset of the ground truth whose videos are clicked.")] = "train",
    kinds: Annotated[str, typer.Option(help="background, action or both.")] = "background",
    noise: Annotated[float, typer.Option(min=0, help="Standard deviation in seconds of the times.")] = 0.0,
    miss: Annotated[float, typer.Option(min=0, max=1, help="Share of intervals nobody clicks.")] = 0.0,
    min_gap: Annotated[float, typer.Option(min=0, help="Shorter background stretches get no click.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Another seed, another annotator.")] = 0,
    durations: Durations = None,
) -> None:
    """Draw one click, uniformly, in each background stretch or action of the ground truth."""
    from wtal_fast.data.clicks import join_clicks, simulate_action_clicks, simulate_background_clicks
    from wtal_fast.errors import InputError

    truth, rates = _truth(ground_truth, durations, subset)
    if kinds not in ("background", "action", "both"):
        raise InputError("--kinds", expected="background, action or both", found=kinds)
    parts = []
    if kinds != "action":
        parts.append(simulate_background_clicks(truth, truth.durations, seed, min_gap, noise, miss))
    if kinds != "background":
        parts.append(simulate_action_clicks(truth, truth.durations, seed, noise, miss))
    _write(output, join_clicks(parts), to, rates)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="Click file of any form.")],
    ground_truth: Annotated[Path, typer.Option(help="Ground truth, for classes, videos, durations and frame rates.")],
    output: Output,
    to: Form = "json",
    ranges: Annotated[str, typer.Option(help="What a range becomes: midpoint or half_seconds.")] = "midpoint",
    fps: Annotated[float | None, typer.Option(help="Frames a second of points in frames, by default the ground "
                                              "truth's.")] = None,
    drop_contradicted: Annotated[bool, typer.Option("--drop-contradicted", help="Leave out background clicks inside an "
                                                    "action and action clicks outside their class.")] = False,
    durations: Durations = None,
) -> None:
    """Write the clicks of SOURCE in another form."""
    import numpy as np

    from wtal_fast.data.clicks import contradicted_clicks
    from wtal_fast.errors import InputError

    if ranges not in ("midpoint", "half_seconds"):
        raise InputError("--ranges", expected="midpoint or half_seconds", found=ranges)
    truth, rates = _truth(ground_truth, durations, None)
    clicks = _read(source, truth, rates if fps is None else np.full(len(rates), fps), ranges)
    if drop_contradicted:
        clicks = clicks.rows(np.flatnonzero(~contradicted_clicks(clicks, truth)))
    _write(output, clicks, to, rates)


@app.command()
def agreement(
    files: Annotated[list[Path], typer.Argument(help="Click files of two or more annotators.")],
    ground_truth: Annotated[Path, typer.Option(help="Ground truth with durations.")],
    tolerance: Annotated[float, typer.Option(min=0, help="Seconds two people's clicks may lie apart.")] = 1.0,
    durations: Durations = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Compare annotators: how much they cover, contradict and agree."""
    from rich.console import Console
    from rich.table import Table

    from wtal_fast.data.click_agreement import agreement as measure

    truth, rates = _truth(ground_truth, durations, None)
    named = {path.stem: _read(path, truth, rates, "midpoint") for path in files}
    report = measure(named, truth, truth.durations, tolerance)
    if as_json:
        print(json.dumps(report, indent=1))
        return
    console = Console(width=None if Console().is_terminal else 120)
    for title, rows in (("annotator", report["annotators"]), (f"pair (within {tolerance:g} s)", report["pairs"])):
        if rows:
            table = Table(title, *(key.replace("_", " ") for key in next(iter(rows.values()))))
            for name, values in rows.items():
                table.add_row(name, *("" if value is None else str(value) for value in values.values()))
            console.print(table)


def _truth(path: Path, durations: Path | None, subset: str | None):
    """(annotations of the subset with durations where known, frames a second [V])."""
    from dataclasses import replace

    import numpy as np

    from wtal_fast.config import DataConfig
    from wtal_fast.data.annotations import select_subset, select_videos
    from wtal_fast.data.ground_truth import read_ground_truth
    from wtal_fast.data.parts import subset_on_disk
    from wtal_fast.data.training_clicks import frame_rates
    from wtal_fast.errors import InputError

    truth = read_ground_truth(path)
    if subset is not None:
        role = subset if subset in ("train", "test") else None
        truth = select_subset(truth, subset_on_disk(subset, role, truth))
    if durations is not None:
        other = select_videos(read_ground_truth(durations), truth.video_ids)
        truth = replace(truth, durations=other.durations, fps=other.fps)
    if np.isnan(truth.durations).any() and subset is not None:
        video = truth.video_ids[int(np.flatnonzero(np.isnan(truth.durations))[0])]
        raise InputError(path, f"video '{video}'", expected="a duration", found="none",
                         fix="name a ground truth that has them: --durations FILE")
    truth = replace(truth, durations=np.where(np.isnan(truth.durations), np.inf, truth.durations))
    return truth, frame_rates(DataConfig(), truth)


def _read(path: Path, truth, rates, ranges: str):
    import warnings

    from wtal_fast.data.click_files import read_clicks

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        clicks = read_clicks(path, truth.class_names, truth.video_ids, truth.durations, ranges, fps=rates)
    for warning in caught:
        typer.echo(f"warning: {warning.message}", err=True)
    return clicks


def _write(output: Path, clicks, form: str, rates) -> None:
    from wtal_fast.data.click_files import FORMS, write_clicks
    from wtal_fast.engine.output_paths import check_output_file
    from wtal_fast.errors import InputError
    from wtal_fast.files import save_text

    if form not in FORMS:
        raise InputError("--to", expected=", ".join(FORMS), found=form)
    if (form == "json") != (output.suffix.lower() == ".json"):
        raise InputError("--output", expected="an ending .json for json, and only for json", found=output.name)
    check_output_file(output)
    save_text(output, write_clicks(clicks, form, dict(zip(clicks.video_ids, rates.tolist(), strict=True))))
    typer.echo(f"{len(clicks)} clicks in {len(set(clicks.video_index.tolist()))} videos written to {output}")
