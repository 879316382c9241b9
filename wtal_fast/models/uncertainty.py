"""UM: background as out-of-distribution snippets, told by the magnitude of their features.

Lee, Wang, Lu, Byun: Weakly-supervised Temporal Action Localization by Uncertainty Modeling, AAAI 2021.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from wtal_fast.models.layers import (
    OutputConv,
    ShardedDropout,
    TemporalConv,
    check_input,
    divided_snippets,
    magnitudes,
    padding_mask,
    widths,
    zero_padding,
)
from wtal_fast.ops.topk_mean import topk_mean
from wtal_fast.structures import CASOutput


class CASModule(nn.Module):
    """Embedded features and class activations."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_classes: int, dropout: float):
        super().__init__()
        self.conv = nn.Sequential(TemporalConv(feature_dim, hidden_dim, 3), nn.ReLU(inplace=True))
        self.classifier = nn.Sequential(OutputConv(hidden_dim, num_classes, 1, bias=False))
        self.dropout = ShardedDropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        features = zero_padding(self.conv(x), padding)  # [B, T, H]
        return features, self.classifier(self.dropout(features))  # no bias: padding stays zero


class UncertaintyModel(nn.Module):
    """forward(features [B, T, D], lengths [B] or None) -> CASOutput with features [B, T, H] and magnitude [B, T].

    feature_dim: D. hidden_dim, dropout, pool_divisor (k = T // 9): the released code's values.
    selection_dropout: share of snippets that training leaves out of the selection of pseudo action and background
    snippets, 0.7 in the released code, 0 in the paper. The mask is CASOutput.selection_mask, None in eval mode.
    """

    has_background = False
    input_layers = ("cas_module.conv.0",)

    def __init__(self, feature_dim: int = 2048, hidden_dim: int = 2048, num_classes: int = 20, dropout: float = 0.7,
                 pool_divisor: int = 9, selection_dropout: float = 0.7):
        super().__init__()
        self.feature_dim, self.num_classes, self.pool_divisor = feature_dim, num_classes, pool_divisor
        self.cas_module = CASModule(feature_dim, hidden_dim, num_classes, dropout)
        self.selection_dropout = ShardedDropout(selection_dropout)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> CASOutput:
        check_input("UncertaintyModel", features, lengths, self.feature_dim)
        num_snippets = features.shape[1]
        padding = padding_mask(lengths, num_snippets)
        embedded, cas = self.cas_module(zero_padding(features, padding), padding)
        magnitude = magnitudes(embedded)  # [B, T]
        mask = None
        if self.training and self.selection_dropout.p > 0:
            mask = self.selection_dropout(torch.ones_like(magnitude))
        video_logits = topk_mean(cas, divided_snippets(lengths, num_snippets, self.pool_divisor), lengths)
        return CASOutput(cas, video_logits, magnitude=magnitude, features=embedded, selection_mask=mask)

    @classmethod
    def widths_of(cls, shapes: dict[str, tuple[int, ...]]) -> dict | None:
        """Constructor arguments of a state_dict with these shapes; None where it is not this method's."""
        conv, classifier = "cas_module.conv.0.weight", "cas_module.classifier.0.weight"
        return widths(shapes, {conv, "cas_module.conv.0.bias", classifier}, {
            "feature_dim": (conv, 1), "hidden_dim": (conv, 0), "num_classes": (classifier, 0)})


MODEL = UncertaintyModel
