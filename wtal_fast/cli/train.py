"""`wtal-fast train`: train a preset on a data folder, localize and score its test videos."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    preset: Annotated[str, typer.Argument(help="method/dataset/variant, see `wtal-fast explain`.")],
    settings: Annotated[list[str] | None, typer.Argument(help="key=value settings over the preset.")] = None,
    data: Annotated[Path, typer.Option(help="Data folder: gt.json, split files, features/.")] = ...,
    output: Annotated[Path, typer.Option(help="Folder of the run.")] = ...,
    seed: Annotated[int | None, typer.Option(help="Short for train.seed=N.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    precision: Annotated[str | None, typer.Option(help="fp32, tf32 (CUDA) or bf16; short for "
                                                   "train.precision.")] = None,
    processes: Annotated[int, typer.Option(min=1, help="Processes on this machine that train together; the result is "
                                           "that of one.")] = 1,
    profile: Annotated[bool, typer.Option("--profile", help="Trace ten steps after a warm-up: profile_trace.json and "
                                          "profile.txt in --output say where a step's time goes.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --output, or start it.")] = False,
) -> None:
    """Train PRESET, then write detections.json and metrics.json of the test videos."""
    from wtal_fast.cli.evaluate import print_metrics
    from wtal_fast.engine.experiment import train_folder
    from wtal_fast.engine.launch import launch
    from wtal_fast.engine.methods import load_plugins
    from wtal_fast.engine.train import Stopped
    from wtal_fast.preset_files import parse_overrides

    if processes > 1:
        flags = {"--data": data, "--output": output, "--seed": seed, "--device": device, "--precision": precision}
        words = [word for name, value in flags.items() if value is not None for word in (name, str(value))]
        words += [name for name, wanted in (("--profile", profile), ("--resume", resume)) if wanted]
        raise typer.Exit(launch(["train", *words, "--", preset, *(settings or [])], processes))
    load_plugins()
    overrides = parse_overrides(settings or [])
    short = {"train.seed": seed, "train.precision": precision}
    overrides |= {key: value for key, value in short.items() if value is not None}
    try:
        metrics = train_folder(preset, data, output, overrides, device=device, resume=resume, profile=profile)
    except Stopped as stopped:
        typer.echo(f"{stopped}; --resume continues", err=True)
        raise KeyboardInterrupt from None
    for table in sorted(output.glob("**/profile.txt")) if profile and metrics else ():
        typer.echo(table.read_text())
    if "map" in metrics:
        print_metrics({metrics.get("checkpoint", "mean of runs"): metrics})
    if "runs" in metrics:
        values = ", ".join(f"{100 * value:.1f}" for value in metrics["average_map_of_runs"])
        typer.echo(f"average mAP of {metrics['runs']} runs: {100 * metrics['average_map']:.1f} ± "
                   f"{100 * metrics['average_map_deviation']:.1f} (standard deviation; {values})")
    if metrics:
        typer.echo(f"written to {output}")
