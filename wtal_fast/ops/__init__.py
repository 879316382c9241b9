"""The fast ops. Each is one file: public function, validation, schema, reference, fake kernel, gradient."""

from wtal_fast.ops import _library
from wtal_fast.ops._library import use_backend
from wtal_fast.ops.affinity_conv1d import affinity_conv1d
from wtal_fast.ops.average_precision import average_precision
from wtal_fast.ops.leaky_dropout import leaky_dropout
from wtal_fast.ops.local_affinity import local_affinity
from wtal_fast.ops.padded import (
    propose_padded,
    propose_resampled_padded,
    soft_temporal_nms_padded,
    temporal_nms_padded,
)
from wtal_fast.ops.propose import propose
from wtal_fast.ops.propose_resampled import propose_resampled
from wtal_fast.ops.soft_temporal_nms import soft_temporal_nms
from wtal_fast.ops.temporal_iou import temporal_iou
from wtal_fast.ops.temporal_nms import temporal_nms
from wtal_fast.ops.topk_mask import topk_mask
from wtal_fast.ops.topk_mean import topk_mean
from wtal_fast.ops.topk_select_mean import topk_select_mean
from wtal_fast.ops.two_branch_conv1d import two_branch_conv1d

__all__ = [
    "affinity_conv1d",
    "average_precision",
    "leaky_dropout",
    "local_affinity",
    "propose",
    "propose_padded",
    "propose_resampled",
    "propose_resampled_padded",
    "soft_temporal_nms",
    "soft_temporal_nms_padded",
    "temporal_iou",
    "temporal_nms",
    "temporal_nms_padded",
    "topk_mask",
    "topk_mean",
    "topk_select_mean",
    "two_branch_conv1d",
    "use_backend",
]

_library.activate_from_environment()
