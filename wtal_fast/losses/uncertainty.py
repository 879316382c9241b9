"""Loss of UM: classification, feature magnitude and background entropy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
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
)
from wtal_fast.ops.topk_select_mean import topk_select_mean
from wtal_fast.structures import CASOutput, FeatureBatch


@dataclass(frozen=True)
class UncertaintyLoss:
    """Terms `cls`, `um` and `be` (UM paper Eq. 6, 7, 8). A weight of 0 leaves its term out (paper Table 3).

    class_loss, normalize_labels: "bce" is the released code, "ce" the paper; both divide labels by their sum.
    background_entropy: "mean_logits_bce" (released code) is the binary cross-entropy of the softmax of the mean logits
    of the background snippets with 1 / C; "mean_softmax_ce" (paper) is -log of the mean of their softmaxes.
    magnitude: m, the norm action features are pushed to. action_divisor, background_divisor: T // these are the numbers
    of pseudo action and background snippets. um_weight, be_weight: alpha, beta. Both sources agree on these defaults.
    """

    class_loss: ClassLoss = "bce"
    normalize_labels: bool = True
    background_entropy: Literal["mean_logits_bce", "mean_softmax_ce"] = "mean_logits_bce"
    magnitude: float = 100.0
    action_divisor: int = 9
    background_divisor: int = 4
    um_weight: float = 5e-4
    be_weight: float = 1.0

    def __post_init__(self):
        check_choice("UncertaintyLoss", "class_loss", self.class_loss, ("bce", "ce"))
        check_choice("UncertaintyLoss", "background_entropy", self.background_entropy,
                     ("mean_logits_bce", "mean_softmax_ce"))

    def __call__(self, output: CASOutput, batch: FeatureBatch) -> dict[str, Tensor]:
        """{"cls", "um", "be" unweighted, "total" weighted}, scalars."""
        labels, videos = required_labels(batch), batch_totals(batch).videos
        terms = {"cls": class_loss(output.video_logits, labels, videos, self.class_loss, self.normalize_labels)}
        if self.um_weight or self.be_weight:
            action_keys, background_keys = _selection_keys(output, batch.lengths)
            background_k = _snippets(batch.lengths, self.background_divisor)
        if self.um_weight:
            features = single_precision(output.features)
            action_k = _snippets(batch.lengths, self.action_divisor)
            action = topk_select_mean(features, action_keys, action_k, batch.lengths)  # [B, H]
            background = topk_select_mean(features, background_keys, background_k, batch.lengths)  # [B, H]
            terms["um"] = self._magnitude_loss(action, background) / videos
        if self.be_weight:
            logits = single_precision(output.cas_logits)
            terms["be"] = self._entropy_loss(logits, background_keys, background_k, batch.lengths) / videos
        return weighted_total(terms, {"cls": 1.0, "um": self.um_weight, "be": self.be_weight})

    def _magnitude_loss(self, action: Tensor, background: Tensor) -> Tensor:
        """Sum over videos of (max(0, m - |f_act|) + |f_bkg|)^2, paper Eq. 7."""
        missing = (self.magnitude - torch.linalg.vector_norm(action, dim=1)).relu()
        return (missing + torch.linalg.vector_norm(background, dim=1)).square().sum()

    def _entropy_loss(self, logits: Tensor, keys: Tensor, k: Tensor, lengths: Tensor) -> Tensor:
        """Sum over videos of the mean over classes; least where background snippets score all classes alike."""
        uniform = 1 / logits.shape[2]
        if self.background_entropy == "mean_softmax_ce":
            return -bounded_log(topk_select_mean(logits.softmax(2), keys, k, lengths)).mean(1).sum()
        probability = topk_select_mean(logits, keys, k, lengths).softmax(1)  # [B, C]
        terms = uniform * bounded_log(probability) + (1 - uniform) * bounded_log(1 - probability)
        return -terms.mean(1).sum()


def _snippets(lengths: Tensor, divisor: int) -> Tensor:
    return torch.div(lengths, divisor, rounding_mode="floor").clamp_min(1)


def _selection_keys(output: CASOutput, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Keys [B, T] whose largest are the action and the background snippets: magnitude, and maximum - magnitude.

    Both are scaled by the selection mask, so that a dropped snippet is the last candidate of either set.
    """
    magnitude = single_precision(output.magnitude.detach())
    inside = torch.arange(magnitude.shape[1], device=magnitude.device) < lengths[:, None]
    largest = magnitude.masked_fill(~inside, 0).amax(1, keepdim=True)
    mask = 1 if output.selection_mask is None else output.selection_mask
    return magnitude * mask, (largest - magnitude) * mask


LOSS = UncertaintyLoss
