"""Slow, independent statements of what the segment ops compute, and which backends they are compared on."""

from __future__ import annotations

import math

from wtal_fast.ops._library import backend_of, use_backend


def backends(op: str) -> list[str]:
    """The reference, and the compiled kernels where this op has one."""
    try:
        with use_backend("native"):
            return ["reference", "native"] if backend_of(op) == "native" else ["reference"]
    except RuntimeError:
        return ["reference"]


def iou(a, b, offset=0.0) -> float:
    inter = max(0.0, min(a[1], b[1]) - max(a[0], b[0]) + offset)
    union = (a[1] - a[0] + offset) + (b[1] - b[0] + offset) - inter
    return inter / union if union > 0 else 0.0


def nms(segments, scores, threshold, groups, offset=0.0) -> list[int]:
    kept = []
    for group in sorted(set(groups)):
        waiting = sorted((i for i in range(len(scores)) if groups[i] == group), key=lambda i: (-scores[i], i))
        while waiting:
            best, *waiting = waiting
            kept.append(best)
            waiting = [i for i in waiting if iou(segments[best], segments[i], offset) < threshold]
    return kept


def soft_nms(segments, scores, threshold, groups, offset, method, sigma, min_score) -> tuple[list[int], list[float]]:
    kept, values = [], []
    for group in sorted(set(groups)):
        waiting = {i: scores[i] for i in range(len(scores)) if groups[i] == group and scores[i] >= min_score}
        while waiting:
            best = min(waiting, key=lambda i: (-waiting[i], i))
            kept.append(best)
            values.append(waiting.pop(best))
            for i in list(waiting):
                overlap = iou(segments[best], segments[i], offset)
                if method == "gaussian":
                    waiting[i] *= math.exp(-overlap * overlap / sigma)
                elif overlap >= threshold:
                    waiting[i] *= 1 - overlap
                if waiting[i] < min_score:
                    del waiting[i]
    return kept, values


def proposals_of_row(values, thresholds, gate=None, outer_ratio=0.25, closed=True, raw=False, min_run=1, extra=0.0,
                     skip_run_at_zero=False) -> list[tuple[int, int, float]]:
    """(start, end, score) of one video and class, by threshold, then start."""
    found, size = [], len(values)
    for threshold in thresholds:
        above = [v >= threshold and v > 0 for v in (values if gate is None else gate)]
        if skip_run_at_zero and above[:1] == [True] and sum(above) == 1:
            continue
        outside = list(values) if raw else [v if a else 0.0 for v, a in zip(values, above, strict=True)]
        start = 0
        while start < size:
            if not above[start]:
                start += 1
                continue
            end = start
            while end < size and above[end]:
                end += 1
            n, last = end - start, end - 1
            if n >= min_run:
                left = range(max(0, int(start - outer_ratio * n)), start)
                reach = int(last + outer_ratio * n)
                stop = min(size - 1, reach) + 1 if closed else min(size, reach)
                around = [outside[j] for j in [*left, *range(end, stop)]]
                inner = math.fsum(values[start:end]) / n
                outer = math.fsum(around) / len(around) if around else 0.0
                found.append((start, end, inner - outer + extra))
            start = end
    return found


def claims(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, threshold) -> list[bool]:
    """One tIoU threshold at a time, as the official evaluation walks through predictions and instances."""
    taken, hits = set(), [False] * len(pred_scores)
    for i in sorted(range(len(pred_scores)), key=lambda i: (-pred_scores[i], i)):
        own = [j for j in range(len(gt_groups)) if gt_groups[j] == pred_groups[i]]
        for j in sorted(own, key=lambda j: (-iou(gt_segments[j], pred_segments[i]), -j)):
            if iou(gt_segments[j], pred_segments[i]) < threshold:
                break
            if j not in taken:
                taken.add(j)
                hits[i] = True
                break
    return hits


def average_precision(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, num_classes, threshold):
    """Average precision of each class at one threshold."""
    hits = claims(pred_segments, pred_scores, pred_groups, gt_segments, gt_groups, threshold)
    result = []
    for label in range(num_classes):
        instances = sum(group % num_classes == label for group in gt_groups)
        own = [i for i in range(len(pred_scores)) if pred_groups[i] % num_classes == label]
        own.sort(key=lambda i: (-pred_scores[i], i))
        curve, found = [(0.0, 0.0)], 0
        for rank, i in enumerate(own, start=1):
            found += hits[i]
            curve.append((found / instances if instances else 0.0, found / rank))
        area = 0.0
        for position in range(1, len(curve)):
            best = max(precision for _, precision in curve[position:])
            area += (curve[position][0] - curve[position - 1][0]) * best
        result.append(area if instances else math.nan)
    return result
