"""ActivityNet's detection mAP the way its public script computes it: data frames, one prediction at a time.

    python -m bench.baselines_pandas DETECTIONS.json GROUND_TRUTH.json SUBSET START STEP STOP

prints {"map": [...]}. Neither torch nor wtal_fast is imported: it is timed as a process against `wtal-fast evaluate`.
"""

from __future__ import annotations

import json
import sys

import numpy as np

try:
    import pandas
except ImportError:
    pandas = None

SPAN = ["t-start", "t-end"]


def require_pandas() -> None:
    """Ends the program in words where pandas is not installed."""
    if pandas is None:
        sys.exit("this baseline needs pandas: pip install pandas")


def tables(truth: dict, found: dict, subset: str) -> tuple[dict[str, int], object, object]:
    """Label -> number and the two data frames, rows in file order."""
    numbers: dict[str, int] = {}
    rows = {"video-id": [], "t-start": [], "t-end": [], "label": []}
    for video, entry in truth["database"].items():
        if entry["subset"] != subset:
            continue
        for instance in entry["annotations"]:
            numbers.setdefault(instance["label"], len(numbers))
            values = (video, float(instance["segment"][0]), float(instance["segment"][1]), numbers[instance["label"]])
            for column, value in zip(rows.values(), values, strict=True):
                column.append(value)
    predictions = {"video-id": [], "t-start": [], "t-end": [], "label": [], "score": []}
    for video, detections in found["results"].items():
        for one in detections:
            values = (video, float(one["segment"][0]), float(one["segment"][1]), numbers[one["label"]], one["score"])
            for column, value in zip(predictions.values(), values, strict=True):
                column.append(value)
    return numbers, pandas.DataFrame(rows), pandas.DataFrame(predictions)


def pandas_average_precision(truth, found, tiou: np.ndarray) -> np.ndarray:
    """Average precision [Q] of one class from its two data frames."""
    precision = np.zeros(len(tiou))
    if found.empty:
        return precision
    found = found.iloc[found["score"].values.argsort()[::-1]].reset_index(drop=True)
    holder = np.full((len(tiou), len(truth)), -1.0)
    hit, miss = np.zeros((2, len(tiou), len(found)))
    by_video = truth.reset_index(drop=True).groupby("video-id")
    for place, row in found.iterrows():
        try:
            here = by_video.get_group(row["video-id"])
        except KeyError:
            miss[:, place] = 1
            continue
        here = here.reset_index()
        overlap = _tiou(row[SPAN].values, here[SPAN].values)
        falling = overlap.argsort()[::-1]
        for level, threshold in enumerate(tiou):
            for candidate in falling:
                if overlap[candidate] < threshold:
                    miss[level, place] = 1
                    break
                instance = here.loc[candidate]["index"]
                if holder[level, instance] >= 0:
                    continue
                hit[level, place], holder[level, instance] = 1, place
                break
            if not hit[level, place] and not miss[level, place]:
                miss[level, place] = 1
    hits, misses = np.cumsum(hit, axis=1), np.cumsum(miss, axis=1)
    for level in range(len(tiou)):
        precision[level] = _area(hits[level] / (hits[level] + misses[level]), hits[level] / len(truth))
    return precision


def _tiou(one: np.ndarray, many: np.ndarray) -> np.ndarray:
    shared = (np.minimum(one[1], many[:, 1]) - np.maximum(one[0], many[:, 0])).clip(0)
    return shared.astype(float) / ((many[:, 1] - many[:, 0]) + (one[1] - one[0]) - shared)


def _area(precision: np.ndarray, recall: np.ndarray) -> float:
    precision, recall = np.hstack([[0], precision, [0]]), np.hstack([[0], recall, [1]])
    for place in range(len(precision) - 2, -1, -1):
        precision[place] = max(precision[place], precision[place + 1])
    steps = np.flatnonzero(recall[1:] != recall[:-1]) + 1
    return float(((recall[steps] - recall[steps - 1]) * precision[steps]).sum())


def pandas_map(truth: dict, found: dict, subset: str, tiou: np.ndarray) -> np.ndarray:
    """Average precision [Q, C] of parsed JSON, classes by first appearance, one class after the other."""
    numbers, truth_table, found_table = tables(truth, found, subset)
    columns = [pandas_average_precision(truth_table[truth_table["label"] == number],
                                        found_table[found_table["label"] == number], tiou)
               for number in numbers.values()]
    return np.stack(columns, axis=1)


def main() -> None:
    require_pandas()
    found_path, truth_path, subset, start, step, stop = sys.argv[1:]
    with open(truth_path, encoding="utf-8") as truth, open(found_path, encoding="utf-8") as found:
        content = json.load(truth), json.load(found)
    count = round((float(stop) - float(start)) / float(step)) + 1
    precision = pandas_map(*content, subset, np.linspace(float(start), float(stop), count))
    print(json.dumps({"map": precision.mean(axis=1).tolist()}))


if __name__ == "__main__":
    main()
