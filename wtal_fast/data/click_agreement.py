"""How far annotators agree: of several people's clicks on the same videos. Does not import torch."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from wtal_fast.data.clicks import Clicks, background_intervals, contradicted_clicks
from wtal_fast.structures import Annotations


def agreement(clicks: Mapping[str, Clicks], annotations: Annotations, durations: np.ndarray,
              tolerance: float = 1.0) -> dict:
    """{"annotators": {name: {...}}, "pairs": {"a, b": {...}}} of clicks over the videos of `annotations`.

    Of each annotator: clicks, videos, contradicted (background clicks inside an action, action clicks outside their
    class), covered (share of the intervals that should be clicked which are), clicks_per_interval (of those covered),
    position (mean place of a click in its interval, 0 start to 1 end; people who click anywhere give 0.5) and its
    deviation (0.29 for a uniform place). Intervals are the background between actions for background clicks, the
    instances for action clicks, in the videos the annotator clicked in.
    Of each pair: near (share of both people's clicks that have a partner of the same label within `tolerance` seconds,
    one to one: the F1 score of one taken as the truth of the other) and kappa (Cohen's, over the intervals of the
    videos both clicked in: clicked or not; None where it is not defined).
    """
    covered = {name: _intervals_clicked(one, annotations, durations) for name, one in clicks.items()}
    people = {name: _summary(one, annotations, *covered[name]) for name, one in clicks.items()}
    pairs = {}
    for first, second in combinations(clicks, 2):
        both = len(clicks[first]) + len(clicks[second])
        near = matched(clicks[first], clicks[second], tolerance)
        pairs[f"{first}, {second}"] = {
            "near": round(2 * near / both, 4) if both else None,
            "kappa": _kappa(covered[first][0], covered[second][0])}
    return {"tolerance": tolerance, "annotators": people, "pairs": pairs}


def matched(first: Clicks, second: Clicks, tolerance: float) -> int:
    """The most clicks of both that can be paired, one to one, with one label, in one video, at most `tolerance` seconds
    apart."""
    groups: dict[tuple[int, int], tuple[list[float], list[float]]] = {}
    for side, clicks in enumerate((first, second)):
        for seconds, number, video in zip(clicks.seconds.tolist(), clicks.classes.tolist(), clicks.video_index.tolist(),
                                          strict=True):
            groups.setdefault((video, number), ([], []))[side].append(seconds)
    return sum(_matched_in_order(sorted(a), sorted(b), tolerance) for a, b in groups.values())


def _matched_in_order(first: list[float], second: list[float], tolerance: float) -> int:
    """Largest matching of two sorted lists: taking the earliest partner that is near enough is optimal on a line."""
    count, position = 0, 0
    for seconds in first:
        while position < len(second) and second[position] < seconds - tolerance:
            position += 1
        if position < len(second) and second[position] <= seconds + tolerance:
            count, position = count + 1, position + 1
    return count


def _intervals_clicked(clicks: Clicks, annotations: Annotations, durations: np.ndarray):
    """({(video, kind, number): clicks inside} of every interval in the clicked videos, places of the clicks, 0..1)."""
    kinds = {"background": clicks.is_background.any(), "action": (~clicks.is_background).any()}
    found, places = {}, []
    for video in sorted(set(clicks.video_index.tolist())):
        rows = clicks.video_index == video
        instances = np.flatnonzero(annotations.video_index == video)
        segments = annotations.segments[instances]
        if kinds["background"]:
            gaps = background_intervals(segments, float(durations[video]))
            moments = clicks.seconds[rows & clicks.is_background]
            _count(found, places, (video, "background"), gaps, [moments] * len(gaps))
        if kinds["action"]:
            mine = [clicks.seconds[rows & (clicks.classes == number)] for number in annotations.classes[instances]]
            _count(found, places, (video, "action"), segments, mine)
    return found, places


def _count(found: dict, places: list[float], key: tuple, intervals: np.ndarray, moments: list[np.ndarray]) -> None:
    for number, ((start, end), seconds) in enumerate(zip(intervals.tolist(), moments, strict=True)):
        inside = seconds[(start <= seconds) & (seconds <= end)]
        found[(*key, number)] = len(inside)
        if end > start:
            places += ((inside - start) / (end - start)).tolist()


def _summary(clicks: Clicks, annotations: Annotations, intervals: dict, places: list[float]) -> dict:
    counts = np.array(list(intervals.values()))
    return {
        "clicks": len(clicks), "videos": len(set(clicks.video_index.tolist())),
        "contradicted": int(contradicted_clicks(clicks, annotations).sum()), "intervals": len(counts),
        "covered": round(float((counts > 0).mean()), 4) if len(counts) else None,
        "clicks_per_interval": round(float(counts[counts > 0].mean()), 3) if (counts > 0).any() else None,
        "position": round(float(np.mean(places)), 3) if places else None,
        "position_deviation": round(float(np.std(places)), 3) if places else None}


def _kappa(first: dict, second: dict) -> float | None:
    """Cohen's kappa of "clicked" over the intervals in both."""
    shared = sorted(first.keys() & second.keys())
    if not shared:
        return None
    a, b = (np.array([one[key] > 0 for key in shared]) for one in (first, second))
    observed = float((a == b).mean())
    chance = float(a.mean() * b.mean() + (1 - a.mean()) * (1 - b.mean()))
    return None if chance == 1 else round((observed - chance) / (1 - chance), 4)
