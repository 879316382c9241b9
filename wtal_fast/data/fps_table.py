"""Frame rates by video: LACP's and HR-Pro's fps_dict.json, {id: frames a second}."""

from __future__ import annotations

import math
import os
from pathlib import Path

from wtal_fast.data.problems import ProblemList
from wtal_fast.errors import InputError
from wtal_fast.files import read_json

FILE_NAME = "fps_dict.json"


def read_fps_table(path: str | os.PathLike) -> dict[str, float]:
    """{id: frames a second of the original video}. InputError lists every rate that is no number above 0."""
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(path, expected="an object {id: frames a second}", found=f"a {type(content).__name__}")
    problems, rates = ProblemList(path), {}
    for video, value in content.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1e6:
            problems.add(f"video {ascii(video)[:80]}", expected="frames a second, a number above 0",
                         found=ascii(value)[:40])
        else:
            rates[video] = float(value)
    problems.raise_any()
    return rates


def is_fps_table(content) -> bool:
    """Whether what a JSON file holds has this form."""
    return isinstance(content, dict) and bool(content) and all(
        isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
        for value in content.values())


def with_frame_rates(content: dict, root: Path) -> dict:
    """The ground truth `content` with "fps" of each video from the table in `root` or its annotations/, where one lies
    there. The table is kept by hand for this purpose: it goes before what the ground truth says."""
    path = next((folder / FILE_NAME for folder in (root, root / "annotations") if (folder / FILE_NAME).is_file()), None)
    if path is None or not isinstance(content.get("database"), dict):
        return content
    rates = read_fps_table(path)
    database = {video: entry | {"fps": rates[video]} if isinstance(entry, dict) and video in rates else entry
                for video, entry in content["database"].items()}
    return content | {"database": database}
