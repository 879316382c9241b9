"""Loss of BackTAL: classification of videos and of clicked snippets, score separation, affinity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from wtal_fast.losses.mil import (
    ClassLoss,
    batch_totals,
    bounded_log,
    check_choice,
    class_loss,
    required_labels,
    single_precision,
    weighted_total,
    with_background,
)
from wtal_fast.ops.topk_mask import topk_mask
from wtal_fast.ops.topk_mean import topk_mean
from wtal_fast.structures import NO_CLICK, CASOutput, FeatureBatch

_BEYOND = 4.0  # added to a cosine, farther than any cosine lies from another


@dataclass(frozen=True)
class BackTALLoss:
    """Terms `base`, `supp`, `norm` of BaS-Net and, of clicked snippets, `frame`, `separation`, `affinity`.

    A click term with weight 0 is left out; one for which the batch holds no click is 0 with zero gradient. Clicks on
    actions enter `frame` and `weight` only. The defaults are the released code's for THUMOS'14.

    class_loss, normalize_labels: as in BaSNetLoss; "ce" with labels divided by their sum is the released code.
    frame_mean: "positions" averages `frame` over all clicks of the batch (released code), "videos" over the clicks of
    each video, then over all videos (paper Eq. 3).
    separation: "single" is softplus(p_bg - p_act) (released code), "double" twice that (paper Eq. 8).
    separation_ratio: p_act is the mean over this share of snippets (0.2 on ActivityNet, HACS), None: the video score.
    affinity: "mean_of_hardest" takes every snippet's hardest partner (released code), "hardest_pairs" the three single
    hardest pairs of a video (paper Eq. 10-13). pool_ratio: share of snippets that count as action, the model's.
    tau_same, tau_diff: similarity that same snippets should exceed and different ones stay below (paper Sec. 4.1).
    weight_supervision: weight of `weight`, the binary cross-entropy of the foreground weight at clicks (paper Table 8).
    mined_background: n > 0 takes floor(n * clicks) unclicked snippets of each video's share, the highest background
    logits of the whole batch, as background clicks, with their cross-entropy over the number of classes as `mined`
    (SF-Net, which has n = 7; paper Table 13).
    """

    class_loss: ClassLoss = "ce"
    normalize_labels: bool = True
    norm_weight: float = 1e-4
    frame_weight: float = 1.0
    frame_mean: Literal["positions", "videos"] = "positions"
    separation_weight: float = 1.0
    separation: Literal["single", "double"] = "single"
    separation_ratio: float | None = None
    affinity_weight: float = 0.8
    affinity: Literal["mean_of_hardest", "hardest_pairs"] = "mean_of_hardest"
    pool_ratio: float = 0.125
    tau_same: float = 0.5
    tau_diff: float = 0.1
    weight_supervision: float = 0.0
    mined_background: float = 0.0

    def __post_init__(self):
        check_choice("BackTALLoss", "class_loss", self.class_loss, ("bce", "ce"))
        check_choice("BackTALLoss", "frame_mean", self.frame_mean, ("positions", "videos"))
        check_choice("BackTALLoss", "separation", self.separation, ("single", "double"))
        check_choice("BackTALLoss", "affinity", self.affinity, ("mean_of_hardest", "hardest_pairs"))

    @property
    def needs_whole_batch(self) -> bool:
        return self.mined_background > 0

    def __call__(self, output: CASOutput, batch: FeatureBatch) -> dict[str, Tensor]:
        """Every term unweighted under its name and the weighted sum under "total", scalars."""
        if output.base_cas_logits is None:
            raise ValueError("BackTALLoss: output.base_cas_logits must be given (the model in train mode), got None")
        labels, totals = required_labels(batch), batch_totals(batch)
        terms = {
            "base": self._classify(output.base_video_logits, with_background(labels, True), totals.videos),
            "supp": self._classify(output.video_logits, with_background(labels, False), totals.videos),
            "norm": single_precision(output.foreground).sum() / totals.videos,
        }
        clicks = batch.clicks
        if clicks is None:
            clicks = torch.full(batch.features.shape[:2], NO_CLICK, device=labels.device)
        background = clicks == labels.shape[1]  # [B, T]
        clicked_videos = totals.clicked_videos
        logits = single_precision(output.base_cas_logits)  # [B, T, C+1]
        if self.mined_background:
            mined = self._mine(logits, clicks, batch)
            background = background | mined
            clicked_videos = background.any(1).sum().clamp_min(1)
            terms["mined"] = _mean_where(-logits.log_softmax(2)[..., -1], mined, mined.sum()) / labels.shape[1]
        if self.frame_weight:
            terms["frame"] = self._frame_loss(logits, clicks, totals)
        if self.separation_weight:
            terms["separation"] = self._separation_loss(output, logits, background, batch) / clicked_videos
        if self.affinity_weight:
            terms["affinity"] = self._affinity_loss(output, background, batch) / clicked_videos
        if self.weight_supervision:
            terms["weight"] = self._weight_loss(output.foreground, clicks, background, totals.clicks)
        return weighted_total(terms, {
            "base": 1.0, "supp": 1.0, "norm": self.norm_weight, "mined": self.frame_weight, "frame": self.frame_weight,
            "separation": self.separation_weight, "affinity": self.affinity_weight, "weight": self.weight_supervision})

    def _classify(self, logits: Tensor, targets: Tensor, videos: int) -> Tensor:
        return class_loss(logits, targets, videos, self.class_loss, self.normalize_labels)

    def _frame_loss(self, logits: Tensor, clicks: Tensor, totals) -> Tensor:
        """Cross-entropy of the clicked snippets against what was clicked, paper Eq. 3."""
        clicked = clicks != NO_CLICK
        losses = F.cross_entropy(logits.transpose(1, 2), clicks, ignore_index=NO_CLICK, reduction="none")  # [B, T]
        if self.frame_mean == "positions":
            return losses.sum() / totals.clicks
        return (losses.sum(1) / clicked.sum(1).clamp_min(1)).sum() / totals.videos

    def _separation_loss(self, output: CASOutput, logits: Tensor, background: Tensor, batch: FeatureBatch) -> Tensor:
        """Sum over videos with background clicks of the mean over their classes of -log p_act, paper Eq. 5-8."""
        labels = batch.labels.to(logits.dtype)
        classes = labels.shape[1]
        if self.separation_ratio is None:
            action = single_precision(output.base_video_logits)[:, :classes]
        else:
            action = topk_mean(logits[..., :classes], _share(batch.lengths, self.separation_ratio), batch.lengths)
        shares = background.to(logits.dtype) / background.sum(1, keepdim=True).clamp_min(1)  # [B, T]
        clicked = (shares.unsqueeze(1) @ logits[..., :classes]).squeeze(1)  # [B, C]
        losses = (labels * F.softplus(clicked - action)).sum(1) / labels.sum(1).clamp_min(1)
        total = losses.where(background.any(1), 0).sum()
        return 2 * total if self.separation == "double" else total

    def _affinity_loss(self, output: CASOutput, background: Tensor, batch: FeatureBatch) -> Tensor:
        """Sum over videos with background clicks, paper Eq. 9-13."""
        if output.embedding is None:
            raise ValueError("BackTALLoss: affinity_weight must be 0 for a model without embedding, got "
                             f"{self.affinity_weight}")
        labels = batch.labels
        k = _share(batch.lengths, self.pool_ratio)
        top = topk_mask(output.cas_logits[..., : labels.shape[1]].detach(), k, batch.lengths)  # [B, T, C]
        action = (top * labels[:, None]).sum(2)  # [B, T] how many of the video's classes a snippet is an action of
        return affinity_loss(single_precision(output.embedding), action, background, self.tau_same, self.tau_diff,
                             single_pairs=self.affinity == "hardest_pairs")

    def _weight_loss(self, foreground: Tensor, clicks: Tensor, background: Tensor, count) -> Tensor:
        """Binary cross-entropy of the foreground weight: 0 at background, 1 at action clicks."""
        weight = single_precision(foreground)
        losses = -bounded_log(torch.where(background, 1 - weight, weight))
        return losses.where(clicks != NO_CLICK, 0).sum() / count

    def _mine(self, logits: Tensor, clicks: Tensor, batch: FeatureBatch) -> Tensor:
        """[B, T] bool: the unclicked snippets taken for background."""
        if batch.totals is not None:
            raise ValueError("BackTALLoss: mined_background must see the whole batch, got one process's share of it")
        inside = torch.arange(clicks.shape[1], device=clicks.device) < batch.lengths[:, None]
        clicked = (clicks != NO_CLICK).sum(1)
        count = torch.minimum((clicked * self.mined_background).long(), batch.lengths - clicked).sum()
        free = inside & (clicks == NO_CLICK)
        scores = logits[..., -1].detach().masked_fill(~free, -torch.inf)
        best = topk_mask(scores.reshape(1, -1, 1), count[None])  # all videos in one ranking
        return best.view_as(free) & free


def _share(lengths: Tensor, ratio: float) -> Tensor:
    """max(1, floor(length * ratio)), int64 [B]."""
    return (lengths.double() * ratio).long().clamp_min(1)


def _mean_where(values: Tensor, mask: Tensor, count: Tensor) -> Tensor:
    return values.where(mask, 0).sum() / count.clamp_min(1)


def affinity_loss(embedding: Tensor, action: Tensor, background: Tensor, tau_same: float, tau_diff: float,
                  single_pairs: bool) -> Tensor:
    """Sum over videos of how much their hardest pairs miss the two thresholds; 0 for a video without background.

    embedding [B, T, E] unit vectors; action [B, T] >= 0, how often a snippet counts as action; background [B, T] bool.
    Pairs of the same kind should have a cosine of at least tau_same, of different kinds at most tau_diff. Each snippet
    is paired with its hardest partner (itself included, which costs nothing). single_pairs False: mean over the
    snippets of a kind, action-background pairs from both sides; True: the worst pair of each of the three kinds.
    The choice of pairs is constant for the gradient.
    """
    is_action = action > 0
    farthest_action, nearest_action = _partners(embedding, is_action)
    farthest_background, nearest_background = _partners(embedding, background)
    asked = background.any(1, keepdim=True)
    actions = action.to(embedding.dtype) * asked
    backgrounds = background.to(embedding.dtype)
    paired_actions = is_action.any(1, keepdim=True)
    terms = [
        ((tau_same - _cosine(embedding, farthest_background)).relu(), backgrounds),
        ((tau_same - _cosine(embedding, farthest_action)).relu(), actions),
        ((_cosine(embedding, nearest_background) - tau_diff).relu(), actions),
    ]
    if single_pairs:
        return sum((miss * (weight > 0)).max(1).values.sum() for miss, weight in terms)
    terms.append(((_cosine(embedding, nearest_action) - tau_diff).relu(), backgrounds * paired_actions))
    return sum(((miss * weight).sum(1) / weight.sum(1).clamp_min(1)).sum() for miss, weight in terms)


@torch.no_grad()
def _partners(embedding: Tensor, members: Tensor) -> tuple[Tensor, Tensor]:
    """For every snippet the member with the smallest and with the largest cosine, int64 [B, T] each."""
    outside = (~members).to(embedding.dtype).unsqueeze(2) * _BEYOND  # [B, T, 1]
    one = torch.ones_like(outside)  # one channel more adds `outside` within the product, and exactly 0 for members
    every = torch.cat([embedding, one], 2)
    farthest = (every @ torch.cat([embedding, outside], 2).transpose(1, 2)).min(2).indices  # [B, T, T] -> [B, T]
    nearest = (every @ torch.cat([embedding, -outside], 2).transpose(1, 2)).max(2).indices
    return farthest, nearest


def _cosine(embedding: Tensor, partner: Tensor) -> Tensor:
    """[B, T] cosine of each snippet with its partner."""
    index = partner.unsqueeze(2).expand_as(embedding)
    return (embedding * embedding.gather(1, index)).sum(2)


LOSS = BackTALLoss
