"""BackTAL: BaS-Net's two branches with convolutions that attend to similar neighbours, learned with background clicks.

Yang, Han, Zhao, Lin, Zhang, Xu: Background-Click Supervision for Temporal Action Localization, TPAMI 2021.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wtal_fast.models.layers import (
    LEAKY_SLOPE,
    FilterModule,
    OutputConv,
    ShardedDropout,
    TemporalConv,
    activate_branches,
    check_input,
    magnitudes,
    padding_mask,
    pooled_snippets,
    widths,
    zero_padding,
)
from wtal_fast.ops.affinity_conv1d import affinity_conv1d
from wtal_fast.ops.local_affinity import local_affinity
from wtal_fast.ops.topk_mean import topk_mean
from wtal_fast.ops.two_branch_conv1d import two_branch_conv1d
from wtal_fast.structures import CASOutput

_FILTER = [f"filter_module.conv_{layer}.0.{kind}" for layer in (1, 2) for kind in ("weight", "bias")]
_EMBEDDING = [f"embedding_module.conv_{layer}.{kind}" for layer in (1, 2) for kind in ("weight", "bias")]
_CLASSIFIER = "classifier_module.conv.weight"


class EmbeddingModule(nn.Module):
    """Unit vectors that tell action from background: [B, T, D] -> [B, T, E], zero at padding."""

    def __init__(self, feature_dim: int, hidden_dim: int, embedding_dim: int):
        super().__init__()
        self.conv_1 = TemporalConv(feature_dim, hidden_dim, 3)
        self.conv_2 = OutputConv(hidden_dim, embedding_dim, 3)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        hidden = zero_padding(F.leaky_relu(self.conv_1(x), LEAKY_SLOPE, inplace=True), padding)
        return zero_padding(F.normalize(self.conv_2(hidden), dim=-1), padding)


class AffinityConv(TemporalConv):
    """Temporal convolution without bias, its taps weighted by the affinity [B, T, h] unless that is None."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, layout: str):
        super().__init__(in_channels, out_channels, kernel_size, bias=False)
        self.layout = layout

    def forward(self, x: Tensor, affinity: Tensor | None) -> Tensor:
        return affinity_conv1d(x, affinity, self.weight, layout=self.layout)


