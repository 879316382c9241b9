"""Which video ids may name a file."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from wtal_fast.data.problems import ProblemList

MAX_ID_LENGTH = 200
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


def check_ids(video_ids: Sequence[str], source: str | os.PathLike) -> None:
    """Raises InputError for ids that appear twice or could leave a folder when used as a file name."""
    problems, seen = ProblemList(source), set()
    for video in video_ids:
        if not isinstance(video, str) or not _SAFE_ID.fullmatch(video) or len(video) > MAX_ID_LENGTH:
            problems.add(f"video {ascii(video)[:80]}", expected="an id of letters, digits, '_', '-', '.', not starting "
                         f"with '.', at most {MAX_ID_LENGTH} long", found="another", fix="rename the video")
        elif video in seen:
            problems.add(f"video '{video}'", expected="each id once", found="the id again", fix="remove one of the two")
        seen.add(video)
    problems.raise_any()
