"""What is known of the public data sets, whatever layout they come in: sizes, splits, frame rates, odd videos."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

AMBIGUOUS = "Ambiguous"  # THUMOS'14 annotates what may or may not be an action under this label


@dataclass(frozen=True)
class KnownDataset:
    """A public data set.

    roles: which subset names mean training and test, by the set of names a ground truth holds; the first one whose
    names all occur counts. videos, instances: (training, test) as the protocol counts them. excluded: test videos that
    protocols leave out. id_pattern: what every id looks like ("" where ids say nothing). fps: by video id; other videos
    have default_fps (None: each its own).
    """

    name: str
    title: str
    num_classes: int
    roles: tuple[tuple[str, str], ...]
    videos: tuple[int, int]
    instances: tuple[int | None, int | None]
    id_pattern: str = ""
    excluded: tuple[str, ...] = ()
    default_fps: float | None = None
    fps: dict[str, float] = field(default_factory=dict)

    def frame_rate(self, video: str) -> float | None:
        """Frames a second of the original video, where known."""
        return self.fps.get(video, self.default_fps)


def _thumos14_fps() -> dict[str, float]:
    """Frame rates of the videos that do not have 30, as LACP's table lists them for the 410 videos in use."""
    rates = {
        25.0: ((950, 1058, 1195, 1255, 1459), (311, 413, 419, 420, 484, 666)),
        24.0: ((1207,), (411,)),
        29.97: ((273, 379, 591, 716, 793, 1075, 1164, 1235, 1281, 1369, 1495),
                (209, 314, 363, 369, 902, 903, 947)),
    }
    return {f"video_{part}_{number:07d}": rate for rate, parts in rates.items()
            for part, numbers in zip(("test", "validation"), parts, strict=True) for number in numbers}


_YOUTUBE = r"(v_)?[A-Za-z0-9_-]{11}"
THUMOS14 = KnownDataset(
    "thumos14", "THUMOS'14", 20, (("train", "test"), ("val", "test"), ("train", "val")), (200, 210), (3007, 3311),
    r"video_(validation|test)_\d{7}", ("video_test_0000270", "video_test_0001292", "video_test_0001496"), 30.0,
    _thumos14_fps())
ACTIVITYNET12 = KnownDataset("activitynet12", "ActivityNet 1.2", 100, (("train", "val"), ("train", "test")),
                             (4819, 2383), (7151, 3582), _YOUTUBE)
ACTIVITYNET13 = KnownDataset("activitynet13", "ActivityNet 1.3", 200, (("train", "val"), ("train", "test")),
                             (10024, 4926), (None, 7654), _YOUTUBE)
HACS = KnownDataset("hacs", "HACS Segments", 200, (("train", "val"), ("train", "test")), (37613, 5981), (None, None),
                    _YOUTUBE)
BEOID = KnownDataset("beoid", "BEOID", 34, (("train", "val"), ("train", "test")), (46, 12), (594, 148),
                     r"\d\d_[A-Z][a-z]+\d", default_fps=30.0)
GTEA = KnownDataset("gtea", "GTEA", 7, (("train", "val"), ("train", "test")), (21, 7), (367, 130),
                    r"S\d_[A-Za-z0-9]+_C\d", default_fps=15.0)
KNOWN = (THUMOS14, ACTIVITYNET12, ACTIVITYNET13, HACS, BEOID, GTEA)
_FEWEST_OF_HACS = 25_000  # videos; ActivityNet 1.3 has at most 19,994 and the same 200 classes
_OWN_ROLES = (("train", "test"),)


def recognise_dataset(video_ids: Collection[str], num_classes: int) -> KnownDataset | None:
    """The public data set that ids of this form and this number of classes belong to, or None.

    THUMOS'14 is known by its ids alone (files with more than its 20 classes exist).
    """
    for known in KNOWN:
        if not video_ids or known is not THUMOS14 and known.num_classes != num_classes:
            continue
        if known.num_classes == 200 and (known is HACS) != (len(video_ids) > _FEWEST_OF_HACS):
            continue
        if all(re.fullmatch(known.id_pattern, video) for video in video_ids):
            return known
    return None


def subset_of_role(role: str, names: Iterable[str], dataset: KnownDataset | None) -> str | None:
    """The subset, of the canonical `names` a ground truth holds, that is the "train" or "test" part of `dataset`.

    "val" is the training part of THUMOS'14 beside "test", but its tested part beside "train" (OpenTAD), and the tested
    part of ActivityNet and the others. None where the names do not say it, as for own data with other names.
    """
    present = set(names)
    for train, test in _OWN_ROLES if dataset is None else dataset.roles:
        if {train, test} <= present:
            return train if role == "train" else test
    return None
