"""What NMS and mAP are compared with, restated: NumPy loops, and a scalar C++ loop compiled when it is asked for."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

COMPILED = r"""
#include <algorithm>
#include <cstdint>
#include <numeric>
#include <vector>

template <bool planar>  // segments as boxes [start, 0, end, 1]
int64_t nms(const float* segments, const float* scores, int64_t n, float threshold, int64_t* kept) {
    std::vector<float> start(n), end(n), low(planar ? n : 0, 0.0f), high(planar ? n : 0, 1.0f), size(n);
    for (int64_t i = 0; i < n; ++i) {
        start[i] = segments[2 * i];
        end[i] = segments[2 * i + 1];
        size[i] = end[i] - start[i];
        if constexpr (planar) size[i] *= high[i] - low[i];
    }
    std::vector<int64_t> order(n);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return scores[a] > scores[b]; });
    std::vector<uint8_t> removed(n, 0);
    int64_t count = 0;
    for (int64_t a = 0; a < n; ++a) {
        const int64_t i = order[a];
        if (removed[i]) continue;
        kept[count++] = i;
        for (int64_t b = a + 1; b < n; ++b) {
            const int64_t j = order[b];
            if (removed[j]) continue;
            float shared = std::max(0.0f, std::min(end[i], end[j]) - std::max(start[i], start[j]));
            if constexpr (planar) shared *= std::max(0.0f, std::min(high[i], high[j]) - std::max(low[i], low[j]));
            const float overlap = shared / (size[i] + size[j] - shared);
            if (planar ? overlap > threshold : overlap >= threshold) removed[j] = 1;
        }
    }
    return count;
}

extern "C" int64_t segment_nms(const float* segments, const float* scores, int64_t n, float threshold, int64_t* kept) {
    return nms<false>(segments, scores, n, threshold, kept);
}
extern "C" int64_t box_nms(const float* segments, const float* scores, int64_t n, float threshold, int64_t* kept) {
    return nms<true>(segments, scores, n, threshold, kept);
}
"""


def compiled_nms(planar: bool = False) -> Callable[[Tensor, Tensor, float, list[int]], Tensor] | None:
    """NMS that looks at every pair one by one in C++, one call a group.

    As ActionFormer's extension does it (less its 1e-6 on lengths); planar: as torchvision's, on boxes
    [start, 0, end, 1] and with its strict comparison. The call takes float32 segments [N, 2] and scores [N], the
    threshold, and the bounds of the groups, which are contiguous; it returns kept indices, by falling score inside a
    group. None where there is no g++.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder) / "nms.cpp", Path(folder) / "nms.so"
        source.write_text(COMPILED, encoding="utf-8")
        command = ["g++", "-O3", "-std=c++17", "-shared", "-fPIC", str(source), "-o", str(binary)]
        try:
            subprocess.run(command, check=True)
        except FileNotFoundError:
            return None
        library = ctypes.CDLL(str(binary))  # stays loaded once its file is gone
    one_group = library.box_nms if planar else library.segment_nms
    pointer, integer = ctypes.c_void_p, ctypes.c_int64
    one_group.argtypes, one_group.restype = [pointer, pointer, integer, ctypes.c_float, pointer], integer

    def nms(segments: Tensor, scores: Tensor, threshold: float, bounds: list[int]) -> Tensor:
        kept, total, counts = torch.empty(len(scores), dtype=torch.int64), 0, []
        where, score, out = segments.data_ptr(), scores.data_ptr(), kept.data_ptr()
        for start, end in zip(bounds[:-1], bounds[1:], strict=True):
            count = one_group(where + 8 * start, score + 4 * start, end - start, threshold, out + 8 * total)
            counts.append(count)
            total += count
        firsts = torch.tensor(bounds[:-1]).repeat_interleave(torch.tensor(counts))
        return kept[:total] + firsts

    return nms


def broadcast_iou(a: Tensor, b: Tensor) -> Tensor:
    """Overlap [N, M] of segments a [N, 2] and b [M, 2] in their own dtype, as evaluators in PyTorch spell it."""
    shared = (torch.minimum(a[:, None, 1], b[:, 1]) - torch.maximum(a[:, None, 0], b[:, 0])).clamp(min=0)  # [N, M]
    return shared / ((a[:, 1] - a[:, 0])[:, None] + (b[:, 1] - b[:, 0]) - shared)


