"""Labels, clicks and numbers of videos given in memory, in whatever form is handy, checked and put in order."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from wtal_fast.data.clicks import BACKGROUND_TAG, Clicks, clicks_of_rows
from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError, nearest_name


def multi_hot_labels(labels, ids: tuple[str, ...], class_names) -> tuple[Tensor | None, tuple[str, ...]]:
    """(multi-hot [V, C] float32, class names); (None, class names) without labels.

    labels: [V, C] zeros and ones, or the class names of each video. class_names: the order to number classes in, by
    default sorted.
    """
    if labels is None:
        if class_names is None:
            raise InputError("labels", expected="labels, annotations or class_names", found="none of them")
        return None, tuple(class_names)
    rows = _by_video("labels", labels, ids)
    if all(isinstance(row, str) or len(row) == 0 or isinstance(row[0], str) for row in rows):
        named = [[row] if isinstance(row, str) else list(row) for row in rows]
        names = tuple(class_names) if class_names is not None else tuple(sorted(set().union(*named)))
        multi_hot = torch.zeros(len(ids), len(names))
        for video, row in zip(range(len(ids)), named, strict=True):
            for name in row:
                multi_hot[video, _number_of(name, names, f"labels of video '{ids[video]}'")] = 1
        return multi_hot, names
    try:
        multi_hot = torch.tensor(np.stack([np.asarray(row) for row in rows]), dtype=torch.float32)
    except (ValueError, TypeError) as error:
        raise InputError("labels", expected="[V, C] numbers or class names", found=str(error)) from None
    if multi_hot.ndim != 2 or not ((multi_hot == 0) | (multi_hot == 1)).all():
        raise InputError("labels", expected="[V, C] zeros and ones", found=f"shape {list(multi_hot.shape)}")
    names = tuple(class_names) if class_names is not None else tuple(f"class_{i}" for i in range(multi_hot.shape[1]))
    if len(names) != multi_hot.shape[1]:
        raise InputError("labels", expected=f"{len(names)} columns, one for each class", found=str(multi_hot.shape[1]))
    return multi_hot, names


def listed_clicks(clicks, names: tuple[str, ...], ids: tuple[str, ...], durations: Tensor) -> Clicks:
    """Clicks given as (seconds, class name or "background") pairs of each video."""
    problems, found = ProblemList("clicks"), []
    for video, row in enumerate(_by_video("clicks", clicks, ids, default=())):
        if any(not isinstance(click, (tuple, list)) or len(click) != 2 for click in row):
            raise InputError(f"clicks of video '{ids[video]}'", expected="(seconds, class name) pairs",
                             found=repr(row)[:80])
        for seconds, name in row:
            number = _number_of(name, (*names, BACKGROUND_TAG), f"clicks of video '{ids[video]}'")
            if not 0 <= seconds <= durations[video]:
                problems.add(f"video '{ids[video]}'", expected=f"a time within 0..{float(durations[video]):g} s",
                             found=f"{seconds} s")
            found.append((seconds, number, video))
    problems.raise_any()
    return clicks_of_rows(found, names, ids)


def _by_video(what: str, values, ids: tuple[str, ...], default=None) -> list:
    """`values` in the order of ids, whether given as a list or by id."""
    if not isinstance(values, Mapping):
        rows = list(values)
    elif default is None and (absent := [video for video in ids if video not in values]):
        raise InputError(what, f"video '{absent[0]}'", expected="an entry for every video", found="none")
    else:
        rows = [values.get(video, default) for video in ids]
    if len(rows) != len(ids):
        raise InputError(what, expected=f"{len(ids)} entries, one for each video", found=str(len(rows)))
    return rows


def per_video(what: str, values, ids: tuple[str, ...]) -> Tensor:
    """Positive numbers, one a video, given in order or by id: [V] float64."""
    rows = torch.as_tensor(_by_video(what, values, ids), dtype=torch.float64)
    if rows.shape != (len(ids),) or not (rows > 0).all() or not rows.isfinite().all():
        raise InputError(what, expected="a positive number for each video", found=str(rows.tolist())[:80])
    return rows


def _number_of(name: str, names: tuple[str, ...], where: str) -> int:
    if name not in names:
        raise InputError(where, expected="a class name", found=f"'{name}'", fix=nearest_name(str(name), names))
    return names.index(name)
