"""BaS-Net: two branches with shared weights, one of them fed with suppressed background.

Lee, Uh, Byun: Background Suppression Network for Weakly-supervised Temporal Action Localization, AAAI 2020.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from wtal_fast.models.layers import (
    LEAKY_SLOPE,
    FilterModule,
    OutputConv,
    ShardedDropout,
    TemporalConv,
    activate_branches,
    check_input,
    divided_snippets,
    leaky_relu,
    padding_mask,
    widths,
    zero_padding,
)
from wtal_fast.ops.topk_mean import topk_mean
from wtal_fast.ops.two_branch_conv1d import two_branch_conv1d
from wtal_fast.structures import CASOutput

_FILTER = [f"filter_module.conv_{layer}.0.{kind}" for layer in (1, 2) for kind in ("weight", "bias")]
_CAS = [f"cas_module.conv_{layer}.0.{kind}" for layer in (1, 2) for kind in ("weight", "bias")]


class CASModule(nn.Module):
    """Snippet features to class activations: two convolutions over time and a classifier."""

    def __init__(self, feature_dim: int, hidden_dim: int, num_outputs: int, dropout: float):
        super().__init__()
        self.conv_1 = nn.Sequential(TemporalConv(feature_dim, hidden_dim, 3), leaky_relu())
        self.conv_2 = nn.Sequential(TemporalConv(hidden_dim, hidden_dim, 3), leaky_relu())
        self.conv_3 = nn.Sequential(OutputConv(hidden_dim, num_outputs, 1, bias=False))
        self.dropout = ShardedDropout(dropout)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        hidden = self.conv_2(zero_padding(self.conv_1(x), padding))
        return zero_padding(self.conv_3(self.dropout(hidden)), padding)

    def both_branches(self, x: Tensor, foreground: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        """forward(x) and forward(foreground * x) with shared products; the dropout of the first is drawn first."""
        conv = self.conv_1[0]
        first = two_branch_conv1d(x, foreground, conv.weight, conv.bias, slope=LEAKY_SLOPE)  # [2, B, T, H]
        hidden = self.conv_2[0](zero_padding(first, padding).flatten(0, 1))  # [2, B, T, H] -> [2 B, T, H]
        cas = self.conv_3(activate_branches(hidden, self.dropout))  # [2 B, T, C+1]
        return zero_padding(cas.unflatten(0, (2, -1)), padding).unbind()


class BaSNet(nn.Module):
    """forward(features [B, T, D], lengths [B] or None) -> CASOutput.

    feature_dim: D. hidden_dim, filter_dim, dropout, pool_divisor (k = T // 8): the released code's values.
    branches, rows of the paper's Table 2: "both" is BaS-Net, "suppression" only its suppressed branch,
    "base_background" only the unsuppressed one, "base" that without a background class.
    cas_logits are the suppressed branch's where there is one. The unsuppressed branch beside it serves only the loss:
    base_* are None in eval mode.
    """

    def __init__(self, feature_dim: int = 2048, hidden_dim: int = 2048, num_classes: int = 20, filter_dim: int = 512,
                 dropout: float = 0.7, pool_divisor: int = 8,
                 branches: Literal["both", "base", "base_background", "suppression"] = "both"):
        super().__init__()
        self.feature_dim, self.num_classes = feature_dim, num_classes
        self.pool_divisor, self.branches = pool_divisor, branches
        self.has_background = branches != "base"
        if branches in ("both", "suppression"):
            self.filter_module = FilterModule(feature_dim, filter_dim)
        self.cas_module = CASModule(feature_dim, hidden_dim, num_classes + self.has_background, dropout)

    input_layers = ("filter_module.conv_1.0", "cas_module.conv_1.0")

    @property
    def branch_modules(self) -> tuple[str, ...]:
        return ("cas_module",) if self.branches == "both" else ()

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> CASOutput:
        check_input("BaSNet", features, lengths, self.feature_dim)
        num_snippets = features.shape[1]
        padding = padding_mask(lengths, num_snippets)
        k = divided_snippets(lengths, num_snippets, self.pool_divisor)
        x = zero_padding(features, padding)
        if self.branches in ("base", "base_background"):
            base = self.cas_module(x, padding)  # [B, T, C(+1)]
            return CASOutput(base, topk_mean(base, k, lengths))
        foreground = zero_padding(self.filter_module(x), padding)  # [B, T]
        if self.branches == "both" and self.training:
            base, cas = self.cas_module.both_branches(x, foreground, padding)  # [B, T, C+1] each
            base_video, video = topk_mean(base, k, lengths), topk_mean(cas, k, lengths)  # [B, C+1] each
            return CASOutput(cas, video, base, base_video, foreground)
        cas = self.cas_module(x * foreground.unsqueeze(-1), padding)
        return CASOutput(cas, topk_mean(cas, k, lengths), foreground=foreground)

    @classmethod
    def widths_of(cls, shapes: dict[str, tuple[int, ...]]) -> dict | None:
        """Constructor arguments of a state_dict with these shapes; None where it is not a whole BaS-Net's."""
        classifier = "cas_module.conv_3.0.weight"
        found = widths(shapes, {*_FILTER, *_CAS, classifier}, {
            "feature_dim": (_CAS[0], 1), "hidden_dim": (_CAS[0], 0), "filter_dim": (_FILTER[0], 0),
            "num_classes": (classifier, 0)})
        return found and {**found, "num_classes": found["num_classes"] - 1}


MODEL = BaSNet
