"""Ground truth of every kind of file: ActivityNet JSON in its dialects, tables, plain labels, W-TALC's arrays."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from wtal_fast.data.annotations import read_annotations
from wtal_fast.data.known_datasets import AMBIGUOUS
from wtal_fast.data.label_tables import labels_content, table_content
from wtal_fast.errors import InputError
from wtal_fast.files import read_json
from wtal_fast.structures import Annotations

TABLE_ENDINGS = (".csv", ".tsv", ".txt")


def ground_truth_content(path: str | os.PathLike) -> dict:
    """What a ground truth holds, in ActivityNet's form {"database": {video: {"subset", "annotations", ...}}}.

    path: JSON of ActivityNet, BaS-Net (times in strings), HR-Pro, ActionFormer, OpenTAD, HACS; JSON {video: labels}; a
    CSV of labels (label_tables says which columns); or the folder of arrays that the W-TALC family uses.
    Raises InputError for what is none of them.
    """
    path = Path(path)
    if path.is_dir():
        from wtal_fast.data.wtalc_arrays import arrays_content

        return arrays_content(path)
    if path.suffix.lower() in TABLE_ENDINGS:
        return table_content(path)
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(path, expected="an object of videos", found=f"a {type(content).__name__}",
                         fix="use ActivityNet's annotation format, {video: labels}, or a CSV")
    if "database" in content or "results" in content or not all(isinstance(v, (str, list)) for v in content.values()):
        return content
    return labels_content(path, content)


def read_ground_truth(path: str | os.PathLike, class_names: Sequence[str] | None = None,
                      content: dict | None = None) -> Annotations:
    """Annotations of a ground truth of any kind, by the rules of read_annotations; times may be missing.

    content: what ground_truth_content gave for `path`, where it was read already. The label "Ambiguous" of THUMOS'14 is
    no class: what bears it is left out, unless class_names or the file's own list of classes names it.
    """
    content = ground_truth_content(path) if content is None else content
    return read_annotations(content, class_names, unlocated=True, source=path, ignored=(AMBIGUOUS,))
