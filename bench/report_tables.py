"""The tables of docs/benchmarks.md, made of bench/results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from wtal_fast.files import read_json

RESULTS = Path(__file__).parent / "results"
METHOD_NAMES = {"basnet": "BaS-Net", "uncertainty": "UM", "backtal": "BackTAL"}
SWEEP_NAMES = {"snippets": "snippets T, one video", "videos": "videos B in a batch", "classes": "classes C",
               "kernel_size": "taps h", "set": "videos of the set, one epoch"}


def line(*cells: object) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def head(*names: str) -> list[str]:
    """The first two lines of a Markdown table."""
    return [line(*names), "|---" * len(names) + "|"]


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    scale, unit = next((pair for pair in ((1, "s"), (1e3, "ms")) if value * pair[0] >= 1), (1e6, "µs"))
    return f"{value * scale:.2f} {unit}"


def speed_results() -> list[tuple[str, dict]]:
    """(case name, content) of the result files of bench.run on CPUs."""
    return [(path.stem.removeprefix("speed_"), read_json(path)) for path in sorted(RESULTS.glob("speed_*.json"))
            if not path.stem.endswith("_cuda")]


def is_judged(row: dict) -> bool:
    """Whether a row has a target that holds on the machine it was measured on, and a valid ratio."""
    return bool(row.get("target")) and row.get("judged", True) and row.get("ratio") is not None


def _result(name: str) -> dict | None:
    path = RESULTS / name
    return read_json(path) if path.is_file() else None


def _place(environment: dict) -> str:
    return (f"{environment['device']}, {environment['threads']} threads, torch {environment['torch']}, "
            f"{environment['date']}, commit {environment['commit']}")


def all_rows() -> str:
    """Every row of every case: both medians with their bands, ratio, target and what the released code took."""
    parts = []
    for name, content in speed_results():
        parts += [f"**{name}** ({_place(content['environment'])})", "",
                  *head("case", "against", "theirs (20 to 80 %)", "ours (20 to 80 %)", "ratio", "target")]
        for row in content["rows"]:
            if "skipped" in row:
                parts.append(line(row["case"], row["baseline"], f"skipped: {row['skipped']}", "", "", ""))
                continue
            parts.append(line(row["case"], row["baseline"] + _validity(row), _band(row, "baseline_seconds"),
                              _band(row, "seconds"), "none" if row["ratio"] is None else f"{row['ratio']:.2f}",
                              _target(row)))
        parts.append("")
    return "\n".join(parts).rstrip()


def _validity(row: dict) -> str:
    if "of_released" not in row:
        return ""
    words = f", {row['of_released']:.2f} of the released code's {seconds(row['released_seconds'])}"
    return words + (": too slow, invalid" if row["valid"] is False else "")


def _band(row: dict, field: str) -> str:
    low, high = seconds(row[field + "_20"]), seconds(row[field + "_80"])
    return f"{seconds(row[field])} ({low} to {high})"


def number(value: float) -> str:
    """Three digits, all those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _target(row: dict) -> str:
    if not row["target"]:
        return ""
    return number(row["target"]) + ("" if row.get("judged", True) else ", on machines with AMX")


def memory() -> str:
    """Peak memory of each contender, alone in a process."""
    content = _result("memory.json")
    if content is None:
        return "Not measured yet."
    lines = [_place(content["environment"]) + ".", "",
             *head("case", "shape", "ours, fp32", "ours, bf16", "released, restated", "ratio", "target")]
    for row in content["rows"]:
        sizes = (f"{row['bytes'][name] / 1e9:.2f} GB" for name in ("ours", "ours, bf16", "released"))
        lines.append(line(row["case"], row["shape"], *sizes, f"{row['ratio']:.2f}", row["target"] or ""))
    return "\n".join(lines)


def full_width_rows() -> list[tuple[dict, dict]]:
    """(method's result, one comparison of it) of every full-width run."""
    content = _result("full_width.json")
    return [(row, part) for row in (content or {"rows": []})["rows"] for part in row["rows"]]


