"""Random small evaluation sets, as JSON, through wtal_fast.evaluate: equal to the oracle to the last bit.

The sets hold all that real files hold and worse; docs/evaluation.md states the rule for each oddity of ODDITIES.
"""

from __future__ import annotations

import random
import warnings
from collections import Counter

import pytest

import wtal_fast
from python_tests.conftest import require
from python_tests.evaluation import oracle
from wtal_fast.evaluation import _door, reference

PROTOCOLS = ("activitynet", "thumos14", "wtalc", "wtalc_unt")
LEVELS = (0.1, 0.2, 0.25, 0.3, 1 / 3, 0.5, 0.6, 2 / 3, 0.75, 0.9, 1.0)
QUICK, ALL = 500, 10_000


def segment(draw: random.Random, first: float = 0.0) -> list[float]:
    """Few distinct times, so that overlaps tie; now and then no length."""
    start = first + draw.randint(0, 18) / 2
    return [start, start + draw.choice([0, 1, 2, 2, 4, 4, 12]) / 2]


def small_set(draw: random.Random) -> tuple[dict, dict, dict]:
    """Ground truth, result and ambiguous stretches."""
    labels = ["run", "jump", "swim", "Ambiguous"][: draw.randint(1, 4)]
    videos = [f"v{index}" for index in range(draw.randint(1, 4))]
    draw.shuffle(videos)
    database = {}
    for video in videos:
        rows = [{"label": draw.choice(labels), "segment": segment(draw)} for _ in range(draw.choice([0, 1, 2, 3, 5]))]
        rows += [dict(draw.choice(rows)) for _ in range(draw.randint(0, 2)) if rows]  # instances given twice
        database[video] = {"subset": "test", "annotations": rows}
    database["trained on"] = {"subset": "train", "annotations": [{"label": "run", "segment": [0, 1]}]}
    if not any(row["label"] != "Ambiguous" for video in videos for row in database[video]["annotations"]):
        database[videos[0]]["annotations"].append({"label": "run", "segment": segment(draw)})

    results = {}
    for video in draw.sample([*videos, "unannotated"], draw.randint(0, len(videos) + 1)):
        rows = []
        for _ in range(draw.choice([0, 1, 3, 8])):
            truths = database.get(video, {"annotations": []})["annotations"]
            label, place = draw.choice([*labels, "unheard of"]), segment(draw, -1.0)
            if truths and draw.random() < 0.6:  # around one or two instances
                pair = [draw.choice(truths) for _ in range(2)]
                label = pair[0]["label"]
                place = [pair[0]["segment"][0], max(row["segment"][1] for row in pair)]
            rows.append({"label": label, "score": draw.randint(-4, 5) / 4, "segment": place})
        rows += [dict(draw.choice(rows)) for _ in range(draw.randint(0, 2)) if rows]
        results[video] = rows
    ambiguous = {video: [segment(draw)] for video in draw.sample(videos, draw.randint(0, len(videos)))}
    return {"database": database}, {"results": results}, ambiguous if draw.random() < 0.5 else {}


def same(rows: list) -> bool:
    return len(rows) > len({repr(row) for row in rows})


def oddities(truth: dict, found: dict) -> set[str]:
    """Which of the named oddities a set holds."""
    videos = {name: entry["annotations"] for name, entry in truth["database"].items() if entry["subset"] == "test"}
    instances = [row for rows in videos.values() for row in rows]
    results = found["results"]
    detections = [row for rows in results.values() for row in rows]
    labels = {row["label"] for row in instances}
    holds = {
        "equal scores": same([(row["label"], row["score"]) for row in detections]),
        "instance without length": any(row["segment"][0] == row["segment"][1] for row in instances),
        "detection without length": any(row["segment"][0] == row["segment"][1] for row in detections),
        "video without ground truth": any(results.get(video) and not rows for video, rows in videos.items()),
        "video that is not annotated": bool(results.get("unannotated")),
        "label without ground truth": any(row["label"] not in labels for row in detections),
        "class nobody detected": bool(labels - {row["label"] for row in detections}),
        "negative score": any(row["score"] < 0 for row in detections),
        "instance given twice": any(same(rows) for rows in videos.values()),
        "detection given twice": any(same(rows) for rows in results.values()),
        "start before 0": any(row["segment"][0] < 0 for row in detections),
        "no detection": not detections,
        "equal overlaps": any(equal_overlaps(rows, videos.get(video, [])) for video, rows in results.items()),
    }
    return {name for name, there in holds.items() if there}


ODDITIES = ("equal scores", "instance without length", "detection without length", "video without ground truth",
            "video that is not annotated", "label without ground truth", "class nobody detected", "negative score",
            "instance given twice", "detection given twice", "start before 0", "no detection", "equal overlaps")


def equal_overlaps(detections: list[dict], instances: list[dict]) -> bool:
    """Whether a detection overlaps two different instances of its class equally."""
    for row in detections:
        (start, end), seen = row["segment"], {}
        for truth in (truth for truth in instances if truth["label"] == row["label"]):
            t0, t1 = truth["segment"]
            overlap = max(0.0, min(end, t1) - max(start, t0))
            if overlap and seen.setdefault(overlap / (max(end, t1) - min(start, t0)), [t0, t1]) != [t0, t1]:
                return True
    return False


def compare(count: int, seed: int, protocols=PROTOCOLS) -> Counter:
    """Compares `count` sets under each of `protocols`; how many sets held each oddity."""
    draw, seen = random.Random(seed), Counter()
    for number in range(count):
        truth, found, ambiguous = small_set(draw)
        tiou = draw.sample(LEVELS, draw.randint(1, 6))
        seen.update(oddities(truth, found))
        for protocol in protocols:
            stretches = {} if protocol == "activitynet" else ambiguous
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "(ignored|counted as false positives) .* detections")
                metrics = wtal_fast.evaluate(truth, found, tiou=tiou, protocol=protocol, ambiguous=stretches or None)
            expected = oracle.metrics(truth, found, "test", tiou, protocol, stretches)
            assert metrics.to_json() == expected, f"set {number}, seed {seed}, {protocol}: {truth} {found} {stretches}"
    return seen


@pytest.fixture(params=["reference", "native"])
def backend(request, monkeypatch):
    if request.param == "reference":
        monkeypatch.setattr(_door, "average_precision", reference.average_precision)
    else:
        require("native", _door.BACKEND == "native", "wtal_fast._numpy is not built")


def test_sets():
    seen = compare(QUICK, seed=0)
    assert seen.keys() == set(ODDITIES)
    assert min(seen.values()) >= QUICK // 50, seen


def test_sets_on_both_backends(backend):
    compare(QUICK // 2, seed=1, protocols=PROTOCOLS[:1])


@pytest.mark.slow
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_ten_thousand_sets(protocol):
    compare(ALL, seed=2, protocols=(protocol,))
