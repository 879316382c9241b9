"""One experiment: data in, a run folder with checkpoints, detections.json and metrics.json out."""

from __future__ import annotations

import os
import statistics
from dataclasses import replace
from pathlib import Path

import torch

from wtal_fast.config import Config
from wtal_fast.data.dataset import Dataset
from wtal_fast.data.ground_truth import read_ground_truth
from wtal_fast.data.layouts import open_folder
from wtal_fast.data.loading import load_folder, open_data
from wtal_fast.engine.checkpoint import TrainedModel
from wtal_fast.engine.distributed import Processes, join_processes
from wtal_fast.engine.infer import detect, score
from wtal_fast.engine.methods import build_loss, build_model, configure, find_method
from wtal_fast.engine.output_paths import check_output_folder
from wtal_fast.engine.run_folder import RunFolder
from wtal_fast.engine.train import fit
from wtal_fast.errors import InputError
from wtal_fast.evaluation.activitynet_json import write_detections
from wtal_fast.files import save_json
from wtal_fast.preset_files import known_keys, load_preset


def train_folder(preset: str, data: str | os.PathLike, output: str | os.PathLike, overrides: dict | None = None, *,
                 device: str = "cpu", resume: bool = False, show: bool = True, profile: bool = False) -> dict:
    """Trains `preset` on a data folder, localizes and scores its test videos; returns what metrics.json holds.

    Several click files (data.clicks=A,B,C) give one run each in output/clicks-1, -2, ... and a metrics.json with mean
    and spread. Everything is checked before the first file is written.
    """
    config = configure(preset, settings_of(data, preset) | (overrides or {}))
    check_device(device)
    processes = join_processes(torch.device(device))
    configs, output = one_for_each_click_file(config), Path(output)
    folders = [output] if len(configs) == 1 else [output / f"clicks-{number}" for number in range(1, len(configs) + 1)]
    if processes.is_first:
        check_output(output, folders, configs, resume)
    clicks = [load_folder(data, one.data, "train", class_names=one.data.class_names).clicks for one in configs[1:]]
    train = load_folder(data, configs[0].data, "train", class_names=config.data.class_names)
    trains = [train, *(replace(train, clicks=other) for other in clicks)]
    test = load_folder(data, config.data, "test", class_names=train.class_names)
    for one, videos in zip(configs, trains, strict=True):
        rehearse(one, videos, test)
    results = [run_experiment(one, videos, test, RunFolder(folder), device=device, processes=processes, resume=resume,
                              show=show, profile=profile)
               for one, videos, folder in zip(configs, trains, folders, strict=True)]
    if len(results) == 1 or not processes.is_first:
        return results[0]
    summary = spread(results) | {"clicks": [one.data.clicks for one in configs]}
    save_json(output / "metrics.json", summary, indent=1, sealed=True)
    return summary


def settings_of(data: str | os.PathLike, preset: str) -> dict:
    """What the data set says about settings of `preset`, such as fps and width of own data; overrides come over it."""
    known = known_keys(find_method(load_preset(preset).method).arguments)
    return {key: value for key, value in open_folder(data).settings().items() if key in known}


def one_for_each_click_file(config: Config) -> list[Config]:
    """The configuration itself, or one for each of several click files."""
    files = [name.strip() for name in (config.data.clicks or "none").split(",")]
    if not all(files):
        raise InputError("data.clicks", expected="file names separated by commas", found=repr(config.data.clicks))
    if len(files) == 1:
        return [config]
    return [config.model_copy(update={"data": config.data.model_copy(update={"clicks": name})}) for name in files]


def check_output(output: Path, folders: list[Path], configs: list[Config], resume: bool) -> None:
    """Raises InputError where a run would overwrite another or cannot be written."""
    check_output_folder(output)
    several = len(folders) > 1
    other = output / "config.yaml" if several else output / "clicks-1"
    if other.exists():
        raise InputError(output, expected="a folder without another kind of run", found=f"{other.name}",
                         fix="choose another --output")
    for folder, config in zip(folders, configs, strict=True):
        run = RunFolder(folder)
        if resume:
            run.refuse_other_settings(config)
        else:
            run.refuse_if_occupied()


