"""CASOutput -> Detections: class selection, normalisation, upsampling, proposals, NMS."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from wtal_fast.config import LocalizationConfig
from wtal_fast.localization.cas import foreground_gate, minmax, sample_counts, valid_snippets
from wtal_fast.localization.proposals import Rows, Segments, proposals
from wtal_fast.localization.scoring import class_probabilities, kept_classes
from wtal_fast.ops.soft_temporal_nms import soft_temporal_nms
from wtal_fast.ops.temporal_nms import rank, temporal_nms
from wtal_fast.structures import CASOutput, Detections, FeatureBatch

SOFT_NMS_FLOOR = 1e-3  # soft NMS of the other repositories stops here


@torch.no_grad()
def localize(output: CASOutput, batch: FeatureBatch, config: LocalizationConfig,
             class_names: Sequence[str]) -> Detections:
    """The detections of the videos of a batch.

    output.cas_logits and output.video_logits have C = len(class_names) columns, or C+1 with background last, which is
    never localized. batch.durations [B] gives the seconds each row's valid snippets cover; batch.frame_counts is read
    where config.upsample is "half_pixel". output.magnitude is read where config has a gate or magnitude thresholds.
    Returns segments in seconds inside 0..duration by video, class, falling score (equal scores: proposal order; see
    wtal_fast.localization.proposals). A video without a kept class or without a proposal has no detections.
    Raises ValueError where the batch lacks what the settings need, or the model's output is not finite.
    """
    num_classes = len(class_names)
    video_ids = batch.video_ids or tuple(str(index) for index in range(len(batch.lengths)))
    rows = _rows(output, batch, config, num_classes)
    if len(rows) == 0:
        kept = Segments(rows.durations.new_zeros((0, 2)), rows.durations, rows.video)
    else:
        kept = _suppress(proposals(rows, config), config)
    return Detections(
        segments=kept.seconds.cpu().numpy(), scores=kept.score.cpu().numpy(),
        classes=rows.label[kept.row].cpu().numpy().astype(np.int64),
        video_index=rows.video[kept.row].cpu().numpy().astype(np.int64),
        class_names=tuple(class_names), video_ids=tuple(video_ids))


def _rows(output: CASOutput, batch: FeatureBatch, config: LocalizationConfig, num_classes: int) -> Rows:
    """The (video, class) pairs that are kept, with all that proposals read of them."""
    _check(output, batch, config, num_classes)
    lengths, cas = batch.lengths, _at_least_float32(output.cas_logits)[..., :num_classes]
    probabilities = class_probabilities(_at_least_float32(output.video_logits), num_classes)
    video, label = kept_classes(probabilities, config).nonzero(as_tuple=True)
    if config.cas == "softmax":
        cas = cas.softmax(dim=-1)
    sequences = cas[video, :, label]  # [B, T, C] -> [R, T]
    gate = magnitude = None
    if output.magnitude is not None:
        magnitude = _at_least_float32(output.magnitude)
    if config.gate != "none":
        gate = foreground_gate(magnitude, lengths, config)
        sequences = sequences * gate[video]
    if config.normalize != "none":
        sequences = minmax(sequences, lengths[video], clip=config.normalize == "relu_clip")
    steering = None
    if config.magnitude_thresholds:
        steering = gate if config.magnitude_source == "gate" else minmax(magnitude, lengths, clip=True)
        steering = steering[video]  # [B, T] -> [R, T]
    scores = probabilities[video, label]
    return Rows(video=video, label=label, lengths=lengths[video],
                counts=sample_counts(lengths, batch.frame_counts, config)[video], cas=sequences, steering=steering,
                class_scores=scores if config.class_term == "score" else torch.ones_like(scores),
                durations=batch.durations.double()[video])


def _at_least_float32(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _check(output: CASOutput, batch: FeatureBatch, config: LocalizationConfig, num_classes: int) -> None:
    if output.cas_logits.shape[-1] not in (num_classes, num_classes + 1):
        raise ValueError(f"localize: cas_logits must be [B, T, {num_classes}] or [B, T, {num_classes + 1}] for "
                         f"{num_classes} classes, got {list(output.cas_logits.shape)}")
    if batch.durations is None:
        raise ValueError("localize: batch.durations must give the seconds of each video, got None")
    if output.magnitude is None and (config.gate != "none" or config.magnitude_thresholds):
        raise ValueError("localize: a gate and magnitude thresholds need output.magnitude, got None")
    if config.magnitude_thresholds and config.magnitude_source == "gate" and config.gate == "none":
        raise ValueError("localize: magnitude_source='gate' needs a gate, got gate='none'")
    if bool((batch.lengths < 1).any()):
        raise ValueError(f"localize: every video needs at least one snippet, got lengths {batch.lengths.tolist()}")
    for name in ("cas_logits", "video_logits", "magnitude"):
        tensor = getattr(output, name)
        if tensor is not None and not _is_finite(tensor, None if name == "video_logits" else batch.lengths):
            raise ValueError(f"localize: output.{name} must be finite, got NaN or infinite values")


def _is_finite(tensor: Tensor, lengths: Tensor | None) -> bool:
    """Whether tensor [B, ...] is finite; of tensor [B, T, ...] the first `lengths` [B] of each video count."""
    if not tensor.numel():
        return True
    if lengths is not None and bool((lengths < tensor.shape[1]).any()):
        valid = valid_snippets(lengths, tensor.shape[1])
        tensor = tensor.masked_fill(~valid.reshape(valid.shape + (1,) * (tensor.ndim - 2)), 0.0)
    return all(math.isfinite(bound) for bound in tensor.aminmax())  # one pass; NaN is handed on


def _suppress(found: Segments, config: LocalizationConfig) -> Segments:
    """The proposals left after NMS within each row, and after config.min_score."""
    groups, scores = found.row, found.score
    if config.nms == "none":
        index = rank(scores, groups)
    elif config.nms == "hard":
        index = temporal_nms(found.seconds, scores, config.nms_threshold, groups, config.nms_offset)
    else:
        index, scores = _soft(found, groups, config)
        return Segments(found.seconds[index], scores, found.row[index])
    if config.min_score is not None:
        index = index[scores[index] >= config.min_score]
    return Segments(found.seconds[index], scores[index], found.row[index])


def _soft(found: Segments, groups: Tensor, config: LocalizationConfig) -> tuple[Tensor, Tensor]:
    floor = max(config.min_score or 0.0, SOFT_NMS_FLOOR)
    return soft_temporal_nms(found.seconds, found.score, config.nms_threshold, groups, config.nms_offset,
                             method=config.nms.removeprefix("soft_"), sigma=config.soft_nms_sigma, min_score=floor)
