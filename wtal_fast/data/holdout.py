"""Choosing the videos that are held out."""

from __future__ import annotations

import numpy as np


def stratified_choice(labels: np.ndarray, fraction: float, random: np.random.Generator) -> np.ndarray:
    """Mask [V] of held-out videos. Classes are served from the rarest on; a video is never held out if that would leave
    one of its classes without a training video."""
    order = random.permutation(len(labels))
    held = np.zeros(len(labels), dtype=bool)
    remaining = labels.sum(0)
    wanted_videos = min(max(1, round(len(labels) * fraction)), len(labels) - 1)

    def hold_out(candidates, count: int) -> None:
        for video in candidates:
            if count <= 0:
                return
            if not held[video] and (remaining[labels[video] > 0] > 1).all():
                held[video] = True
                remaining[labels[video] > 0] -= 1
                count -= 1

    for number in np.argsort(remaining, kind="stable"):
        members = order[labels[order, number] > 0]
        target = max(1, round(len(members) * fraction)) if len(members) > 1 else 0
        hold_out(members, target - held[members].sum())
    hold_out(order, wanted_videos - held.sum())
    return held