def rehearse(config: Config, train: Dataset, test: Dataset) -> None:
    """One video through model, loss and localization: settings that do not fit fail before a file is written."""
    check_width(config, train)
    check_width(config, test)
    check_clicks(config, train)
    data = config.data
    try:
        model = build_model(config, len(train.class_names)).train()
        batch = train.batch([0], data.num_snippets, data.train_sampling, resize=data.resize)
        build_loss(config)(model(batch.features, None), batch)
        detect(model, test.take([0]), config)
    except InputError:
        raise
    except (ValueError, TypeError, RuntimeError, ArithmeticError) as error:
        raise InputError(f"settings of {config.preset}", expected="model, loss and localization that fit together",
                         found=str(error).splitlines()[0], fix="change the setting it names") from None


def run_experiment(config: Config, train: Dataset, test: Dataset, run: RunFolder, *, device: str = "cpu",
                   processes: Processes = Processes(), resume: bool = False, show: bool = True,  # noqa: B008
                   profile: bool = False) -> dict:
    """Fits on `train`, then writes detections.json and metrics.json of `test` to the run folder; returns the metrics.

    Of several processes the first one writes; the others return {}.
    """
    fitted = fit(config, train, test, device, processes, run, resume, show, profile)
    if not processes.is_first:
        return {}
    detections = detect(fitted.trained.model.to(device), test, config, device, show)
    write_detections(run.folder / "detections.json", detections)
    metrics = {"checkpoint": fitted.selection, "preset": config.preset, "seed": config.train.seed}
    if test.annotations is not None:
        metrics = score(detections, test, config, config.data.test_subset).to_json() | metrics
    save_json(run.folder / "metrics.json", metrics, indent=1, sealed=True)
    run.log(f"{fitted.selection}: average mAP {metrics.get('average_map')}, {len(detections)} detections")
    run.close()
    return metrics


def class_names_for(trained: TrainedModel, data: str | os.PathLike) -> tuple[str, ...]:
    """The model's class order; the ground truth's where the model has no names and their number is right."""
    layout = open_data(data, trained.config.data)
    if trained.named or layout.ground_truth is None:
        return trained.class_names
    names = read_ground_truth(layout.ground_truth, content=layout.content).class_names
    return names if len(names) == len(trained.class_names) else trained.class_names


def check_width(config: Config, dataset: Dataset) -> None:
    """Raises InputError where the features are not as wide as the model asks for."""
    expected = config.model.get("feature_dim")
    if expected is not None and dataset.feature_dim != expected:
        raise InputError(dataset.source, "feature width", expected=f"model.feature_dim={expected}",
                         found=f"{dataset.feature_dim}", fix=f"model.feature_dim={dataset.feature_dim}")


def check_clicks(config: Config, dataset: Dataset) -> None:
    """Raises InputError where the loss wants clicks and the training videos have none, or clicks no loss reads."""
    if config.data.click_kinds == "none" and config.data.clicks is not None:
        raise InputError(f"preset {config.preset}", "data.clicks", expected="no clicks: data.click_kinds is none",
                         found=config.data.clicks, fix="leave data.clicks out, or set data.click_kinds")
    if config.data.click_kinds != "none" and (dataset.clicks is None or not len(dataset.clicks.seconds)):
        raise InputError(f"preset {config.preset}", "data.clicks", expected=f"{config.data.click_kinds} clicks",
                         found="none", fix="data.clicks=FILE or simulated; without clicks: data.click_kinds=none")


def check_device(device: str) -> None:
    """Raises InputError where `device` is no device of this machine."""
    kind = device.partition(":")[0]
    if kind not in ("cpu", "cuda"):
        raise InputError("--device", expected="cpu or cuda", found=device)
    if kind == "cuda" and not torch.cuda.is_available():
        raise InputError("--device", expected="a CUDA device", found="none that torch can use", fix="--device cpu")


def spread(results: list[dict]) -> dict:
    """Mean, standard deviation and standard error of several runs' mAP."""
    averages = [result["average_map"] for result in results]
    deviation = statistics.stdev(averages) if len(averages) > 1 else 0.0
    shared = ("protocol", "subset", "num_videos", "num_instances", "tiou")
    return {name: results[0][name] for name in shared} | {
        "runs": len(results),
        "num_detections": round(statistics.mean(result["num_detections"] for result in results)),
        "map": [statistics.mean(values) for values in zip(*(result["map"] for result in results), strict=True)],
        "average_map": statistics.mean(averages),
        "average_map_deviation": deviation,
        "average_map_standard_error": deviation / len(averages) ** 0.5,
        "average_map_of_runs": averages,
    }
