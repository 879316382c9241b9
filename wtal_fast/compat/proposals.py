"""The NMS of the released BaS-Net, UM and BackTAL, on lists of proposals."""

from __future__ import annotations

import numpy as np

from wtal_fast.evaluation import _door

_OFFSET = 1.0  # seconds: the released codes measure lengths like pixels, end - start + 1


def nms(proposals, thresh: float) -> list[list[float]]:
    """The proposals that stay, best score first, each as a list.

    proposals: rows [class, score, start, end, ...]; all rows are of one group. A row is removed where its overlap with
    a better one that stays is >= `thresh`, one second being added to every length. Equal scores go in the order that
    this machine's NumPy gives them, as in the released code. No proposals give an empty list.
    """
    rows = np.asarray(proposals, dtype=np.float64)
    if rows.size == 0:
        return []
    if rows.ndim != 2 or rows.shape[1] < 4:
        raise ValueError(f"nms: proposals must be rows [class, score, start, end], got shape {list(rows.shape)}")
    rows = rows[rows[:, 1].argsort()[::-1]]
    kept = _door.temporal_nms(rows[:, 2:4], rows[:, 1], np.zeros(len(rows), dtype=np.int64), float(thresh), _OFFSET)
    return rows[kept].tolist()
