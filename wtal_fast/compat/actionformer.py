"""batched_nms of ActionFormer and OpenTAD: NMS per class or over all, soft or hard, with segment voting."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast import ops
from wtal_fast.compat import nms_1d_cpu

_GAUSSIAN = 2


def batched_nms(segs: Tensor, scores: Tensor, cls_idxs: Tensor, iou_threshold: float, min_score: float,
                max_seg_num: int, use_soft_nms: bool = True, multiclass: bool = True, sigma: float = 0.5,
                voting_thresh: float = 0.75) -> tuple[Tensor, Tensor, Tensor]:
    """Segments [K, 2], scores [K] and classes [K] that stay, by falling score, at most max_seg_num.

    segs [N, 2], scores [N], cls_idxs [N]. multiclass: every class on its own; else all together, and each kept segment
    becomes the mean of all with overlap >= voting_thresh, weighted by score times overlap (voting_thresh 0: no voting).
    use_soft_nms: Gaussian decay by `sigma`, dropped below min_score; else removal at overlap >= iou_threshold among
    scores above min_score.
    """
    if len(segs) == 0:
        return torch.zeros([0, 2]), torch.zeros([0]), torch.zeros([0], dtype=cls_idxs.dtype)
    groups = torch.unique(cls_idxs) if multiclass else [None]
    parts = []
    for group in groups:
        rows = torch.arange(len(segs)) if group is None else torch.where(cls_idxs == group)[0]
        if use_soft_nms:
            parts.append(_soft(segs[rows], scores[rows], cls_idxs[rows], iou_threshold, sigma, min_score, max_seg_num))
        else:
            parts.append(_hard(segs[rows], scores[rows], cls_idxs[rows], iou_threshold, min_score, max_seg_num))
    new_segs, new_scores, new_classes = (torch.cat(part) for part in zip(*parts, strict=True))
    if not multiclass and voting_thresh > 0:
        new_segs = seg_voting(new_segs, segs, scores, voting_thresh)
    best = new_scores.sort(descending=True, stable=True).indices[:max_seg_num]
    return new_segs[best], new_scores[best], new_classes[best]


def seg_voting(nms_segs: Tensor, all_segs: Tensor, all_scores: Tensor, iou_threshold: float) -> Tensor:
    """Each of nms_segs [K, 2] as the mean of the all_segs [N, 2] with overlap >= iou_threshold to it, weighted by score
    times overlap."""
    iou = ops.temporal_iou(nms_segs, all_segs)  # [K, N]
    weights = (iou >= iou_threshold).to(all_scores.dtype) * all_scores[None, :] * iou
    weights = weights / weights.sum(dim=1, keepdim=True)
    return weights.to(all_segs.dtype) @ all_segs


def _hard(segs, scores, classes, iou_threshold, min_score, max_num):
    if min_score > 0:
        valid = scores > min_score
        segs, scores, classes = segs[valid], scores[valid], classes[valid]
    kept = nms_1d_cpu.nms(segs, scores, iou_threshold)[: max_num if max_num > 0 else None]
    return segs[kept], scores[kept], classes[kept]


def _soft(segs, scores, classes, iou_threshold, sigma, min_score, max_num):
    dets = segs.new_empty((len(segs), 3))
    kept = nms_1d_cpu.softnms(segs, scores, dets, iou_threshold, sigma, min_score, _GAUSSIAN)
    count = min(len(kept), max_num) if max_num > 0 else len(kept)
    return dets[:count, :2], dets[:count, 2], classes[kept[:count]]
