"""BackTAL's layer: its AttentionConv1d, without the unfolded features and the tiled similarity."""

from __future__ import annotations

from torch import Tensor, nn

from wtal_fast.ops.affinity_conv1d import affinity_conv1d
from wtal_fast.ops.local_affinity import check_kernel_size, local_affinity


class AttentionConv1d(nn.Module):
    """AttentionConv1d of BackTAL's released code (lib/models/network.py): same arguments, results and gradients.

    The layer has no parameters: the weight comes with each call, so checkpoints keep their names. Unlike the original
    it takes any odd kernel_size (paper Table 9).
    """

    def __init__(self, kernel_size: int, out_channels: int):
        super().__init__()
        check_kernel_size("AttentionConv1d", kernel_size)
        self.kernel_size = kernel_size
        self.out_channels = out_channels

    def forward(self, feature: Tensor, embedding: Tensor, weight: Tensor) -> Tensor:
        """feature [B, Cin, T], embedding [B, E, T], weight [out_channels, Cin, kernel_size] -> [B, out_channels, T].

        A neighbour's channels are scaled by the cosine of the two embeddings as the released code does it, see
        layout="official" of wtal_fast.ops.affinity_conv1d. Raises ValueError or TypeError for wrong shapes or dtypes.
        """
        expected = (self.out_channels, feature.shape[1], self.kernel_size)
        if tuple(weight.shape) != expected:
            raise ValueError(f"AttentionConv1d: weight must be [out_channels, Cin, kernel_size] = {list(expected)}, "
                             f"got {list(weight.shape)}")
        affinity = local_affinity(embedding.transpose(1, 2), self.kernel_size)  # [B, E, T] -> [B, T, h]
        out = affinity_conv1d(feature.transpose(1, 2), affinity, weight, layout="official")  # [B, T, Cout]
        return out.transpose(1, 2)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, out_channels={self.out_channels}"
