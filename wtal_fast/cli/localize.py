"""`wtal-fast localize`: detections of a trained model, ours or a released one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    checkpoint: Annotated[Path, typer.Argument(help="Run folder, .safetensors, or a released .pkl/.pth file.")],
    settings: Annotated[list[str] | None, typer.Argument(help="key=value settings of data and localization.")] = None,
    data: Annotated[Path, typer.Option(help="Data folder with features.")] = ...,
    subset: Annotated[str, typer.Option(help="Which videos: train or test.")] = "test",
    output: Annotated[Path, typer.Option(help="Detections, ActivityNet JSON.")] = Path("detections.json"),
    preset: Annotated[str | None, typer.Option(help="Preset for a released file.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Find the actions in the videos of --data with the trained model CHECKPOINT."""
    from wtal_fast.data.loading import load_folder
    from wtal_fast.engine.arrays import with_settings
    from wtal_fast.engine.checkpoint import load_checkpoint
    from wtal_fast.engine.experiment import check_device, check_width, class_names_for
    from wtal_fast.engine.infer import detect
    from wtal_fast.engine.methods import load_plugins
    from wtal_fast.engine.output_paths import check_output_file
    from wtal_fast.errors import InputError
    from wtal_fast.evaluation.activitynet_json import write_detections
    from wtal_fast.preset_files import parse_overrides

    check_output_file(output)
    load_plugins()
    check_device(device)
    is_ours = checkpoint.is_dir() or checkpoint.suffix == ".safetensors"
    if preset is not None and is_ours:
        raise InputError("--preset", expected="a released .pkl or .pth file", found=str(checkpoint),
                         fix="leave --preset out: this checkpoint records its own")
    trained = with_settings(load_checkpoint(checkpoint, preset), parse_overrides(settings or []))
    config, names = trained.config, class_names_for(trained, data)
    dataset = load_folder(data, config.data, subset, class_names=names, need_annotations=False)
    check_width(config, dataset)
    origin = "recorded in the checkpoint" if is_ours else "chosen by --preset" if preset else \
        "chosen by the number of classes, --preset names another"
    typer.echo(f"{config.method} ({config.preset}), {len(names)} classes: {', '.join(names)}", err=True)
    typer.echo(f"preset {config.preset}: {origin}", err=True)
    detections = detect(trained.model.to(device), dataset, config, device, show=True)
    write_detections(output, detections)
    typer.echo(f"{len(detections)} detections in {len(dataset)} videos written to {output}")
