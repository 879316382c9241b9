"""What the released code takes: seconds on two cores with AVX-512 and AMX, torch 2.13 for CPUs, THUMOS'14 shapes.

A restated baseline that is slower than its row by more than ALLOWANCE, with as many threads, would flatter ours: it is
called invalid and gives no ratio.
"""

from __future__ import annotations

ALLOWANCE = 1.3
THREADS = 2

SECONDS = {
    "BaS-Net training step": 18.1,
    "UM training step": 4.1,
    "BackTAL training step": 35.8,
    "AttentionConv1d forward": 1.63,
    "conv1d forward": 1.11,
    "sampling of one batch": 0.47,
    "BaS-Net post-processing, 210 videos": 4.0,
    "UM post-processing, 210 videos": 0.068 * 210,
    "BackTAL post-processing, 210 videos": 0.043 * 210,
    "mAP of 16,763 detections, 20 processes": 11.5,
    "mAP in pandas, 42.6k detections": 31.6,
    "mAP in NumPy loops, 42.6k detections": 0.63,
    "topk and mean, (16, 750, 21)": 1.1e-3,
    "sort and slice, (16, 750, 21)": 5.4e-3,
    "topk and mean, (16, 10000, 21)": 14.5e-3,
    "sort and slice, (16, 10000, 21)": 108e-3,
    "NMS of ActionFormer in C++, n=2000": 1.41e-3,
    "NMS of BackTAL in NumPy, n=2000": 4.2e-3,
}


def verdict(name: str, seconds: float, threads: int) -> dict[str, object]:
    """{"released_seconds", "of_released", "valid"} of a baseline that took `seconds`; valid is None where the number of
    threads differs."""
    expected = SECONDS[name]
    valid = seconds <= ALLOWANCE * expected if threads == THREADS else None
    return {"released_seconds": expected, "of_released": seconds / expected, "valid": valid}
