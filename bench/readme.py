"""Writes the tables of README.md, docs/benchmarks.md and docs/data.md from bench/results: none is typed by hand.

    python -m bench.readme [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from bench.case import FLOOR
from bench.report_tables import (
    METHOD_NAMES,
    RESULTS,
    TABLES,
    full_width_rows,
    head,
    is_judged,
    line,
    number,
    speed_results,
)
from wtal_fast.files import read_json, save_text

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "docs" / "benchmarks.md", ROOT / "docs" / "data.md")
LABELS = {f"step_{method}": f"{name} training step" for method, name in METHOD_NAMES.items()} | {
    "sampling_indices": "snippets of a batch", "sampling_gather": "features of a batch", "detection_map": "mAP",
    "evaluate_process": "`wtal-fast evaluate`, whole process", "localize": "localization of 210 videos",
    "files": "reading a THUMOS'14-sized set of features"}


def quality_table() -> str:
    """Mean and standard error of average mAP, and mAP at tIoU .5, of each method and variant."""
    content = read_json(RESULTS / "quality_thumos14_sim.json")
    lines = ["| method | released code | official | recommended | mAP@.5 official | mAP@.5 recommended |",
             "|---|---|---|---|---|---|"]
    for method, name in METHOD_NAMES.items():
        released = content["released_average_map"][method]
        rows = {variant: content["rows"][f"{method}/{variant}"] for variant in ("official", "recommended")}
        cells = [f"{100 * sum(released) / len(released):.1f}"]
        cells += [f"{100 * row['average_map']:.1f} ± {100 * row['average_map_standard_error']:.1f}"
                  for row in rows.values()]
        cells += [f"{100 * row['map'][4]:.1f}" for row in rows.values()]
        lines.append(f"| {name} ({_range(rows['official']['tiou'])}) | " + " | ".join(cells) + " |")
    return "\n".join(["Average mAP in per cent, mean ± standard error of three seeds.", "", *lines])


def demo_table() -> str:
    """mAP at each tIoU of the demo's rows."""
    rows = read_json(RESULTS / "demo.json")["rows"]
    tiou = next(iter(rows.values()))["tiou"]
    lines = [line("mAP (%) at tIoU", *(f"{value:g}" for value in tiou), "average"), "|---" * (len(tiou) + 2) + "|"]
    for name, row in rows.items():
        values = (f"{100 * value:.1f}" for value in (*row["map"], row["average_map"]))
        lines.append(line(METHOD_NAMES.get(name, name), *values))
    return "\n".join(lines)


def speed_table() -> str:
    """One line for each thing measured and what it is judged against: the lowest and the highest ratio of its rows."""
    groups: dict[tuple[str, str], list[dict]] = {}
    environments = set()
    for name, content in speed_results():
        environment = content["environment"]
        environments.add(f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}")
        for row in filter(is_judged, content["rows"]):
            groups.setdefault((LABELS.get(name, name), row["baseline"]), []).append(row)
    for row, part in filter(lambda pair: is_judged(pair[1]), full_width_rows()):
        against = FLOOR if part["against"] == "floor" else "released training step, restated"
        groups.setdefault((f"{METHOD_NAMES[row['method']]} training step", against), []).append(part)
    lines = head("what", "against", "ratio", "target")
    for (label, baseline), rows in groups.items():
        ratios, targets = ([number(value) for value in sorted({row[field] for row in rows})]
                           for field in ("ratio", "target"))
        lines.append(line(label, baseline, _span(ratios), _span(targets)))
    return "\n".join(["Their median time over ours, interleaved runs on " + "; ".join(sorted(environments))
                      + "; lowest and highest of the shapes measured.", "", *lines])


def _span(values: list[str]) -> str:
    return values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}"


def _range(tiou: list[float]) -> str:
    return f"{tiou[0]:.1f} to {tiou[-1]:.1f}"


def filled(text: str) -> str:
    """A page with every table between `<!-- table:name -->` and `<!-- /table -->` made anew."""
    tables = {"demo": demo_table, "quality": quality_table, "speed": speed_table, **TABLES}
    pattern = re.compile(r"<!-- table:(\w+) -->\n.*?<!-- /table -->", re.DOTALL)
    return pattern.sub(lambda match: f"<!-- table:{match[1]} -->\n{tables[match[1]]()}\n<!-- /table -->", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail where a page is not up to date")
    check = parser.parse_args().check
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        if not check:
            save_text(path, filled(text))
        elif filled(text) != text:
            sys.exit(f"{path.name} differs from bench/results: run python -m bench.readme")


if __name__ == "__main__":
    main()