class BaseModule(nn.Module):
    """[B, T, D] -> hidden features of the first and of the second convolution, both [B, T, H]."""

    def __init__(self, feature_dim: int, hidden_dim: int, kernel_size: int, dropout: float, layout: str):
        super().__init__()
        self.conv_1 = AffinityConv(feature_dim, hidden_dim, kernel_size, layout)
        self.conv_2 = AffinityConv(hidden_dim, hidden_dim, kernel_size, layout)
        self.dropout = ShardedDropout(dropout)

    def forward(self, x: Tensor, affinity: Tensor | None, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        first = zero_padding(F.leaky_relu(self.conv_1(x, affinity), LEAKY_SLOPE, inplace=True), padding)
        return first, self.dropout(F.leaky_relu(self.conv_2(first, affinity), LEAKY_SLOPE, inplace=True))

    def both_branches(self, x: Tensor, foreground: Tensor, affinity: Tensor | None, padding: Tensor | None) -> Tensor:
        """forward(x)[1] and forward(foreground * x)[1] with shared products, as [2 B, T, H]; the dropout of the first
        is drawn first."""
        first = two_branch_conv1d(x, foreground, self.conv_1.weight, None, affinity, self.conv_1.layout, LEAKY_SLOPE)
        twice = None if affinity is None else torch.cat([affinity, affinity])  # [2 B, T, h]
        hidden = self.conv_2(zero_padding(first, padding).flatten(0, 1), twice)  # [2, B, T, H] -> [2 B, T, H]
        return activate_branches(hidden, self.dropout)


class ClassifierModule(nn.Module):
    """CAS logits of hidden features: a pointwise convolution without bias, zero in the padding."""

    def __init__(self, hidden_dim: int, num_outputs: int):
        super().__init__()
        self.conv = OutputConv(hidden_dim, num_outputs, 1, bias=False)

    def forward(self, x: Tensor, padding: Tensor | None) -> Tensor:
        return zero_padding(self.conv(x), padding)


class BackTAL(nn.Module):
    """forward(features [B, T, D], lengths [B] or None) -> CASOutput with background last.

    feature_dim: D. The other widths, dropout and pool_ratio (k = floor(T / 8)) are those of the released code for
    THUMOS'14. kernel_size: h, snippets a convolution sees and compares (paper Table 9: 3, 5, 7, 9).
    affinity: False gives the baseline with plain convolutions and no embedding (paper Table 7).
    layout: which affinity scales which weight, see ops.affinity_conv1d; released checkpoints need "official".
    cas_logits are the suppressed branch's. Training returns base_* (read by the loss); eval mode instead features, the
    first hidden features [B, T, H] of the suppressed branch, and magnitude, their norms [B, T].
    """

    has_background = True
    branch_modules = ("base_module", "classifier_module")
    input_layers = ("filter_module.conv_1.0", "embedding_module.conv_1", "base_module.conv_1")

    def __init__(self, feature_dim: int = 2048, hidden_dim: int = 2048, num_classes: int = 20, filter_dim: int = 512,
                 embedding_hidden_dim: int = 512, embedding_dim: int = 32, kernel_size: int = 3, affinity: bool = True,
                 layout: Literal["official", "paper"] = "official", dropout: float = 0.7, pool_ratio: float = 0.125):
        super().__init__()
        self.feature_dim, self.num_classes, self.kernel_size = feature_dim, num_classes, kernel_size
        self.pool_ratio = pool_ratio
        self.filter_module = FilterModule(feature_dim, filter_dim)
        self.base_module = BaseModule(feature_dim, hidden_dim, kernel_size, dropout, layout)
        self.classifier_module = ClassifierModule(hidden_dim, num_classes + 1)
        self.embedding_module = EmbeddingModule(feature_dim, embedding_hidden_dim, embedding_dim) if affinity else None

    @property
    def weighted_layers(self) -> tuple[str, ...]:
        return () if self.embedding_module is None else ("base_module.conv_1",)

    def forward(self, features: Tensor, lengths: Tensor | None = None) -> CASOutput:
        check_input("BackTAL", features, lengths, self.feature_dim)
        padding = padding_mask(lengths, features.shape[1])
        k = pooled_snippets(lengths, features.shape[1], self.pool_ratio)
        x = zero_padding(features, padding)
        foreground = zero_padding(self.filter_module(x), padding)  # [B, T]
        embedding = affinity = None
        if self.embedding_module is not None:
            embedding = self.embedding_module(x, padding)  # [B, T, E], of the unsuppressed features for both branches
            affinity = local_affinity(embedding, self.kernel_size)  # [B, T, h]
        if self.training:
            both = self.classifier_module.conv(self.base_module.both_branches(x, foreground, affinity, padding))
            base, cas = zero_padding(both.unflatten(0, (2, -1)), padding).unbind()  # [2 B, T, C+1] -> 2 of [B, T, C+1]
            base_video, video = topk_mean(base, k, lengths), topk_mean(cas, k, lengths)  # [B, C+1] each
            return CASOutput(cas, video, base, base_video, foreground, embedding)
        first, last = self.base_module(x * foreground.unsqueeze(-1), affinity, padding)
        cas = self.classifier_module(last, padding)  # [B, T, C+1]
        video = topk_mean(cas, k, lengths)
        magnitude = magnitudes(first)  # [B, T]
        return CASOutput(cas, video, foreground=foreground, embedding=embedding, magnitude=magnitude, features=first)

    @classmethod
    def widths_of(cls, shapes: dict[str, tuple[int, ...]]) -> dict | None:
        """Constructor arguments of a state_dict with these shapes; None where it is not this method's."""
        first = "base_module.conv_1.weight"
        names = {*_FILTER, first, "base_module.conv_2.weight", _CLASSIFIER}
        sources = {"feature_dim": (first, 1), "hidden_dim": (first, 0), "kernel_size": (first, 2),
                   "filter_dim": (_FILTER[0], 0), "num_classes": (_CLASSIFIER, 0)}
        embedding = {"embedding_hidden_dim": (_EMBEDDING[0], 0), "embedding_dim": (_EMBEDDING[2], 0)}
        affinity = _EMBEDDING[0] in shapes
        found = widths(shapes, names | set(_EMBEDDING if affinity else ()), sources | (embedding if affinity else {}))
        return found and {**found, "num_classes": found["num_classes"] - 1, "affinity": affinity}


MODEL = BackTAL
