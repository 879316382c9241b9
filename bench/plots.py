"""Draws bench/results/growth_training.png and speed.png from the result files (needs the plot extra).

    python -m bench.plots
"""

from __future__ import annotations

from pathlib import Path

from bench.growth_training import SWEEPS
from bench.readme import LABELS
from bench.report_tables import METHOD_NAMES, RESULTS, SWEEP_NAMES, full_width_rows, is_judged, speed_results
from wtal_fast.files import read_json

COLOURS = {"basnet": "#4477aa", "uncertainty": "#ee6677", "backtal": "#228833"}


def pyplot():
    """Matplotlib's drawing interface without a screen."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as interface

    return interface


def growth(path: Path) -> None:
    """Time and memory of a step against each swept number, with a line of slope 1 through the last point."""
    rows = read_json(RESULTS / "growth_training.json")["rows"]
    sweeps = [sweep for sweep in SWEEPS if any(row["sweep"] == sweep for row in rows)]
    figure, axes = pyplot().subplots(2, len(sweeps), figsize=(3 * len(sweeps), 5.2), layout="constrained",
                                     squeeze=False)
    for column, sweep in enumerate(sweeps):
        for level, (field, scale, unit) in enumerate((("seconds", 1e3, "ms"), ("bytes", 1e-6, "MB"))):
            axis = axes[level, column]
            for row in (row for row in rows if row["sweep"] == sweep):
                values = [point["value"] for point in row["points"]]
                heights = [max(point[field] * scale, 1e-2) for point in row["points"]]
                colour = COLOURS[row["method"]]
                axis.loglog(values, heights, "o-", color=colour, markersize=3.5, label=METHOD_NAMES[row["method"]])
                axis.loglog(values, [heights[-1] * value / values[-1] for value in values], ":", color=colour,
                            linewidth=0.9)
            axis.grid(True, which="major", linewidth=0.3)
            _plain_ticks(axis, sorted({point["value"] for row in rows if row["sweep"] == sweep
                                       for point in row["points"]}))
            if not column:
                axis.set_ylabel(f"{'time' if level == 0 else 'memory'} of a step ({unit})")
            if level:
                axis.set_xlabel(SWEEP_NAMES[sweep])
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper center", ncols=len(labels), frameon=False)
    figure.savefig(path, dpi=100)


def _plain_ticks(axis, values: list[int]) -> None:
    """The swept numbers below the axis, 1, 2, 5, 10 ... beside it, none as a power of ten."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axis.set_xticks(values, [f"{value // 1000}k" if value >= 1000 else str(value) for value in values], fontsize=7)
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.tick_params(axis="y", labelsize=7)
    for side in (axis.xaxis, axis.yaxis):
        side.set_minor_locator(NullLocator())


def speed(path: Path) -> None:
    """Ratios of the judged rows with their targets, one line for each thing and what it is compared with."""
    groups: dict[str, list[dict]] = {}
    for name, content in speed_results():
        for row in filter(is_judged, content["rows"]):
            groups.setdefault(f"{LABELS.get(name, name)} / {row['baseline']}", []).append(row)
    for row, part in filter(lambda pair: is_judged(pair[1]), full_width_rows()):
        groups.setdefault(f"{METHOD_NAMES[row['method']]} training step / {part['against']}", []).append(part)
    figure, axis = pyplot().subplots(figsize=(11, 0.32 * len(groups) + 1.2), layout="constrained")
    for height, rows in enumerate(groups.values()):
        for row in rows:
            reached = row["ratio"] >= row["target"]
            axis.plot(row["ratio"], height, "o", color="#228833" if reached else "#ee6677", markersize=5)
            axis.plot(row["target"], height, "|", color="black", markersize=11)
    axis.set_xscale("log")
    axis.set_yticks(range(len(groups)), list(groups), fontsize=8)
    axis.invert_yaxis()
    axis.grid(True, axis="x", linewidth=0.3)
    axis.set_xlabel("their time over ours; bar: target, green: reached, red: not")
    figure.savefig(path, dpi=100)


def main() -> None:
    if (RESULTS / "growth_training.json").is_file():
        growth(RESULTS / "growth_training.png")
    speed(RESULTS / "speed.png")


if __name__ == "__main__":
    main()
