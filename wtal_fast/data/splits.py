"""Lists of video ids in text files, and names of subsets."""

from __future__ import annotations

import os
from pathlib import Path

from wtal_fast.data.annotations import canonical_subset
from wtal_fast.errors import InputError

LONG_NAMES = {"train": "training", "val": "validation", "test": "testing"}
SUBSET_WORDS = {*LONG_NAMES, *LONG_NAMES.values()}


def read_ids(path: str | os.PathLike) -> list[str]:
    """Video ids of a text file such as split_train.txt or missing_files.txt, one a line; blank lines are skipped."""
    path = Path(path)
    try:
        lines = path.read_bytes().decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(path, f"byte {error.start}", expected="UTF-8 text", found=error.reason) from None
    except OSError as error:
        raise InputError(path, expected="a list of video ids", found=error.strerror or str(error),
                         fix="check the path") from None
    videos = [line.strip() for line in lines if line.strip()]
    if not videos:
        raise InputError(path, expected="one video id a line", found="no ids")
    return videos


def names_of_subset(subset: str, role: str | None) -> list[str]:
    """What a file or folder of `subset` may be called, in lower case, the likeliest first. role: "train", "test" or
    None, the name to try where nothing is named after the subset itself."""
    short = canonical_subset(subset)
    return list(dict.fromkeys(name for name in (subset.lower(), short, LONG_NAMES.get(short), role) if name))
