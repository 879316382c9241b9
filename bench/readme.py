"""Writes the tables of README.md from bench/results, so that no number there is typed by hand.

    python -m bench.readme [--check]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from wtal_fast.files import read_json, save_text

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "bench" / "results"
METHOD_NAMES = {"basnet": "BaS-Net", "uncertainty": "UM", "backtal": "BackTAL"}


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
    lines = [_line("mAP (%) at tIoU", *(f"{value:g}" for value in tiou), "average"), "|---" * (len(tiou) + 2) + "|"]
    for name, row in rows.items():
        values = (f"{100 * value:.1f}" for value in (*row["map"], row["average_map"]))
        lines.append(_line(METHOD_NAMES.get(name, name), *values))
    return "\n".join(lines)


def speed_table() -> str:
    """The rows of the result files of bench.run that have a target, with both medians and their ratio."""
    lines = ["| what | compared with | theirs | ours | ratio |", "|---|---|---|---|---|"]
    environments = set()
    for path in sorted(RESULTS.glob("speed_*.json")):
        content = read_json(path)
        environment = content["environment"]
        environments.add(f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}")
        for row in content["rows"]:
            if row.get("target") and row.get("judged", True) and row.get("ratio") is not None:
                lines.append(_line(row["case"], row["baseline"], _time(row["baseline_seconds"]), _time(row["seconds"]),
                                   f"{row['ratio']:.1f}"))
    return "\n".join(["Medians of interleaved runs on " + "; ".join(sorted(environments)) + ".", "", *lines])


def _range(tiou: list[float]) -> str:
    return f"{tiou[0]:.1f} to {tiou[-1]:.1f}"


def _time(seconds: float) -> str:
    scale, unit = next((pair for pair in ((1, "s"), (1e3, "ms")) if seconds * pair[0] >= 1), (1e6, "µs"))
    return f"{seconds * scale:.2f} {unit}"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def filled(text: str) -> str:
    """README.md with every table between `<!-- table:name -->` and `<!-- /table -->` made anew."""
    tables = {"demo": demo_table, "quality": quality_table, "speed": speed_table}
    pattern = re.compile(r"<!-- table:(\w+) -->\n.*?<!-- /table -->", re.DOTALL)
    return pattern.sub(lambda match: f"<!-- table:{match[1]} -->\n{tables[match[1]]()}\n<!-- /table -->", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="fail where README.md is not up to date")
    path, text = ROOT / "README.md", (ROOT / "README.md").read_text(encoding="utf-8")
    if not parser.parse_args().check:
        save_text(path, filled(text))
    elif filled(text) != text:
        sys.exit("README.md differs from bench/results: run python -m bench.readme")


if __name__ == "__main__":
    main()
