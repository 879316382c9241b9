"""Detection mAP restated with lists and two loops, for each protocol: ground truth and result as parsed JSON.

Nothing of the package is used. Sums run in order of falling score, as docs/evaluation.md defines the measures, so that
results are equal to the last bit.
"""

from __future__ import annotations

from fractions import Fraction

AMBIGUOUS = "Ambiguous"
RATES = {"wtalc": Fraction(25, 16), "wtalc_unt": Fraction(10, 4)}


def metrics(truth: dict, found: dict, subset: str, tiou: list[float], protocol: str, ambiguous: dict) -> dict:
    """What metrics.json must hold."""
    videos = {name: entry["annotations"] for name, entry in truth["database"].items() if entry["subset"] == subset}
    instances = [(video, row["label"], *row["segment"]) for video, rows in videos.items() for row in rows]
    ignored = {video: [list(row) for row in rows] for video, rows in ambiguous.items()}
    if protocol in ("thumos14", *RATES):
        for video, label, start, end in instances:
            if label == AMBIGUOUS:
                ignored.setdefault(video, []).append([start, end])
        instances = [row for row in instances if row[1] != AMBIGUOUS]
    labels = sorted({row[1] for row in instances})
    detections = [(video, row["label"], row["score"], *row["segment"])
                  for video, rows in found["results"].items() for row in rows if row["label"] in labels]
    rule = {"activitynet": activitynet, "thumos14": kit, "wtalc": wtalc, "wtalc_unt": wtalc}[protocol]
    per_class = {}
    for label in labels:
        own = [row for row in detections if row[1] == label]
        truths = [row for row in instances if row[1] == label]
        per_class[label] = [rule(own, truths, level, ignored, RATES.get(protocol)) for level in tiou]
    means = [mean([per_class[label][level] for label in labels]) for level in range(len(tiou))]
    return {"protocol": protocol, "subset": subset, "num_videos": len(videos), "num_instances": len(instances),
            "num_detections": len(detections), "tiou": tiou, "map": means, "average_map": mean(means),
            "per_class": per_class}


def mean(values: list[float]) -> float:
    total = 0.0
    for value in values:
        total += value
    return total / len(values)


def activitynet(detections, instances, level, ignored, rate) -> float:
    """Best score first; the free instance of largest tIoU, of equal ones the later; interpolated."""
    taken, hits = set(), []
    for video, _, _, start, end in sorted(detections, key=lambda row: -row[2]):
        best = None
        for j, (other, _, t0, t1) in enumerate(instances):
            if other != video or j in taken:
                continue
            overlap = max(0.0, min(end, t1) - max(start, t0))
            union = (t1 - t0) + (end - start) - overlap
            iou = overlap / union if union > 0 else 0.0
            if iou >= level and (best is None or iou >= best[0]):
                best = (iou, j)
        if best is not None:
            taken.add(best[1])
        hits.append(best is not None)
    precision, found = [], 0
    for rank, hit in enumerate(hits, 1):
        found += hit
        precision.append(found / rank)
    area, found = 0.0, 0
    for rank, hit in enumerate(hits):
        if hit:
            step = (found + 1) / len(instances) - found / len(instances)
            area += step * max(precision[rank:])
            found += 1
    return area


def kit(detections, instances, level, ignored, rate) -> float:
    """Instance by instance; the free detection of largest tIoU, above the level; equal scores: by video name."""
    order = sorted(range(len(detections)), key=lambda i: (-detections[i][2], detections[i][0], i))
    taken = set()
    for video, _, t0, t1 in instances:
        best, best_iou = None, level
        for i in order:
            start, end = detections[i][3:]
            if detections[i][0] != video or i in taken:
                continue
            shared = min(end, t1) - max(start, t0)
            iou = shared / (max(end, t1) - min(start, t0)) if shared > 0 else 0.0
            if iou > best_iou:
                best, best_iou = i, iou
        taken |= {best} - {None}
    hits = []
    for i in order:
        video, _, _, start, end = detections[i]
        touched = any(min(end, a1) - max(start, a0) > 0 for a0, a1 in ignored.get(video, []))
        if i in taken or not touched:
            hits.append(i in taken)
    return summed(hits, len(instances))


def wtalc(detections, instances, level, ignored, rate) -> float:
    """Best score first; the first free instance that reaches the level, on sets of snippets."""
    taken, hits = set(), []
    for video, _, _, start, end in sorted(detections, key=lambda row: -row[2]):
        here = snippets(start, end, rate)
        if any(here & snippets(a0, a1, rate) for a0, a1 in ignored.get(video, [])):
            continue
        hit = False
        for j, (other, _, t0, t1) in enumerate(instances):
            there = snippets(t0, t1, rate)
            if other == video and j not in taken and here | there and len(here & there) / len(here | there) >= level:
                taken.add(j)
                hit = True
                break
        hits.append(hit)
    return summed(hits, len(instances))


def snippets(start: float, end: float, rate: Fraction) -> set[int]:
    """Bounds rounded to whole snippets, halves to the even one; times here are exact in binary."""
    return set(range(round(Fraction(start) * rate), round(Fraction(end) * rate)))


def summed(hits: list[bool], instances: int) -> float:
    """Precision at each hit, added in order, over the number of instances."""
    total, found = 0.0, 0
    for rank, hit in enumerate(hits, 1):
        if hit:
            found += 1
            total += found / rank
    return total / instances
