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
    other_videos: Annotated[str, typer.Option(
        help="Detections of videos that are not annotated: false_positives or ignore.")] = "false_positives",
    per_class: Annotated[bool, typer.Option("--per-class", help="Print each class.")] = False,
    per_video: Annotated[bool, typer.Option("--per-video", help="Score each video on its own, worst first.")] = False,
    bootstrap: Annotated[int, typer.Option(min=0, help="95 % interval from so many drawn sets of videos.")] = 0,
    recall: Annotated[str, typer.Option(help="Average recall at so many proposals a video: 1,10,100.")] = "",
    frame_map: Annotated[bool, typer.Option("--frame-map", help="SF-Net's frame mAP.")] = False,
    video_map: Annotated[bool, typer.Option(
        "--video-map", help="mAP of video labels, scored by the best detection of each class.")] = False,
    background: Annotated[float | None, typer.Option(
        help="F-measure of background on snippets of so many seconds.")] = None,
    output: Annotated[Path | None, typer.Option(help="Write metrics.json here.")] = None,
) -> None:
    """Print the mAP of DETECTIONS at each tIoU, and the measures asked for."""
    from wtal_fast.engine.evaluate import read_inputs
    from wtal_fast.engine.measures import measures
    from wtal_fast.engine.output_paths import check_output_file
    from wtal_fast.evaluation import detection_map
    from wtal_fast.files import save_json

    if output is not None:
        check_output_file(output)
    counts = _counts(recall)
    given = read_inputs(ground_truth, detections, subset, tiou, ambiguous)
    metrics = detection_map(given.annotations, given.detections, given.tiou, protocol, subset=subset,
                            other_videos=other_videos, ambiguous=given.ambiguous)
    content = metrics.to_json() | {"video_ids": list(metrics.video_ids)}
    content |= measures(given, protocol, samples=bootstrap, videos=per_video, recall=counts, frames=frame_map,
                        classification=video_map, snippet_seconds=background)
    print_metrics({"": content})
    print_measures(content, per_class)
    if output is not None:
        save_json(output, content, indent=1, sealed=True)


def _counts(text: str) -> tuple[int, ...]:
    from wtal_fast.errors import InputError

    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) >= 1 for part in parts):
        raise InputError("--recall", expected="whole numbers from 1 up, such as 1,10,100", found=repr(text))
    return tuple(int(part) for part in parts)


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


def print_measures(content: dict, per_class: bool) -> None:
    """What `wtal-fast evaluate` adds to the mAP, each with its protocol."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if Console().is_terminal else 120)

    def show(title: str, columns: list[str], rows: dict[str, list[float]]) -> None:
        console.print(title, highlight=False)
        table = Table("", *columns)
        for name, values in rows.items():
            table.add_row(name, *(f"{100 * value:.1f}" for value in values))
        console.print(table)

    tiou = [f"{value:g}" for value in content["tiou"]]
    if per_class:
        show(f"average precision (%) of each class, {content['protocol']} protocol", tiou, content["per_class"])
    if found := content.get("bootstrap"):
        title = (f"{100 * found['confidence']:g} % interval of the mAP (%), {found['samples']} drawn sets of videos, "
                 f"{found['protocol']} protocol")
        show(title, [*tiou, "average"], {"low": [*found["low"], found["average_low"]],
                                         "high": [*found["high"], found["average_high"]]})
    if found := content.get("per_video"):
        worst_first = dict(sorted(found["map"].items(), key=lambda pair: sum(pair[1])))
        show(f"mAP (%) of each video with instances, {found['protocol']} protocol", tiou, worst_first)
    if found := content.get("average_recall"):
        show(f"average recall (%) at n proposals a video, tIoU {found['tiou'][0]:g} to {found['tiou'][-1]:g}, "
             f"{found['protocol']}", list(found["recall"]), {"": list(found["recall"].values())})
    if found := content.get("frame_map"):
        show(f"frame mAP (%) at each distance, {found['protocol']} protocol", [f"{d:g}" for d in found["distances"]],
             {"": found["map"]})
    if found := content.get("video_map"):
        console.print(f"video classification mAP {100 * found['map']:.1f} %, {found['protocol']}", highlight=False)
    if found := content.get("background_f1"):
        console.print(f"background F-measure {100 * found['f1']:.1f} %, {found['protocol']}, snippets of "
                      f"{found['snippet_seconds']:g} s", highlight=False)
