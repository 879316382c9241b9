"""Every op on the device, its data in the cache and not, beside its baselines and the time its bytes take to move."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from bench.gpu.cases import calls
from bench.gpu.part import main, median_seconds

LAUNCH = 5e-6  # seconds: no kernel is asked to be faster


def measure(device: str, size: str) -> Iterator[dict]:
    """Copy rate of the device and one row a call; a call that fails has its error in the row."""
    rate, rows = copy_rate(device, size), []
    found = {"copy_bytes_per_second": rate, "rows": rows}
    for op, of_op in calls(device, size):
        try:
            for call in of_op():
                rows.append(_row(op, call, device, rate))
                yield found
        except Exception as error:  # one op that fails must not hide the others
            rows.append({"op": op, "error": f"{type(error).__name__}: {str(error)[:500]}"})
        if device == "cuda":
            torch.cuda.empty_cache()
        yield found


def copy_rate(device: str, size: str) -> float:
    """Bytes read and written a second by a large copy."""
    source = torch.randn(2**18 if size == "tiny" else 2**28, device=device)
    target = torch.empty_like(source)
    return 8 * source.numel() / median_seconds(lambda: target.copy_(source), device, 10)


def _row(op: str, call, device: str, rate: float) -> dict:
    warm, cold = (median_seconds(call.ours, device, cold=cold) for cold in (False, True))
    row = {"op": op, "call": call.name, "seconds_warm": warm, "seconds_cold": cold}
    if call.num_bytes:
        floor = max(LAUNCH, call.num_bytes / rate)
        row |= {"floor_seconds": floor, "of_floor": floor / cold}
    for name, baseline in call.baselines.items():
        try:
            row.setdefault("baselines", {})[name] = median_seconds(baseline, device)
        except Exception as error:
            row.setdefault("baselines", {})[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return row


if __name__ == "__main__":
    main(measure, __doc__)