def matrix_nms(segments: Tensor, scores: Tensor, threshold: float) -> Tensor:
    """NMS of one group in plain PyTorch: the matrix of all overlaps, then one row of it for each kept segment."""
    order = scores.argsort(descending=True, stable=True)
    start, end = segments[order].unbind(1)
    shared = (torch.minimum(end[:, None], end) - torch.maximum(start[:, None], start)).clamp(min=0)  # [N, N]
    rivals = shared / ((end - start)[:, None] + (end - start) - shared) >= threshold
    free = torch.ones(len(order), dtype=torch.bool)
    for row in range(len(order)):
        if free[row]:
            free[row + 1:] &= ~rivals[row, row + 1:]
    return order[free]


def numpy_nms(segments: np.ndarray, scores: np.ndarray, threshold: float, offset: float) -> np.ndarray:
    """Kept indices by falling score, as the released BackTAL, BaS-Net and UM do it: one array pass a kept one."""
    start, end = segments[:, 0], segments[:, 1]
    length = end - start + offset
    order = np.argsort(scores)[::-1]
    kept = []
    while order.size:
        best, rest = order[0], order[1:]
        kept.append(best)
        shared = np.minimum(end[best], end[rest]) - np.maximum(start[best], start[rest]) + offset
        overlap = np.maximum(0.0, shared)
        order = rest[np.where(overlap / (length[best] + length[rest] - overlap) < threshold)[0]]
    return np.asarray(kept, dtype=np.int64)


def grouped_numpy_nms(segments: np.ndarray, scores: np.ndarray, threshold: float, bounds: list[int]) -> Tensor:
    """numpy_nms of each contiguous group in turn."""
    parts = [numpy_nms(segments[start:end], scores[start:end], threshold, 0.0) + start
             for start, end in zip(bounds[:-1], bounds[1:], strict=True)]
    return torch.from_numpy(np.concatenate(parts))


def loop_map(instances: dict[str, dict[str, np.ndarray]], predictions: dict[str, tuple], tiou: np.ndarray) -> Tensor:
    """Average precision [Q, C] of the ActivityNet protocol in loops over classes, predictions and thresholds.

    instances: class -> video -> segments [M, 2]; predictions: class -> (videos, segments [P, 2], scores [P]).
    """
    columns = []
    for label, by_video in instances.items():
        videos, segments, scores = predictions[label]
        hits = np.zeros((len(tiou), len(scores)))
        taken = {video: np.zeros((len(tiou), len(rows)), dtype=bool) for video, rows in by_video.items()}
        for position, row in enumerate(np.argsort(-scores, kind="stable")):
            truth = by_video.get(videos[row])
            if truth is None:
                continue
            start, end = segments[row]
            overlap = np.maximum(0.0, np.minimum(truth[:, 1], end) - np.maximum(truth[:, 0], start))
            iou = overlap / ((truth[:, 1] - truth[:, 0]) + (end - start) - overlap)
            falling = np.argsort(iou, kind="stable")[::-1]
            ranked, locked = iou[falling].tolist(), taken[videos[row]]
            for level, threshold in enumerate(tiou):
                for candidate, value in zip(falling, ranked, strict=True):
                    if value < threshold:
                        break
                    if not locked[level, candidate]:
                        locked[level, candidate] = True
                        hits[level, position] = 1
                        break
        count = sum(map(len, by_video.values()))
        columns.append([_interpolated_area(found, count) for found in hits])
    return torch.tensor(columns, dtype=torch.float64).T


def _interpolated_area(hit: np.ndarray, instances: int) -> float:
    found = np.cumsum(hit)
    recall = np.concatenate([[0.0], found / instances, [1.0]])
    precision = np.concatenate([[0.0], found / np.arange(1, len(hit) + 1), [0.0]])
    for index in range(len(precision) - 1, 0, -1):
        precision[index - 1] = max(precision[index - 1], precision[index])
    steps = np.where(recall[1:] != recall[:-1])[0]
    return float(((recall[steps + 1] - recall[steps]) * precision[steps + 1]).sum())