def full_width() -> str:
    """Steps at the released widths: times, floors, memory, losses."""
    rows = list({row["method"]: row for row, _ in full_width_rows()}.values())
    if not rows:
        return "Not measured yet."
    lines = head("method", "of ours", "against", "theirs", "ours", "ratio", "target")
    for row, part in full_width_rows():
        lines.append(line(METHOD_NAMES[row["method"]], part["what"], part["against"] + _validity_of_step(row, part),
                          seconds(row["seconds"][part["against"]]), seconds(row["seconds"][part["what"]]),
                          "none" if part["ratio"] is None else f"{part['ratio']:.2f}", _target(part)))
    lines += ["", *head("method", "shape", "steps", "memory, ours", "ours, bf16", "released, restated", "ratio",
                        "difference of fp32 losses")]
    for row in rows:
        held = [f"{row['bytes'][side] / 1e9:.2f} GB" for side in ("ours", "ours, bf16", "released")]
        lines.append(line(METHOD_NAMES[row["method"]], row["shape"], row["steps"], *held, f"{row['bytes_ratio']:.2f}",
                          f"{row['largest_loss_difference']:.1g}"))
    places = dict.fromkeys(_place(row["environment"]) for row in rows)
    return "\n".join(["; ".join(places) + ".", "", *lines])


def _validity_of_step(row: dict, part: dict) -> str:
    return _validity(row) if part["against"] == "released" else ""


def growth() -> str:
    """Slopes of time and memory on logarithmic axes."""
    content = _result("growth_training.json")
    if content is None:
        return "Not measured yet."
    lines = head("method", "against", "from", "to", "time at the end", "exponent of time", "exponent of memory")
    for row in content["rows"]:
        first, last = row["points"][0], row["points"][-1]
        lines.append(line(METHOD_NAMES[row["method"]], SWEEP_NAMES[row["sweep"]], f"{first['value']:,}",
                          f"{last['value']:,}", seconds(last["seconds"]), f"{row['exponent']:.2f}",
                          f"{row['memory_exponent']:.2f}"))
    return "\n".join([_place(content["rows"][-1]["environment"]) + ".", "", *lines])


def precision() -> str:
    """Average mAP of every pair of fp32 and bf16 runs."""
    content = _result("quality_bf16_thumos14_sim.json")
    if content is None:
        return "Not measured yet."
    lines = head("method", "seeds", "fp32", "bf16", "bf16 - fp32", "mean", "at least")
    for method, row in content["rows"].items():
        cells = [", ".join(f"{100 * value:{form}}" for value in row[field])
                 for field, form in (("fp32", ".1f"), ("bf16", ".1f"), ("difference", "+.1f"))]
        mean = f"{100 * row['mean_difference']:+.2f}"
        if row["standard_error"] is not None:
            mean += f" ± {100 * row['standard_error']:.2f}"
        lines.append(line(METHOD_NAMES[method], ", ".join(map(str, row["seeds"])), *cells, mean,
                          f"{100 * row['lowest_allowed']:+.1f}"))
    return "\n".join(["Average mAP in per cent.", "", *lines])


def class_counts() -> str:
    """Class loss of the released code and of the papers at several numbers of classes."""
    content = read_json(RESULTS / "class_counts.json")
    lines = head("method", "classes", "class loss", "video mAP", "mAP@.5", "videos with a class above the threshold")
    for row in content["rows"]:
        values = (f"{100 * row[key]:.1f}" for key in ("video_map", "map_50", "videos_with_a_class"))
        lines.append(line(METHOD_NAMES[row["method"]], row["classes"], row["class_loss"], *values))
    runs = len(content["rows"][0]["runs"])
    return "\n".join([f"Per cent, simulated sets, means of {runs} seeds.", "", *lines])


TABLES: dict[str, Callable[[], str]] = {
    "class_counts": class_counts, "all_rows": all_rows, "memory": memory,
    "full_width": full_width, "growth": growth, "precision": precision}
