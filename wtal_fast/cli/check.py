"""`wtal-fast check`: what a data folder or file holds, in which layout, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    path: Annotated[Path, typer.Argument(help="Data folder, or a file: ground truth, clicks, split, features.")],
    ground_truth: Annotated[Path | None, typer.Option(help="Ground truth to use instead of the folder's own.")] = None,
    clicks: Annotated[list[str] | None, typer.Option(help="Click file to check too; may be repeated.")] = None,
    snippet_seconds: Annotated[float | None, typer.Option(
        min=0, help="Seconds between snippets: stride / fps. By default 16 / 25, or what dataset.yaml says.")] = None,
    headers: Annotated[bool, typer.Option("--headers", help="Do not read the numbers of the features.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print layout, counts, lengths, durations, class balance and every defect; exit code 2 where it cannot train."""
    from wtal_fast.data.check_folder import check_path
    from wtal_fast.engine.progress import counted_progress

    with counted_progress("check", not as_json) as progress:
        report = check_path(path, truth=ground_truth, clicks=clicks or (), snippet_seconds=snippet_seconds,
                            headers_only=headers, progress=progress)
    if as_json:
        print(json.dumps(report, indent=1))
    else:
        print_report(report)
    if report["errors"]:
        raise typer.Exit(2)


def print_report(report: dict) -> None:
    """The report of check_path as tables."""
    from rich.console import Console

    console = Console(width=None if Console().is_terminal else 120, highlight=False)
    if report["layout"]:
        console.print(f"{report['root']}: layout {report['layout']} ({report['about']})", markup=False)
        console.print(f"ground truth: {report['ground_truth'] or 'none'}" + (
            f", {report['dataset']}" if report.get("dataset") else ""), markup=False)
        _print_parts(console, report)
    if "truth" in report:
        _print_truth(console, report["truth"])
    for entry in report["files"]:
        shown = {key: value for key, value in entry.items() if key in SHOWN and value is not None}
        console.print(f"{entry['file']}: {entry['kind']}" + "".join(f", {key} {value}" for key, value in shown.items()),
                      markup=False)
    _print_findings(console, report)


SHOWN = ("dataset", "videos", "instances", "classes", "clicks", "background_clicks", "contradicted", "detections",
         "rows", "shapes", "entries")


def _print_parts(console, report: dict) -> None:
    from rich.table import Table

    table = Table("part", "role", "videos", "with features", "streams", "width", "type", "snippets (min median max)")
    for part in report["parts"]:
        table.add_row(part["part"], part["role"] or "", str(part["videos"]), str(part["with_features"]),
                      " + ".join(part["streams"]), part["width"] or "", part["dtype"], _spread(part["snippets"]))
    console.print(table)


def _print_truth(console, truth: dict) -> None:
    from rich.table import Table

    table = Table("subset", "videos", "annotated", "instances", "duration s (min median max)", "instance s")
    for row in truth["subsets"]:
        table.add_row(row["subset"], str(row["videos"]), str(row["annotated_videos"]), str(row["instances"]),
                      _spread(row["duration"]), _spread(row["instance_length"]))
    console.print(table)
    if truth["fps"]:
        console.print("frame rates: " + ", ".join(f"{rate} ({count} videos)" for rate, count in truth["fps"].items()))
    names = list(dict.fromkeys(name for counts in truth["class_balance"].values() for name in counts))
    table = Table("class", *(f"{name}: videos, instances" for name in names))
    for label, counts in truth["class_balance"].items():
        table.add_row(label, *(f"{counts[name][0]}, {counts[name][1]}" for name in names))
    console.print(table)


def _print_findings(console, report: dict) -> None:
    if not report["findings"]:
        console.print("nothing to complain about")
    for finding in report["findings"]:
        count = f"{finding['count']} " if finding["count"] > 1 or finding["examples"] else ""
        fix = f" · {finding['fix']}" if finding["fix"] else ""
        console.print(f"{finding['level']}: {count}{finding['text']}{fix}", markup=False)
        for example in finding["examples"]:
            console.print(f"    {example}", markup=False)
        if finding["count"] > len(finding["examples"]) > 0:
            console.print(f"    and {finding['count'] - len(finding['examples'])} more")


def _spread(values: dict | None) -> str:
    return "" if values is None else f"{values['min']:g} {values['median']:g} {values['max']:g}"
