"""Class scores of a video and which classes are localized in it."""

from __future__ import annotations

import torch
from torch import Tensor

from wtal_fast.config import LocalizationConfig


def class_probabilities(video_logits: Tensor, num_classes: int) -> Tensor:
    """Softmax of video_logits [B, C] or [B, C+1] (background last, in the softmax but left out): [B, C] float64."""
    width = video_logits.shape[1]
    if width not in (num_classes, num_classes + 1):
        raise ValueError(f"localize: video_logits must be [B, {num_classes}] or [B, {num_classes + 1}] for "
                         f"{num_classes} classes, got {list(video_logits.shape)}")
    return video_logits.softmax(dim=1)[:, :num_classes].double()


def kept_classes(probabilities: Tensor, config: LocalizationConfig) -> Tensor:
    """Which classes [B, C] bool are localized: probability >= config.class_threshold.

    Where none is: the most probable one (lowest index of equals) with class_fallback "argmax", else none. With
    skip_index0_only a video whose only class has index 0 gets none, as in the released BaS-Net code.
    """
    kept = probabilities >= config.class_threshold
    if config.class_fallback == "argmax":
        best = torch.nn.functional.one_hot(probabilities.argmax(dim=1), probabilities.shape[1]).bool()
        kept = torch.where(kept.any(dim=1, keepdim=True), kept, best)
    if config.skip_index0_only:
        kept = kept & kept[:, 1:].any(dim=1, keepdim=True)
    return kept
